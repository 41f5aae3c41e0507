"""How one member's consensus engine is set up."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.config import KIB, MIB, Limits, Timing
from coordinator.consensus.interface import Peer
from coordinator.errors import ConfigError

_LIMITS = Limits()
_TIMING = Timing()


@dataclass(frozen=True)
class EngineConfig:
    """Settings of one engine. Times are in milliseconds, sizes in bytes, as the names say."""

    name: str
    """Name of this member; one of `peers`."""
    peers: tuple[Peer, ...]
    """All members, this one included."""
    cluster_key: int
    """Unsigned 64-bit number; members with another one are refused."""
    data_dir: Path
    client_address: str
    """Where clients reach this member; told to the other members."""
    bind_address: str | None = None
    """host:port to listen on; None: this member's own address in `peers`."""
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None

    heartbeat_ms: int = _TIMING.heartbeat_ms
    election_timeout_ms_min: int = _TIMING.election_timeout_ms_min
    election_timeout_ms_max: int = _TIMING.election_timeout_ms_max
    tick_ms: int = _TIMING.tick_ms
    hello_timeout_ms: int = 5_000
    """A connection that did not introduce itself by then is closed."""

    frame_size_bytes_max: int = _LIMITS.peer_frame_size_bytes_max
    send_window_bytes_max: int = _LIMITS.peer_send_window_bytes_max
    journal_size_bytes_max: int = _LIMITS.journal_size_bytes_max
    append_size_bytes: int = 512 * KIB
    """Entries are gathered into messages of about this size; a larger entry travels alone."""
    append_entries_max: int = 1_024
    appends_in_flight_max: int = 64
    """Messages with entries on their way to one follower, unacknowledged."""
    appends_in_flight_size_bytes_max: int = 4 * MIB
    retained_entries: int = 1_000
    """Applied entries kept in the journal after a snapshot, so that a follower that is a little behind needs none."""
    snapshot_size_bytes_max: int = 4 * KIB * MIB
    """Of a snapshot that another member sends."""
    snapshot_bytes_per_s_max: int = _LIMITS.snapshot_bytes_per_s_max
    """To one member."""
    snapshot_chunk_size_bytes: int = 256 * KIB
    snapshot_chunks_in_flight_max: int = 4
    apply_slice_ms: int = 5
    """Applying entries yields to the rest of the loop after this time."""

    this: Peer = field(init=False)

    def __post_init__(self) -> None:
        """Raises ConfigError for settings that can't work."""
        own = [peer for peer in self.peers if peer.name == self.name]
        if len(own) != 1:
            raise ConfigError(f"member {self.name!r} must appear once in the list of members")
        if len({peer.id for peer in self.peers}) != len(self.peers):
            raise ConfigError("two members have the same id: give them other names")
        if len({peer.name for peer in self.peers}) != len(self.peers):
            raise ConfigError("two members have the same name")
        if not all(0 < peer.id < 1 << 63 for peer in self.peers):
            raise ConfigError("member ids must be between 1 and 2^63-1")
        if not 0 <= self.cluster_key < 1 << 64:
            raise ConfigError("the cluster key must fit in 64 bits")
        if self.heartbeat_ms <= 0 or self.tick_ms <= 0:
            raise ConfigError("heartbeat_ms and tick_ms must be positive")
        if self.election_timeout_ms_min <= 3 * self.heartbeat_ms:
            raise ConfigError("election_timeout_ms_min must be more than three heartbeats")
        if self.election_timeout_ms_max <= self.election_timeout_ms_min:
            raise ConfigError("election_timeout_ms_max must be more than election_timeout_ms_min")
        if self.frame_size_bytes_max < 2 * self.snapshot_chunk_size_bytes:
            raise ConfigError("peer_frame_size_bytes_max must hold two chunks of a snapshot")
        if self.frame_size_bytes_max < 2 * self.append_size_bytes:
            raise ConfigError("peer_frame_size_bytes_max must hold two batches of entries")
        if self.snapshot_bytes_per_s_max < 4 * self.snapshot_chunk_size_bytes:
            raise ConfigError("snapshot_bytes_per_s_max must be at least four chunks of a snapshot")
        if self.send_window_bytes_max < 2 * self.frame_size_bytes_max:
            raise ConfigError("peer_send_window_bytes_max must hold two of the largest frames")
        object.__setattr__(self, "this", own[0])

    @property
    def entry_size_bytes_max(self) -> int:
        """The largest entry that fits in a frame, with room for the message around it."""
        return self.frame_size_bytes_max - 4 * KIB

    @property
    def segment_size_bytes(self) -> int:
        """Size at which the journal begins another file."""
        return max(self.journal_size_bytes_max // 8, 4 * KIB)

    @property
    def silence_ms_max(self) -> int:
        """A connection over which nothing arrives for this long is dead."""
        return 2 * self.election_timeout_ms_max


def split_address(address: str) -> tuple[str, int]:
    """Splits host:port or [ipv6]:port. Raises ConfigError when it is neither."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{address!r} is not an address of the form host:port")
    return host, int(port)
