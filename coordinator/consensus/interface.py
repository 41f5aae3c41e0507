"""What the rest of the server may ask of consensus, and what consensus asks of whoever it drives.

Consensus puts opaque bytes into one order, the same on all members, and keeps them through crashes.
It knows neither keys nor sessions. Everything here is called on the one event loop of the node;
nothing is thread-safe unless it says so.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


class Role(enum.Enum):
    """What a member is in its term (Raft, Ongaro 2014, section 3.3)."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True)
class Peer:
    """One member of the cluster."""

    id: int
    name: str
    address: str
    """host:port on which it listens for other members."""


@dataclass(frozen=True)
class ConsensusStatus:
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
    """The application's state at one index, held still."""

    def encode(self) -> Iterator[bytes]:
        """Yields the state in slices of bounded size. Called on another thread than the loop's."""
        ...


class Application(Protocol):
    """The state machine that consensus drives. None of its methods may raise: what raises stops the node."""

    def apply(self, index: int, term: int, entry: bytes) -> None:
        """Takes the next committed entry. Called in order of `index`, each index once per process."""
        ...

    def capture(self) -> Capture:
        """Returns the state as of the last applied entry. Must be quick."""
        ...

    def restore(self, index: int, term: int, slices: Iterable[bytes]) -> None:
        """Replaces the state with what `Capture.encode` yielded, on this or another member.

        Raises DamageError, before anything is replaced, if the slices are not what `encode` yields.
        """
        ...

    def leadership_changed(self, status: ConsensusStatus) -> None:
        """The role, the term or the known leader is another than before."""
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


class Consensus(Protocol):
    """One member's consensus engine."""

    @property
    def status(self) -> ConsensusStatus: ...

    @property
    def members(self) -> tuple[Peer, ...]:
        """The voting members, this one included, in ascending order of the name."""
        ...

    @property
    def busy(self) -> bool:
        """True while an fsync of this member's journal is under way: let proposals gather until ready_to_propose."""
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
