"""What a front counts, for /metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from coordinator.wire.http2.counters import Counters

STATUSES = 17
"""Statuses of gRPC, OK included."""


@dataclass(slots=True)
class Tallies:
    """Plain numbers, raised where things happen."""

    connections_open: int = 0
    connections_accepted: int = 0
    connections_refused: int = 0
    """Beyond the limit."""
    connections_handed_on: int = 0
    """That spoke HTTP/1."""
    connections_silent: int = 0
    """Closed, as their client did not begin in time, or answered no PING."""
    connections_stalled: int = 0
    """Closed, as their client did not read."""
    calls_open: int = 0
    ended: list[int] = field(default_factory=lambda: [0] * STATUSES)
    """Calls that ended, by status."""
    abuse: Counters = field(default_factory=Counters)
    """What connections were ended for, and what came near."""
