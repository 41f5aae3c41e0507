"""The values that calls return. All are immutable; keys and values are bytes, revisions count from 1."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "Alarm",
    "Cause",
    "DeleteResult",
    "Event",
    "EventBatch",
    "EventType",
    "KeyValue",
    "Member",
    "MemberStatus",
    "PutResult",
    "RangeResult",
    "SessionRecord",
    "TxnResult",
]


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One version of one key."""

    key: bytes
    value: bytes
    create_revision: int
    """Revision at which the key came into being (its last creation, after a delete)."""
    mod_revision: int
    """Revision of its last change."""
    version: int
    """Writes to the key since its creation; 1 for a new key."""
    session: int = 0
    """The session that owns the key and takes it along when it ends; 0: none."""

    @property
    def text(self) -> str:
        """The value as UTF-8 text; raises UnicodeDecodeError if it is not."""
        return self.value.decode()

    @property
    def name(self) -> str:
        """The key as text; bytes that are not UTF-8 are shown as escapes."""
        return self.key.decode(errors="backslashreplace")


class EventType(enum.Enum):
    """What happened to a key."""

    PUT = "put"
    DELETE = "delete"


class Cause(enum.Enum):
    """Why a key was deleted."""

    UNSPECIFIED = "unspecified"
    """Not a delete, or the cause is not known."""
    DELETED = "deleted"
    SESSION_CLOSED = "session-closed"
    SESSION_EXPIRED = "session-expired"
    CONNECTION_LOST = "connection-lost"
    CHECK_FAILED = "check-failed"
    DEREGISTERED = "deregistered"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key."""

    type: EventType
    kv: KeyValue
    """For a put the key as written; for a delete only `key` and `mod_revision` mean something."""
    prev: KeyValue | None = None
    """The key before the change, if it was asked for and the key existed."""
    cause: Cause = Cause.UNSPECIFIED
    """For a delete: why."""

    @property
    def key(self) -> bytes:
        """The key that changed."""
        return self.kv.key

    @property
    def is_put(self) -> bool:
        """Whether the key was written, not deleted."""
        return self.type is EventType.PUT


@dataclass(frozen=True, slots=True)
class EventBatch:
    """All changes of one revision that a watch selects, or a snapshot, or a progress mark."""

    revision: int
    events: tuple[Event, ...] = ()
    """In the order in which they were made; empty for a snapshot and for a progress mark."""
    snapshot: bool = False
    """True: `kvs` are all matching keys as of `revision`; forget what you knew before."""
    kvs: tuple[KeyValue, ...] = ()
    """Of a snapshot: the keys, in ascending order."""
    progress: bool = False
    """True: nothing happened; everything up to `revision` has been reported."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a put did."""

    key: bytes
    """The key that was written; differs from the one given when a sequence number was asked for."""
    revision: int
    prev: KeyValue | None = None
    """The key before, if it was asked for and the key existed."""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What a delete did."""

    deleted: int
    revision: int
    prevs: tuple[KeyValue, ...] = ()
    """The keys before, if they were asked for."""


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Keys as they were at one revision."""

    kvs: tuple[KeyValue, ...]
    """In ascending order of the key."""
    count: int
    """Number of items that match (after `start_after`), whatever the limit."""
    more: bool
    """Items beyond those returned exist."""
    revision: int
    """The revision that was read."""
    children: tuple[bytes, ...] = ()
    """With a delimiter: what stands before it, named once each, delimiter included."""


@dataclass(frozen=True, slots=True)
class TxnResult:
    """Which branch of a transaction ran, and what its operations returned."""

    succeeded: bool
    """Whether all compares held."""
    revision: int
    responses: tuple[KeyValue | RangeResult | PutResult | DeleteResult | TxnResult | None, ...] = ()
    """One per operation that ran, in order; a Get returns the KeyValue, or None."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as the cluster knows it."""

    id: int
    ttl_s: float
    disconnect_grace_s: float | None
    metadata: Mapping[str, str]
    key_count: int
    open_revision: int
    """Revision of the store when the session was opened."""
    keys: tuple[bytes, ...] = ()
    """The keys it owns; only when one session was asked for."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster, as the answering member knows it."""

    id: int
    name: str
    peer_address: str
    client_address: str
    """host:port for clients; empty while not known."""
    leader: bool
    connected: bool
    """Whether the answering member has a connection to it; true for itself."""
    voter: bool = True
    """False: a learner, which receives everything and does not vote."""
    lag: int | None = None
    """Entries of the log that are committed and that it has not applied yet; None: not asked for, or not known."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong in the cluster, as the member knows it that answered."""

    kind: str
    """`diverged`, `disagreement`, `space-quota` or `disk`."""
    member_id: int
    """The member that it is about; 0: the cluster as a whole."""
    message: str


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """The state of the one member that answered."""

    cluster_id: int
    member_id: int
    name: str
    version: str
    role: str
    """`follower`, `candidate`, `leader` or `learner`."""
    leader_id: int
    """0 while no leader is known."""
    leader_name: str
    term: int
    commit_index: int
    applied_index: int
    revision: int
    compacted_revision: int
    snapshot_index: int
    journal_size_bytes: int
    snapshot_size_bytes: int
    key_count: int
    session_count: int
    watch_count: int
    digest: str = ""
    """Hexadecimal; empty unless it was asked for."""
    uptime_s: float = 0.0
    state_size_bytes: int = 0
    """Of keys, history, sessions and results."""
    history_size_bytes: int = 0
    state_size_bytes_max: int = 0
    """Beyond, writes that add to the state are refused."""
    disk_free_bytes: int | None = None
    """None: not known."""
    alarms: tuple[Alarm, ...] = ()
    endpoint: str = field(default="", compare=False)
    """The address that was asked."""


@dataclass(frozen=True)
class SavedSnapshot:
    """A snapshot file that was fetched from a member and checked."""

    path: str
    cluster_id: int
    member_id: int
    """Of the member that it came from."""
    index: int
    """The last entry of the log that it holds."""
    term: int
    revision: int
    """The newest one that it holds."""
    size_bytes: int
    checksum: str
    """BLAKE2b-128 of the content, in hexadecimal, as it stands at the end of the file."""
