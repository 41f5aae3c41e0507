"""How often clients did what only broken or hostile ones do."""

from __future__ import annotations

from coordinator.wire.http2.frames import Code

KINDS = (
    "foreign_preface",
    "protocol_errors",
    "rapid_reset",
    "settings_flood",
    "ping_flood",
    "empty_frame_flood",
    "window_update_flood",
    "priority_flood",
    "unknown_frame_flood",
    "malformed_flood",
    "continuation_flood",
    "unread_output",
    "compression_errors",
    "flow_control_errors",
    "frame_size_errors",
    "stream_closed_errors",
    "calm_enhanced",
    "malformed_blocks",
    "header_lists_too_large",
    "streams_refused",
    "streams_reset_by_client",
    "streams_reset_by_us",
    "frames_on_closed_streams",
    "unknown_frames",
)
"""Floods end a connection and count once for each; the plural ones count every occurrence."""


class Counters:
    """Totals since the start, shared by all connections of a server."""

    __slots__ = ("totals",)

    totals: dict[str, int]
    """By kind; every kind of `KINDS` is there from the beginning."""

    def __init__(self) -> None:
        self.totals = dict.fromkeys(KINDS, 0)

    def count(self, kind: str) -> None:
        self.totals[kind] += 1

    def count_failure(self, code: int) -> None:
        """Counts a connection that ended for a mistake of its client's, by the code that it was told."""
        self.count(_KIND_OF_CODE.get(code, "protocol_errors"))


_KIND_OF_CODE: dict[int, str] = {
    Code.FLOW_CONTROL_ERROR: "flow_control_errors",
    Code.STREAM_CLOSED: "stream_closed_errors",
    Code.FRAME_SIZE_ERROR: "frame_size_errors",
    Code.COMPRESSION_ERROR: "compression_errors",
    Code.ENHANCE_YOUR_CALM: "calm_enhanced",
}
