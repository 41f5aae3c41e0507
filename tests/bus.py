"""A consensus of members in one loop whose every step a test decides: who leads, what is lost.

It keeps the contract of `coordinator.consensus.interface` and nothing more, so that the rooms above
consensus can be put into situations that real elections reach only by chance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from coordinator.config import Limits, Timing
from coordinator.consensus.configuration import (
    configuration_of,
    moved,
    promoted,
    with_learner,
    without,
)
from coordinator.consensus.interface import (
    AddLearner,
    ConsensusStatus,
    MemberChange,
    Move,
    Peer,
    Promote,
    Remove,
    Role,
)
from coordinator.errors import FatalError, RequestError, Status
from coordinator.node.member import MemberNode


class BusSnapshot:
    """A snapshot that is a few bytes in memory."""

    def __init__(self, index: int, term: int, content: bytes) -> None:
        self.index, self.term, self.size = index, term, len(content)
        self.content = content
        self.closed = False

    async def read(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]

    def close(self) -> None:
        self.closed = True


class BusConsensus:
    """One member's end of the bus."""

    def __init__(self, bus: Bus, peer: Peer) -> None:
        self._bus = bus
        self.peer = peer
        self.application: MemberNode
        self.applied = 0
        # (term, leader) that this member believes in, when it has not heard the news.
        self.belief: tuple[int, int | None] | None = None
        self.busy = False
        self.stopped = False
        self.failure: FatalError | None = None
        self.snapshots: list[BusSnapshot] = []
        """Those that were opened."""
        self.snapshot_content = b""
        self._transferring = False

    @property
    def term(self) -> int:
        return self.status.term

    @property
    def status(self) -> ConsensusStatus:
        bus = self._bus
        term, leader = self.belief or (bus.term, bus.leader)
        return ConsensusStatus(
            role=Role.LEADER if leader == self.peer.id else Role.FOLLOWER,
            term=term,
            leader=leader,
            commit_index=bus.committed,
            applied_index=self.applied,
            last_index=len(bus.log),
            snapshot_index=0,
            journal_size_bytes=0,
            snapshot_size_bytes=0,
        )

    @property
    def members(self) -> tuple[Peer, ...]:
        return self._bus.configuration.peers

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def fail(self, error: FatalError) -> None:
        """Stops: it is told nothing and tells nothing any more, and leads no more."""
        self.failure = error
        self.stopped = True
        self._bus.behind.add(self.peer.id)
        for peer in self.members:
            self._bus.cut |= {(self.peer.id, peer.id), (peer.id, self.peer.id)}
        if self._bus.leader == self.peer.id:
            self._bus.elect(None)

    async def open_snapshot(self) -> BusSnapshot:
        self.application.capture().release()
        self.snapshots.append(BusSnapshot(self.applied, self._bus.term, self.snapshot_content))
        return self.snapshots[-1]

    def propose(self, entry: bytes) -> int | None:
        if self._bus.leader != self.peer.id or self._transferring:
            return None
        return self._bus.append(entry)

    async def transfer_leadership(self, target: int | None, timeout_s: float) -> bool:
        """Waits for `Bus.before_transfer`, if there is one, and then lets the target lead."""
        bus = self._bus
        if bus.leader != self.peer.id:
            return False
        if self._transferring:
            raise RequestError(Status.ABORTED, "TRANSFER_UNDER_WAY", "leadership moves already")
        others = [peer.id for peer in self.members if peer.voter and peer.id != self.peer.id]
        self._transferring = self.busy = True
        try:
            async with asyncio.timeout(timeout_s):
                if bus.before_transfer is not None:
                    await bus.before_transfer()
                bus.elect(others[0] if target is None else target)
                return True
        except TimeoutError:
            return False
        finally:
            self._transferring = self.busy = False
            self.application.ready_to_propose()

    async def change_members(self, change: MemberChange, *, force: bool, timeout_s: float) -> None:
        """Waits for `Bus.before_change`, if there is one, and then makes the change."""
        bus = self._bus
        bus.changes.append((self.peer.id, change, force))
        if bus.before_change is not None:
            await bus.before_change()
        if bus.leader != self.peer.id:
            raise RequestError(Status.UNAVAILABLE, "NOT_LEADER", "only the leader can do this")
        match change:
            case AddLearner():
                learner = Peer(change.id, change.name, change.address)
                bus.configuration = with_learner(bus.configuration, learner)
            case Promote():
                bus.configuration = promoted(bus.configuration, change.id)
            case Remove():
                bus.configuration = without(bus.configuration, change.id)
            case Move():
                bus.configuration = moved(bus.configuration, change.id, change.address)
        for member in bus.members:
            member.application.members_changed(member.members)

    async def confirm(self, timeout_s: float) -> int | None:
        return await self._bus.confirm(self.peer.id, timeout_s)

    async def read_barrier(self, timeout_s: float) -> bool:
        if self._bus.before_barrier is not None:
            await self._bus.before_barrier()
        return await self._bus.confirm(self._bus.leader or 0, timeout_s) is not None

    def send(self, member: int, payload: bytes) -> bool:
        return self._bus.send(self.peer.id, member, payload)

    def connected(self, member: int) -> bool:
        present = 0 < member <= len(self._bus.members)
        return present and (self.peer.id, member) not in self._bus.cut

    def client_address(self, member: int) -> str:
        return self._bus.addresses.get(member, "")


