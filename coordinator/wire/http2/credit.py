"""Flow control of what a client sends on the whole connection (RFC 9113, section 5.2)."""

from __future__ import annotations

from coordinator.wire.http2.failures import ConnectionFailure
from coordinator.wire.http2.frames import Code


class Credit:
    """What the client may send, what came and nobody has read, and what is to be given back.

    While no more than `unread_max` bytes are unread, the window is given back on receipt, so that a stream that
    nobody reads holds up no other. What is beyond is withheld until enough is read.
    """

    __slots__ = ("_unread_max", "_withheld", "owed", "unread", "window")

    window: int
    """Bytes that the client may still send."""
    owed: int
    """Bytes that may be given back."""
    unread: int
    """Bytes that came and were not read."""

    def __init__(self, window: int, unread_max: int) -> None:
        self.window = window
        self.owed = 0
        self.unread = 0
        self._unread_max = unread_max
        self._withheld = 0

    def take(self, size: int) -> None:
        """Takes note of what came; raises `ConnectionFailure` if it is more than was allowed."""
        self.window -= size
        if self.window < 0:
            raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "connection window exceeded")
        self.unread += size
        self.owed += size
        if self.unread > self._unread_max:
            self._withhold()

    def release(self, size: int) -> None:
        """Takes note that so much was read."""
        self.unread -= size
        if self._withheld:
            self._withhold()

    def _withhold(self) -> None:
        withheld = max(0, self.unread - self._unread_max)
        self.owed += self._withheld - withheld
        self._withheld = withheld

    @property
    def due(self) -> bool:
        """Whether it is time for a WINDOW_UPDATE: it at least doubles what the client may send."""
        return self.owed >= self.window and self.owed > 0

    def give_back(self) -> int:
        """Returns the increment of a WINDOW_UPDATE that is now sent."""
        owed = self.owed
        self.owed = 0
        self.window += owed
        return owed
