"""Whether the client of a connection is still there, and reads what it is sent."""

from __future__ import annotations

import enum

from coordinator.config import Limits, Timing
from coordinator.wire.terms import KEEP_ALIVE_S, KEEP_ALIVE_TIMEOUT_S

LINGER_S = 0.5
"""How long a client that takes nothing may leave a connection open that is over."""


class Verdict(enum.Enum):
    """What is to be done."""

    FINE = enum.auto()
    ASK = enum.auto()
    """Ask the client, by a PING, whether it is there."""
    SILENT = enum.auto()
    """It did not begin in time, or did not answer: end the connection."""
    STALLED = enum.auto()
    """It does not read: end the connection."""
    LINGERS = enum.auto()
    """The connection is over, and the client does not close it."""


class Vigil:
    """What is remembered of one connection from one look to the next. All times are loop times in seconds."""

    __slots__ = (
        "_backlog",
        "_closing_since",
        "_greeting_s",
        "_opened_at",
        "_pinged_at",
        "_stall_s",
        "_stalled_since",
        "_unread_max",
        "heard_at",
    )

    def __init__(self, limits: Limits, timing: Timing, now: float) -> None:
        self._greeting_s = timing.client_greeting_ms / 1000
        self._stall_s = timing.client_stall_ms / 1000
        self._unread_max = limits.connection_unread_bytes_max
        self._opened_at = now
        self.heard_at = now
        """When anything came from the client."""
        self._pinged_at: float | None = None
        self._backlog = 0
        self._stalled_since: float | None = None
        self._closing_since: float | None = None

    def look(
        self, now: float, backlog: int, *, greeted: bool, reading: bool, closing: bool
    ) -> Verdict:
        """Returns what is to be done.

        `backlog`: bytes that wait to be taken; `greeted`: whether the client has begun; `reading`: whether it is being
        read from, which it is not while much waits for it; `closing`: whether the connection is over.
        """
        advances, self._backlog = backlog < self._backlog, backlog
        if closing:
            if self._closing_since is None or advances:
                self._closing_since = now
            return Verdict.LINGERS if now - self._closing_since > LINGER_S else Verdict.FINE
        if not greeted:
            return Verdict.SILENT if now - self._opened_at > self._greeting_s else Verdict.FINE
        if advances:
            # It takes what it is sent, so it is there.
            self.heard_at = now
        elif backlog > self._unread_max or not reading:
            if self._stalled_since is None:
                self._stalled_since = now
            stalled = now - self._stalled_since > self._stall_s
            return Verdict.STALLED if stalled else Verdict.FINE
        self._stalled_since = None
        return self._ask(now) if reading else Verdict.FINE

    def _ask(self, now: float) -> Verdict:
        if self._pinged_at is not None and self.heard_at >= self._pinged_at:
            self._pinged_at = None
        if self._pinged_at is not None:
            late = now - self._pinged_at > KEEP_ALIVE_TIMEOUT_S
            return Verdict.SILENT if late else Verdict.FINE
        if now - self.heard_at >= KEEP_ALIVE_S:
            self._pinged_at = now
            return Verdict.ASK
        return Verdict.FINE