class Bus:
    """The log and the links of all members."""

    def __init__(
        self, names: str = "abc", limits: Limits | None = None, timing: Timing | None = None
    ) -> None:
        self.log: list[tuple[int, bytes]] = []
        self.committed = 0
        self.term = 0
        self.leader: int | None = None
        # While True, entries are appended but not committed.
        self.held = False
        self.quorum = True
        self.cut: set[tuple[int, int]] = set()
        # Sees each message between members; False loses it.
        self.tap: Callable[[int, int, bytes], bool] = lambda origin, member, payload: True
        self.before_confirm: Callable[[], Awaitable[None]] | None = None
        self.before_barrier: Callable[[], Awaitable[None]] | None = None
        self.before_transfer: Callable[[], Awaitable[None]] | None = None
        self.before_change: Callable[[], Awaitable[None]] | None = None
        # (leader, change, force) of every change that was asked of a member's consensus.
        self.changes: list[tuple[int, MemberChange, bool]] = []
        # Client addresses that members told when they connected.
        self.addresses: dict[int, str] = {}
        # Members that do not apply what is committed, for now.
        self.behind: set[int] = set()
        # What each member finds free on its disk when it looks.
        self.disk_free_bytes: dict[int, int] = {}
        self.members: list[BusConsensus] = []
        self.nodes: list[MemberNode] = []
        """What consensus was asked to change, and whether by force."""
        for number, name in enumerate(names, start=1):
            peer = Peer(number, name, f"{name}:1")
            self.disk_free_bytes[number] = 1 << 40
            node = MemberNode(
                peer,
                f"{name}:2",
                limits or Limits(),
                timing or Timing(),
                disk_free=partial(self.disk_free_bytes.__getitem__, number),
            )
            consensus = BusConsensus(self, peer)
            consensus.application = node
            node.attach(consensus)
            self.members.append(consensus)
            self.nodes.append(node)
        self.configuration = configuration_of(tuple(member.peer for member in self.members))

    async def __aenter__(self) -> Bus:
        for node in self.nodes:
            await node.start()
        self.elect(1)
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:
            await node.stop()

    def elect(self, leader: int | None) -> None:
        """Begins a term, with this leader or none."""
        self.term += 1
        self.leader = leader
        for member in self.members:
            member.application.leadership_changed(member.status)

    def append(self, entry: bytes) -> int:
        self.log.append((self.term, entry))
        if not self.held:
            asyncio.get_running_loop().call_soon(self.commit)
        return len(self.log)

    def commit(self) -> None:
        """Commits and applies all that was appended, unless it is held."""
        if self.held:
            return
        self.committed = len(self.log)
        for member in self.members:
            if member.peer.id not in self.behind:
                self.apply(member)

    def apply(self, member: BusConsensus) -> None:
        """Lets one member apply what is committed."""
        while member.applied < self.committed:
            term, entry = self.log[member.applied]
            member.applied += 1
            member.application.apply(member.applied, term, entry)

    def lose(self) -> int:
        """Drops what is not committed, as a change of leader may; returns the number of entries."""
        lost = len(self.log) - self.committed
        del self.log[self.committed :]
        return lost

    async def confirm(self, member: int, timeout_s: float) -> int | None:
        if self.before_confirm is not None:
            await self.before_confirm()
        await asyncio.sleep(0)
        if member != self.leader or not self.quorum or not member:
            await asyncio.sleep(min(timeout_s, 0.01))
            return None
        return self.term

    def send(self, origin: int, member: int, payload: bytes) -> bool:
        if (origin, member) in self.cut or not 0 < member <= len(self.members):
            return False
        if self.tap(origin, member, payload):
            target = self.members[member - 1]
            asyncio.get_running_loop().call_soon(
                target.application.message_received, origin, payload
            )
        return True

    def reconnect(self, one: int, other: int) -> None:
        """Makes a new connection between two members."""
        for a, b in ((one, other), (other, one)):
            self.cut.discard((a, b))
            self.members[a - 1].application.peer_changed(b, True)

    async def settle(self, turns: int = 20) -> None:
        """Lets the loop turn until what is under way is done."""
        for _ in range(turns):
            await asyncio.sleep(0)
