"""What one connection may make the server hold and do."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.wire.http2.frames import (
    FRAME_SIZE_BYTES_DEFAULT,
    FRAME_SIZE_BYTES_MAX,
    WINDOW_MAX,
)

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Rate:
    """A leaky bucket: how much may come at once, and how fast it is forgotten."""

    per_s: float
    burst: float


@dataclass(frozen=True)
class Http2Limits:
    """Bounds for each connection. Beyond a bound of a stream the stream ends, beyond any other the connection."""

    streams_max: int = 20_000
    """Open at the same time; more are refused, which a client may retry."""
    header_list_size_bytes_max: int = 16 * KIB
    """Of one block, decoded, with 32 bytes for each field (RFC 9113, section 6.5.2)."""
    header_table_size_bytes: int = 4 * KIB
    """Of the dynamic table that clients may use (RFC 7541, section 4.2)."""
    header_block_size_bytes_max: int = 32 * KIB
    """Of one block as it comes, over all its frames."""
    continuation_frames_max: int = 16
    """After one HEADERS frame."""
    block_cache_entries_max: int = 256
    block_cache_size_bytes_max: int = 128 * KIB
    """Of decoded blocks that are kept in case that they are repeated."""
    frame_size_bytes_max: int = 16 * KIB
    """That we accept; between 16,384 and 16,777,215."""
    stream_window_bytes: int = 1 * MIB
    """What a client may send on one stream before it is consumed."""
    connection_window_bytes: int = 4 * MIB
    """What a client may have under way on the connection; at least 65,535 (RFC 9113, section 6.9.2)."""
    unread_bytes_max: int = 8 * MIB
    """Content that came and was not consumed yet. Below, the connection's window is given back on receipt."""
    control_output_bytes_max: int = 256 * KIB
    """Answers to control frames that wait for `Connection.output`."""
    closed_streams_max: int = 4_096
    """Streams ended by us on which late frames are tolerated silently."""

    resets: Rate = Rate(per_s=500, burst=5_000)
    """Streams reset by the client or by us for a mistake of the client's."""
    malformed: Rate = Rate(per_s=50, burst=500)
    """Requests with header fields that HTTP forbids."""
    settings: Rate = Rate(per_s=10, burst=100)
    """SETTINGS and GOAWAY frames."""
    pings: Rate = Rate(per_s=5_000, burst=10_000)
    """gRPC clients that estimate the bandwidth send one each round trip."""
    empty_frames: Rate = Rate(per_s=100, burst=1_000)
    """DATA and CONTINUATION frames that neither carry nor end anything."""
    window_updates: Rate = Rate(per_s=50_000, burst=100_000)
    """Clients may send two for each of our DATA frames."""
    priorities: Rate = Rate(per_s=1_000, burst=20_000)
    unknown_frames: Rate = Rate(per_s=100, burst=1_000)

    def __post_init__(self) -> None:
        """Raises `ValueError` for what HTTP/2 can't express (RFC 9113, section 6.5.2)."""
        if not FRAME_SIZE_BYTES_DEFAULT <= self.frame_size_bytes_max <= FRAME_SIZE_BYTES_MAX:
            raise ValueError(
                f"frame_size_bytes_max must be between {FRAME_SIZE_BYTES_DEFAULT} and {FRAME_SIZE_BYTES_MAX}"
            )
        for name in ("stream_window_bytes", "connection_window_bytes"):
            if not 0 <= getattr(self, name) <= WINDOW_MAX:
                raise ValueError(f"{name} must be between 0 and {WINDOW_MAX}")
