"""Messages in DATA frames: each with a flag and a length before it, however the frames are cut."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from coordinator.errors import CoordinatorError, Status

PREFIX_BYTES = 5
_COMPRESSED = 1


class BrokenMessages(CoordinatorError):
    """What a client sends can't be read as messages; the call ends with `status` and these words."""

    def __init__(self, status: Status, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class Assembly:
    """Cuts the bytes of one call into messages, in time that grows with the bytes, not with their pieces."""

    __slots__ = ("_rest", "_size_max", "_wanted", "_window_bits")

    def __init__(self, size_bytes_max: int, window_bits: int) -> None:
        """`size_bytes_max`: of one message, and of what it is unpacked; `window_bits`: of zlib, 0 for none."""
        self._size_max = size_bytes_max
        self._window_bits = window_bits
        self._rest = bytearray()
        self._wanted = PREFIX_BYTES
        """So many bytes must there be before there is something new to see."""

    @property
    def unfinished(self) -> int:
        """Bytes that wait for the rest of their message."""
        return len(self._rest)

    def feed(self, payload: bytes, take: Callable[[bytes], object]) -> None:
        """Takes what came and gives each message that is complete to `take`. Raises BrokenMessages."""
        rest = self._rest
        if rest:
            rest += payload
            if len(rest) < self._wanted:
                return
            payload = bytes(rest)
            rest.clear()
        place, end = 0, len(payload)
        self._wanted = PREFIX_BYTES
        while end - place >= PREFIX_BYTES:
            size = int.from_bytes(payload[place + 1 : place + PREFIX_BYTES], "big")
            flag = payload[place]
            if flag or size > self._size_max:
                self._check(flag, size)
            after = place + PREFIX_BYTES + size
            if after > end:
                self._wanted = PREFIX_BYTES + size
                break
            message = payload[place + PREFIX_BYTES : after]
            place = after
            take(self._unpacked(message) if flag else message)
        if place < end:
            rest += payload[place:] if place else payload

    def _check(self, flag: int, size: int) -> None:
        if size > self._size_max:
            raise BrokenMessages(
                Status.RESOURCE_EXHAUSTED,
                f"SERVER: Received message larger than max ({size} vs. {self._size_max})",
            )
        if flag != _COMPRESSED:
            raise BrokenMessages(
                Status.INTERNAL, f"a message begins with {flag}, which is neither 0 nor 1"
            )
        if not self._window_bits:
            raise BrokenMessages(Status.INTERNAL, "Compression bit set but no encoding configured")

    def _unpacked(self, packed: bytes) -> bytes:
        """Returns what a message was compressed from, of which no more is made than may be."""
        unpacking = zlib.decompressobj(self._window_bits)
        try:
            message = unpacking.decompress(packed, self._size_max + 1)
        except zlib.error:
            raise BrokenMessages(
                Status.INTERNAL, "Decompression failed due to zlib error"
            ) from None
        if len(message) > self._size_max:
            raise BrokenMessages(Status.RESOURCE_EXHAUSTED, "Decompressed message larger than max")
        if not unpacking.eof:
            raise BrokenMessages(Status.INTERNAL, "Decompression failed due to zlib error")
        return message
