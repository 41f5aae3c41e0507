"""Leaky buckets that bound how often a client may do what costs more than it is worth."""

from __future__ import annotations

from coordinator.wire.http2.counters import Counters
from coordinator.wire.http2.failures import ConnectionFailure
from coordinator.wire.http2.frames import Code
from coordinator.wire.http2.limits import Http2Limits, Rate

KNOWN_REASONS = {"ping_flood": "too_many_pings"}
"""Words that gRPC's clients understand: these ping less often from then on."""


class Budget:
    """One bucket: each use fills it by one, and it leaks at its rate."""

    __slots__ = ("_counters", "_kind", "_level", "_rate", "_then")

    def __init__(self, kind: str, rate: Rate, counters: Counters) -> None:
        self._kind = kind
        self._rate = rate
        self._counters = counters
        self._level = 0.0
        self._then = 0.0

    def spend(self, now: float) -> None:
        """Takes note of one use at `now` in seconds; raises `ConnectionFailure` when it is one too many."""
        rate = self._rate
        passed = now - self._then
        if passed:  # A clock that steps back fills nothing and leaks nothing.
            self._level = max(0.0, self._level - max(0.0, passed) * rate.per_s)
            self._then = now
        self._level += 1.0
        if self._level > rate.burst:
            self._counters.count(self._kind)
            reason = KNOWN_REASONS.get(self._kind) or self._kind.replace("_", " ")
            raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, reason)


class Budgets:
    """All buckets of one connection."""

    __slots__ = (
        "empty_frames",
        "malformed",
        "pings",
        "priorities",
        "resets",
        "settings",
        "unknown_frames",
        "window_updates",
    )

    def __init__(self, limits: Http2Limits, counters: Counters) -> None:
        self.resets = Budget("rapid_reset", limits.resets, counters)
        self.malformed = Budget("malformed_flood", limits.malformed, counters)
        self.settings = Budget("settings_flood", limits.settings, counters)
        self.pings = Budget("ping_flood", limits.pings, counters)
        self.empty_frames = Budget("empty_frame_flood", limits.empty_frames, counters)
        self.window_updates = Budget("window_update_flood", limits.window_updates, counters)
        self.priorities = Budget("priority_flood", limits.priorities, counters)
        self.unknown_frames = Budget("unknown_frame_flood", limits.unknown_frames, counters)
