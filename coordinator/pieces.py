"""Messages of which parts are bytes already: encoded once for many, or bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.rpc import Message


class Encoded:
    """A message that is bytes already, and may be sent to many."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def SerializeToString(self) -> bytes:
        """Returns the bytes of the message, always the same object."""
        return self._content

    def ByteSize(self) -> int:
        """Returns how many they are."""
        return len(self._content)


class Pieced:
    """A message whose repeated fields are bytes in part: fields of a message may stand in any order, and in pieces."""

    __slots__ = ("_head", "_parts")

    def __init__(self, head: Message, parts: Sequence[bytes]) -> None:
        """`parts`: serialized messages of the kind of `head`, or of one with the same fields."""
        self._head = head
        self._parts = parts

    def SerializeToString(self) -> bytes:
        """Returns the bytes of the message."""
        return b"".join(self.parts())

    def parts(self) -> Sequence[bytes]:
        """Returns the bytes of the message in parts, those that many share as they were given."""
        return (self._head.SerializeToString(), *self._parts)

    def ByteSize(self) -> int:
        """Returns how many they are."""
        return self._head.ByteSize() + sum(map(len, self._parts))
