"""What the rest of the server may ask of consensus, and what consensus asks of whoever it drives.

Consensus puts opaque bytes into one order, the same on all members, and keeps them through crashes.
It knows neither keys nor sessions. Everything here is called on the one event loop of the node;
nothing is thread-safe unless it says so.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from coordinator.errors import FatalError


class Role(enum.Enum):
    """What a member is in its term (Raft, Ongaro 2014, sections 3.3 and 4.2.1)."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"
    LEARNER = "learner"
    """Receives everything and does not vote."""


@dataclass(frozen=True)
class Peer:
    """One member of the cluster."""

    id: int
    name: str
    address: str
    """host:port on which it listens for other members."""
    voter: bool = True
    """False: a learner, which receives everything and does not vote."""


@dataclass(frozen=True)
class AddLearner:
    """A new member that receives the log; it must not have voted under this id before."""

    id: int
    name: str
    address: str


@dataclass(frozen=True)
class Promote:
    """A learner that has caught up votes from now on."""

    id: int


@dataclass(frozen=True)
class Remove:
    """A member leaves for good: its id never comes back."""

    id: int


@dataclass(frozen=True)
class Move:
    """A member listens for others at another address."""

    id: int
    address: str


MemberChange = AddLearner | Promote | Remove | Move


class ConsensusStatus(msgspec.Struct, frozen=True, gc=False):
    """A member's view of the log; indices count entries from 1."""

    role: Role
    term: int
    leader: int | None
    """Member id; None while no leader is known."""
    commit_index: int
    applied_index: int
    last_index: int
    snapshot_index: int
    """Index of the newest snapshot on disk; 0: none."""
    journal_size_bytes: int
    snapshot_size_bytes: int


class Capture(Protocol):
    """The application's state at one index, held still while the application goes on."""

    def read(self) -> Callable[[], bytes] | None:
        """Takes the next part of the state, on the loop and within a few milliseconds.

        Returns what encodes that part, to be called once, on any thread, in the order of the reads; None: that was all.
        """
        ...

    def release(self) -> None:
        """Lets the application forget what it holds for this capture. Idempotent."""
        ...


class Application(Protocol):
    """The state machine that consensus drives. None of its methods may raise: what raises stops the node."""

    def apply(self, index: int, term: int, entry: bytes) -> None:
        """Takes the next committed entry. Called in order of `index`, each index once per process."""
        ...

    def capture(self) -> Capture:
        """Returns the state as of the last applied entry. Must be quick; the caller releases it."""
        ...

    def prepare(self, slices: Iterable[bytes]) -> object:
        """Builds the state that the parts of a `Capture`, of this or another member, hold. Called on another thread.

        Leaves the present state alone. Raises DamageError if the slices are not the parts of a capture.
        """
        ...

    def restore(self, index: int, term: int, prepared: object) -> None:
        """Puts what `prepare` returned in the place of the state: that of entry `index`. Must be quick."""
        ...

    def leadership_changed(self, status: ConsensusStatus) -> None:
        """The role, the term or the known leader is another than before."""
        ...

    def members_changed(self, members: tuple[Peer, ...]) -> None:
        """`Consensus.members` is another than before; not yet committed perhaps."""
        ...

    def ready_to_propose(self) -> None:
        """`Consensus.propose` takes entries again after it was busy."""
        ...

    def message_received(self, member: int, payload: bytes) -> None:
        """Another member sent this with `Consensus.send`. The payload is not trusted."""
        ...

    def peer_changed(self, member: int, connected: bool) -> None:
        """A connection to another member was made or lost. Messages of an earlier connection never come later."""
        ...


class OpenSnapshot(Protocol):
    """A snapshot file that stays until it is closed."""

    @property
    def index(self) -> int:
        """The last entry of the log that it holds."""
        ...

    @property
    def term(self) -> int:
        """The term of that entry."""
        ...

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """Returns part of the file, read on another thread. Raises OSError."""
        ...

    def close(self) -> None:
        """Lets the file go once a newer one is there. Idempotent."""
        ...


class Consensus(Protocol):
    """One member's consensus engine."""

    @property
    def status(self) -> ConsensusStatus: ...

    @property
    def term(self) -> int:
        """That of `status`, for those who need no more."""
        ...

    @property
    def members(self) -> tuple[Peer, ...]:
        """The members, learners too, as the newest entry of the log about them says; in ascending order of the name."""
        ...

    @property
    def busy(self) -> bool:
        """True while an fsync of this member's journal or a transfer of leadership is under way: let proposals gather
        until `ready_to_propose` or another leader.
        """
        ...

    @property
    def stopped(self) -> bool:
        """True once it takes no part any more: it was stopped, or failed."""
        ...

    async def start(self) -> None:
        """Recovers from disk (calling `restore` and `apply`), binds the listener and begins to take part.

        Raises ConfigError (address in use, folder in use or of another cluster) or DamageError.
        """
        ...

    async def stop(self) -> None:
        """Stops taking part; what was acknowledged is on disk. Idempotent."""
        ...

    def fail(self, error: FatalError) -> None:
        """Stops taking part, at once and for good, for a reason that the application found."""
        ...

    def propose(self, entry: bytes) -> int | None:
        """Appends an entry to the log if this member leads; returns its index, else None (surely not appended).

        The entry is replicated and synced in parallel; it is committed when `Application.apply` gets it. If it is lost,
        the application sees an entry of a later term without having seen it.
        """
        ...

    async def confirm(self, timeout_s: float) -> int | None:
        """As a leader: asks a quorum, after this call, whether this member still leads.

        Returns the term that was confirmed, or None if leadership was lost or the quorum did not answer in time.
        All calls that wait share one probe. Gives way to the loop at least once, whatever the answer.
        """
        ...

    async def read_barrier(self, timeout_s: float) -> bool:
        """Returns True once all that was committed before the call is applied here (ReadIndex, Ongaro 2014, 6.4).

        Works on any member; False if no leader could be confirmed in time. All calls that wait share one probe.
        Gives way to the loop at least once, whatever the answer.
        """
        ...

    async def transfer_leadership(self, target: int | None, timeout_s: float) -> bool:
        """As a leader: hands over to a voter, or to the one that is furthest (None); proposals wait meanwhile.

        Returns True once another term has begun; False if this member does not lead, or still does after the timeout.
        Raises RequestError if the target can't lead.
        """
        ...

    async def change_members(self, change: MemberChange, *, force: bool, timeout_s: float) -> None:
        """As a leader: makes one change and returns once it is committed.

        A change that is not safe now is refused: another one is under way, a learner has not caught up, the members
        that are left would not have a quorum at hand. `force` passes over the last of these.
        Raises RequestError (nothing was changed) or OutcomeUnknown.
        """
        ...

    async def open_snapshot(self) -> OpenSnapshot:
        """Returns a snapshot of all that is applied now, or later; the caller closes it. Raises RequestError."""
        ...

    def send(self, member: int, payload: bytes) -> bool:
        """Sends bytes to another member's application. False: surely not sent. True: perhaps delivered, once.

        Messages over one connection arrive in order; those of a broken connection may be lost.
        """
        ...

    def connected(self, member: int) -> bool:
        """Whether a connection to another member stands."""
        ...

    def client_address(self, member: int) -> str:
        """The host:port for clients that another member told when it connected; empty while not known."""
        ...
