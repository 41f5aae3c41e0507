"""JSON objects that follow each other in a body, cut out as they come, however they are cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator


class TooLarge(ValueError):
    """An object is larger than it may be."""


class Malformed(ValueError):
    """What came is no object."""


class Objects:
    """Finds where each object ends; what is in it, it leaves to whoever reads it. Looks at each byte once."""

    def __init__(self, size_bytes_max: int) -> None:
        self._size_max = size_bytes_max
        self._buffer = bytearray()
        self._seen = 0
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yields the objects that are whole by now. Raises TooLarge or Malformed."""
        self._buffer += piece
        while self._seen < len(self._buffer):
            byte = self._buffer[self._seen]
            self._seen += 1
            if self._look(byte):
                yield bytes(self._buffer[: self._seen])
                del self._buffer[: self._seen]
                self._seen = 0
            elif not self._depth:
                del self._buffer[: self._seen]
                self._seen = 0
        if len(self._buffer) > self._size_max:
            raise TooLarge(f"a message is larger than {self._size_max} bytes")

    def _look(self, byte: int) -> bool:
        """Takes in one byte; returns whether it ends an object."""
        if self._in_text:
            if self._escaped:
                self._escaped = False
            elif byte == ord("\\"):
                self._escaped = True
            elif byte == ord('"'):
                self._in_text = False
            return False
        if byte == ord("{"):
            self._depth += 1
        elif not self._depth:
            if byte not in b" \t\r\n":
                raise Malformed("the body is not made of JSON objects")
        elif byte == ord('"'):
            self._in_text = True
        elif byte == ord("}"):
            self._depth -= 1
            return not self._depth
        return False

    def end(self) -> None:
        """Nothing more comes. Raises Malformed if that is in the midst of an object."""
        if self._depth:
            raise Malformed("the body ends within a JSON object")
