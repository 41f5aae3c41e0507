"""What a front counts, for /metrics."""

from __future__ import annotations

from coordinator.wire.http2.counters import Counters

STATUSES = 17
"""Statuses of gRPC, OK included."""


class Tallies:
    """Plain numbers, raised where things happen."""

    __slots__ = (
        "abuse",
        "calls_open",
        "connections_accepted",
        "connections_handed_on",
        "connections_open",
        "connections_refused",
        "connections_silent",
        "connections_stalled",
        "ended",
    )

    def __init__(self) -> None:
        self.connections_open = 0
        self.connections_accepted = 0
        self.connections_refused = 0
        """Beyond the limit."""
        self.connections_handed_on = 0
        """That spoke HTTP/1."""
        self.connections_silent = 0
        """Closed, as their client did not begin in time, or answered no PING."""
        self.connections_stalled = 0
        """Closed, as their client did not read."""
        self.calls_open = 0
        self.ended = [0] * STATUSES
        """Calls that ended, by status."""
        self.abuse = Counters()
        """What connections were ended for, and what came near."""
