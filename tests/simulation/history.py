"""What clients did and saw, for the checkers. Times are the world's, in seconds."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from coordinator.state.model import Batch, Event, KeyValue


class Fate(enum.Enum):
    """What a client was told about a write."""

    UNKNOWN = "unknown"
    """Nothing, or that nobody knows."""
    APPLIED = "applied"
    UNMET = "unmet"
    """Its condition did not hold."""
    REFUSED = "refused"
    """It was surely not applied."""


@dataclass
class WriteRecord:
    """One write under its own value or, of a delete, its own key."""

    key: bytes
    value: bytes | None
    """Of no other write; None: a delete."""
    begun_at: float
    ended_at: float | None = None
    fate: Fate = Fate.UNKNOWN
    revision: int = 0
    """The store's revision after it."""
    attempts: int = 0
    sequence: bool = False
    """The key is a prefix; the answer holds the whole."""
    conditional: bool = False
    expected: bytes | None = None
    """Of a conditional write: the value that the key is to have; None: it is to have none."""
    before: bytes | None = None
    """Of a delete, and of a write whose condition did not hold: the value that the key had; None: it had none."""


@dataclass
class ReadRecord:
    """One read of all keys below a prefix."""

    client: int
    run: int
    """Number of the process that answered; local reads of one process never go back."""
    local: bool
    min_revision: int
    begun_at: float
    ended_at: float
    revision: int
    prefix: bytes
    kvs: tuple[KeyValue, ...]


@dataclass
class WatchRecord:
    """All that one watch was told, over all its streams."""

    prefix: bytes
    first_revision: int
    """The first revision that it is to tell of."""
    told: list[tuple[int, tuple[Event, ...]]] = field(default_factory=list)
    snapshot: tuple[int, tuple[KeyValue, ...]] | None = None
    """(revision, keys) with which it began."""
    compacted_at: int | None = None
    """It ended because history up to this revision was gone."""
    resumed: int = 0


@dataclass
class SessionRecord:
    """One session as its client knows it."""

    id: int
    ttl_s: float
    asked_at: float
    """When the client first asked for it."""
    opened: bool = False
    confirmed_at: float = 0.0
    """When the newest confirmed keep-alive, or the opening, was sent."""
    answered_at: float = 0.0
    """When the client was told so."""
    touched_at: float = 0.0
    """When the last keep-alive may have reached a leader, at the latest."""
    closing: bool = False
    """The client asked for its end."""
    gone_at: float | None = None
    """When the client was told that it is gone."""
    keys: list[bytes] = field(default_factory=list)
    abandoned: bool = False
    """The client sends no more keep-alives."""
    grace_s: float | None = None
    """How long it lives after its stream broke, if that is less than what is left of its TTL."""
    broken_at: float = 0.0
    """When a stream of it was last reported as broken; 0: never."""


@dataclass
class History:
    """Everything that clients did."""

    writes: list[WriteRecord] = field(default_factory=list)
    reads: list[ReadRecord] = field(default_factory=list)
    watches: list[WatchRecord] = field(default_factory=list)
    sessions: list[SessionRecord] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@dataclass
class SessionStory:
    """What the log says about one session."""

    opened_at: float
    ended_at: float | None = None
    expired: bool = False
    """It ended because of a deadline, of its TTL or of its grace."""
    earlier: tuple[SessionStory, ...] = ()
    """Lives that it had before under the same id: a client that does not know whether it opened a session asks again,
    and a process that stood still may take the first request when the session has ended already.
    """


@dataclass(frozen=True)
class Truth:
    """What the log says in the end."""

    batches: list[Batch]
    """All revisions, from 2 on."""
    sessions: dict[int, SessionStory]

    @property
    def revision(self) -> int:
        return len(self.batches) + 1
