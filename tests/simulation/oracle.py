"""What all members together did: the one order of entries, and the state that follows from it.

The first member that applies an entry settles what stands at its index; every other must apply the same. A reference
state machine that knows no crash, no snapshot and no tidying applies each entry once, and keeps all history.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from coordinator.config import Limits, Timing
from coordinator.consensus.interface import ConsensusStatus, Peer, Role
from coordinator.node.expiry import ExpiryPolicy, is_system
from coordinator.node.member import MemberNode
from coordinator.state.commands import SessionExpire, decode_bundle, decode_command, decode_proposal
from coordinator.state.machine import StateMachine
from coordinator.state.model import Batch
from coordinator.state.results import Applied
from tests.simulation.history import SessionStory, Truth
from tests.simulation.loop import SimLoop

DIGEST_EVERY = 64
"""Members compare their whole state at each multiple of this index."""


class Oracle:
    """See the module. Complaints gather; the simulation goes on."""

    def __init__(self, loop: SimLoop) -> None:
        self.machine = StateMachine()
        self.batches: list[Batch] = []
        """All revisions, from 2 on."""
        self.sessions: dict[int, SessionStory] = {}
        self.heirs: dict[int, float] = {}
        """Sessions of the cluster's own, and their TTLs in seconds."""
        self.leaders: dict[int, int] = {}
        """Who led each term."""
        self.complaints: list[str] = []
        self._loop = loop
        self._indexes: list[int] = []
        self._entries: dict[int, tuple[int, bytes]] = {}
        self._revisions: list[int] = [1]
        """The revision after each of the entries, and the one before all."""
        self._digests: dict[int, str] = {}

    @property
    def last_index(self) -> int:
        return self._indexes[-1] if self._indexes else 0

    @property
    def truth(self) -> Truth:
        return Truth(self.batches, self.sessions)

    @property
    def entry_count(self) -> int:
        return len(self._indexes)

    def applied(self, node: ObservedNode, index: int, term: int, entry: bytes) -> None:
        """A member applied an entry; `node.previous` is the one before."""
        who = f"n{node.member.id}"
        expected = self._following(node.previous)
        if index > self.last_index and expected is None:
            self._settle(index, term, entry)
        elif expected != index:
            self.complaints.append(
                f"{who} applied entry {index} after {node.previous}; others have {expected} there"
            )
            return
        elif self._entries[index] != (term, entry):
            self.complaints.append(
                f"{who} applied another entry {index} (term {term}) than others (term {self._entries[index][0]})"
            )
            return
        if index in self._digests and node.state.digest() != self._digests[index]:
            self.complaints.append(
                f"{who} has another state after entry {index} than the log gives"
            )

    def restored(self, node: ObservedNode, index: int) -> None:
        """A member took over a snapshot as of an index."""
        if index > self.last_index:
            # A configuration or an empty entry may be the last one; the state is that of what came before.
            pass
        revision = self._revisions[bisect_right(self._indexes, index)]
        if node.state.revision != revision:
            self.complaints.append(
                f"n{node.member.id} restored revision {node.state.revision} as of entry {index}; it was {revision}"
            )

    def led(self, member: int, status: ConsensusStatus) -> None:
        """A member says what it knows about leadership."""
        if status.role is Role.LEADER and self.leaders.setdefault(status.term, member) != member:
            self.complaints.append(
                f"n{member} and n{self.leaders[status.term]} both lead term {status.term}"
            )

    def _following(self, index: int) -> int | None:
        position = bisect_right(self._indexes, index)
        return self._indexes[position] if position < len(self._indexes) else None

    def _settle(self, index: int, term: int, entry: bytes) -> None:
        applied = self.machine.apply(entry)
        self._indexes.append(index)
        self._entries[index] = (term, entry)
        self._revisions.append(self.machine.revision)
        self.batches += applied.batches
        self._tell(applied, _expired_by(entry, term) if applied.ended else set())
        if index % DIGEST_EVERY == 0:
            self._digests[index] = self.machine.digest()

    def _tell(self, applied: Applied, expired: set[int]) -> None:
        """Goes on with the stories of sessions. One may end and be opened again, in either order, within one entry."""
        now = self._loop.now
        ended = Counter(applied.ended)
        for session in applied.opened:
            known = self.sessions.get(session.id)
            if known is not None and known.ended_at is None:
                known.ended_at, known.expired = now, session.id in expired
                ended[session.id] -= 1
            earlier = () if known is None else (*known.earlier, known)
            self.sessions[session.id] = SessionStory(now, earlier=earlier)
            if is_system(session):
                self.heirs[session.id] = session.ttl_ms / 1_000
        for session_id in +ended:
            story = self.sessions[session_id]
            story.ended_at, story.expired = now, session_id in expired


def _expired_by(entry: bytes, term: int) -> set[int]:
    """The sessions that an entry of a term may end because of a deadline; what an earlier leader found is void."""
    expired: set[int] = set()
    for raw in decode_bundle(entry):
        command = decode_command(decode_proposal(raw).command)
        if isinstance(command, SessionExpire) and command.term == term:
            expired.update(command.ids)
    return expired


class ObservedNode(MemberNode):
    """A member whose every step the oracle sees."""

    def __init__(
        self,
        oracle: Oracle,
        member: Peer,
        client_address: str,
        limits: Limits,
        timing: Timing,
        expiry_policy: ExpiryPolicy,
    ) -> None:
        super().__init__(member, client_address, limits, timing, expiry_policy=expiry_policy)
        self.previous = 0
        """Index of the entry that was applied last."""
        self._oracle = oracle

    def apply(self, index: int, term: int, entry: bytes) -> None:
        super().apply(index, term, entry)
        self._oracle.applied(self, index, term, entry)
        self.previous = index

    def restore(self, index: int, term: int, prepared: object) -> None:
        super().restore(index, term, prepared)
        self.previous = index
        self._oracle.restored(self, index)

    def leadership_changed(self, status: ConsensusStatus) -> None:
        self._oracle.led(self.member.id, status)
        super().leadership_changed(status)
