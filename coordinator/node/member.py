"""One running member: joins the state machine, consensus, proposals, watches and sessions on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence

import structlog

from coordinator.config import Limits, Timing
from coordinator.consensus.interface import (
    Capture,
    Consensus,
    ConsensusStatus,
    MemberChange,
    Peer,
    Role,
)
from coordinator.errors import RequestError, Status
from coordinator.node.administration import Administration
from coordinator.node.interface import MemberStatus
from coordinator.node.keepalives import KeepAlives
from coordinator.node.messages import (
    AdministrationReply,
    ChangeMembers,
    ConnectionLost,
    Forward,
    KeepAlive,
    KeepAliveReply,
    Progress,
    ProgressQuestion,
    Refused,
    Renewal,
    Transfer,
    decode_message,
)
from coordinator.node.progress import ProgressReports
from coordinator.node.proposals import Proposals
from coordinator.node.revisions import RevisionWaiters
from coordinator.node.sessions import SessionExpirer
from coordinator.node.watches import WatchHub, WatchStream
from coordinator.state.commands import Command, Compact
from coordinator.state.machine import StateMachine
from coordinator.state.results import Outcome
from coordinator.state.snapshot import Prepared

TIDY_STEPS = 500
"""Steps of physical compaction in one turn of the loop: about a millisecond."""

BARRIER_ATTEMPT_S = 1.0
"""How long one attempt to confirm a read may take before the leader is looked for again."""

log = structlog.get_logger()


class MemberNode:
    """Implements `node.interface.Node` and drives consensus as its `Application`.

    Made before its engine, which needs it; `attach` joins the two.
    """

    def __init__(
        self,
        member: Peer,
        client_address: str,
        limits: Limits,
        timing: Timing,
        cluster_key: int = 0,
    ) -> None:
        self.member = member
        self.cluster_key = cluster_key
        self.limits = limits
        self.timing = timing
        self.state = StateMachine()
        self._client_address = client_address
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._hub = WatchHub(self.state, limits)
        self._revisions = RevisionWaiters(self.state)
        self._tidying = False
        self._compacting = False
        self._draining = False
        self._stopping = False
        self._leader_known = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._consensus: Consensus
        self._proposals: Proposals
        self._expirer: SessionExpirer
        self._keep_alives: KeepAlives
        self._administration: Administration
        self._progress: ProgressReports

    def attach(self, consensus: Consensus) -> None:
        """Gives the member its consensus engine."""
        self._consensus = consensus
        self._proposals = Proposals(consensus, self.member.id, self.limits)
        self._expirer = SessionExpirer(
            consensus,
            self.state,
            self.timing,
            lambda command: self._proposals.offer(command, self._loop.time() + 10.0),
        )
        self._keep_alives = KeepAlives(consensus, self._expirer)
        self._administration = Administration(consensus, self.member.id, self.timing)
        self._progress = ProgressReports(consensus, self.member.id)

    async def start(self) -> None:
        """Recovers from disk and begins to take part. Raises what `Consensus.start` raises."""
        await self._consensus.start()
        self._turn()

    async def hand_over(self, timeout_s: float) -> bool:
        """Lets another member lead, if this one does; False if none took over in time.

        Whoever waits for a write meanwhile gets an answer from the next leader.
        """
        consensus = self._consensus
        if consensus.stopped or consensus.status.role is not Role.LEADER:
            return True
        if not any(peer.voter and peer.id != self.member.id for peer in consensus.members):
            return True
        try:
            return await consensus.transfer_leadership(None, timeout_s)
        except RequestError:  # a transfer that an operator asked for is under way
            return False

    def drain(self) -> None:
        """From now on streams end because this member stops, not because of their clients. Idempotent."""
        self._draining = True

    def give_up(self) -> None:
        """Tells all who wait that this member is stopping: nothing new is taken. Idempotent."""
        self._draining = self._stopping = True
        self._leader_known.set()
        self._proposals.stop()
        self._administration.give_up()

    async def stop(self) -> None:
        """Stops taking part. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.give_up()
        await self._keep_alives.stop()
        await self._administration.stop()
        await self._consensus.stop()

    def _turn(self) -> None:
        """What is looked at from time to time: deadlines of proposals and sessions, the length of history."""
        self._timer = self._loop.call_later(self.timing.session_check_ms / 1000, self._turn)
        self._proposals.expire(self._loop.time())
        self._expirer.check()
        self._compact()

    # --- Node ---------------------------------------------------------------------------------------

    @property
    def consensus_status(self) -> ConsensusStatus:
        return self._consensus.status

    @property
    def uptime_s(self) -> float:
        return self._loop.time() - self._started_at

    @property
    def watch_count(self) -> int:
        return self._hub.count

    def members(self) -> Sequence[MemberStatus]:
        leader = self._consensus.status.leader
        return [
            MemberStatus(
                peer=peer,
                client_address=self._client_address
                if peer.id == self.member.id
                else self._consensus.client_address(peer.id),
                leader=peer.id == leader,
                connected=peer.id == self.member.id or self._consensus.connected(peer.id),
            )
            for peer in self._consensus.members
        ]

    async def propose(self, command: Command, deadline: float) -> Outcome:
        return await self._proposals.propose(command, deadline)

    async def read(self, *, local: bool, min_revision: int, deadline: float) -> None:
        if not local:
            await self._confirm(deadline)
        if min_revision > self.state.revision:
            await self._revisions.wait(min_revision, deadline)

    async def _confirm(self, deadline: float) -> None:
        while (left := deadline - self._loop.time()) > 0:
            self._leader_known.clear()
            if await self._consensus.read_barrier(min(left, BARRIER_ATTEMPT_S)):
                return
            if self._stopping or self._consensus.stopped:
                raise RequestError(Status.UNAVAILABLE, "STOPPING", "this member is stopping")
            # Even if a leader is known: an answer that came at once must not be asked for again at once.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(deadline - self._loop.time(), 0.0), 0.1)):
                    await self._leader_known.wait()
        raise RequestError(
            Status.UNAVAILABLE, "NO_LEADER", "no majority confirmed the read before the deadline"
        )

    async def keep_alive(
        self, ids: Sequence[int], deadline: float, attachments: Sequence[int] | None = None
    ) -> Sequence[Renewal]:
        if attachments is None:
            attachments = [-1] * len(ids)
        return await self._keep_alives.keep_alive(ids, attachments, deadline)

    def connection_lost(self, attachments: Mapping[int, int]) -> None:
        # When it was this member that ended the stream, the client is well and goes elsewhere.
        if not self._draining:
            self._keep_alives.connection_lost(list(attachments.items()))

    async def change_members(self, change: MemberChange, *, force: bool, deadline: float) -> None:
        await self._administration.change_members(change, force, deadline)

    async def transfer_leadership(self, target: int | None, deadline: float) -> int:
        return await self._administration.transfer_leadership(target, deadline)

    async def progress(self, timeout_s: float) -> Mapping[int, int]:
        return await self._progress.ask(timeout_s)

    def open_watch_stream(self) -> WatchStream:
        return WatchStream(self._hub, self.limits)

    @property
    def watches_full(self) -> bool:
        return self._hub.full

    # --- Application ----------------------------------------------------------------------------------

    def apply(self, index: int, term: int, entry: bytes) -> None:
        compacted = self.state.compacted_revision
        applied = self.state.apply(entry)
        if applied.elected is not None:
            self._expirer.term_opened(applied.elected)
        if applied.opened or applied.ended:
            self._expirer.applied(applied.opened, applied.ended)
        self._proposals.applied(term, applied.outcomes)
        if applied.batches:
            self._hub.publish(applied.batches)
            self._revisions.wake()
        if self.state.compacted_revision != compacted:
            self._begin_to_tidy()

    def _begin_to_tidy(self) -> None:
        if not self._tidying:
            self._tidying = True
            self._loop.call_soon(self._tidy)

    def _tidy(self) -> None:
        self._tidying = self.state.tidy(TIDY_STEPS)
        if self._tidying:
            self._loop.call_soon(self._tidy)

    def _compact(self) -> None:
        """As leader: proposes to forget history beyond the limit, a tenth of it at a time."""
        history_max = self.limits.history_revisions_max
        if (
            self._compacting
            or self.state.revision - self.state.compacted_revision
            <= history_max + history_max // 10
            or self._consensus.status.role is not Role.LEADER
        ):
            return
        self._compacting = True

        def done(future: asyncio.Future[Outcome]) -> None:
            self._compacting = False
            if not future.cancelled() and (error := future.exception()) is not None:
                log.warning("history was not compacted", error=str(error))

        command = Compact(self.state.revision - history_max)
        try:
            self._proposals.offer(command, self._loop.time() + 10.0).add_done_callback(done)
        except RequestError:
            self._compacting = False  # too much under way: it can wait

    def capture(self) -> Capture:
        return self.state.capture()

    def prepare(self, slices: Iterable[bytes]) -> object:
        return StateMachine.prepare(slices)

    def restore(self, index: int, term: int, prepared: object) -> None:
        assert isinstance(prepared, Prepared)
        self.state.restore(prepared)
        self._begin_to_tidy()
        self._expirer.state_replaced()
        self._proposals.state_replaced()
        self._hub.state_replaced()
        self._revisions.wake()

    def leadership_changed(self, status: ConsensusStatus) -> None:
        names = {peer.id: peer.name for peer in self._consensus.members}
        leader = None if status.leader is None else names.get(status.leader)
        log.info("leadership", role=status.role.value, term=status.term, leader=leader)
        if leader is not None:
            self._leader_known.set()
        self._expirer.leadership_changed(status)
        self._proposals.leadership_changed(status)
        self._keep_alives.leadership_changed()
        self._administration.leadership_changed()

    def members_changed(self, members: tuple[Peer, ...]) -> None:
        self.member = next((peer for peer in members if peer.id == self.member.id), self.member)
        voters = [peer.name for peer in members if peer.voter]
        learners = [peer.name for peer in members if not peer.voter]
        log.info("members", voters=voters, learners=learners)

    def ready_to_propose(self) -> None:
        self._proposals.schedule()

    def message_received(self, member: int, payload: bytes) -> None:
        try:
            message = decode_message(payload)
            if isinstance(message, Forward):
                self._proposals.receive(member, message)
            elif isinstance(message, Refused):
                self._proposals.refused(message)
            elif isinstance(message, KeepAlive):
                self._keep_alives.asked(member, message)
            elif isinstance(message, KeepAliveReply):
                self._keep_alives.answered(message)
            elif isinstance(message, ConnectionLost):
                self._expirer.connection_lost(message.attachments)
            elif isinstance(message, ChangeMembers):
                self._administration.change_asked(member, message)
            elif isinstance(message, Transfer):
                self._administration.transfer_asked(member, message)
            elif isinstance(message, AdministrationReply):
                self._administration.answered(member, message)
            elif isinstance(message, ProgressQuestion):
                self._progress.asked(member, message)
            elif isinstance(message, Progress):
                self._progress.answered(member, message)
        except (
            ValueError,
            RecursionError,
        ) as error:  # what msgspec raises for bytes that it can't read
            log.warning("message from a member can't be read", member=member, error=str(error))

    def peer_changed(self, member: int, connected: bool) -> None:
        if connected:
            self._proposals.peer_connected(member)
        else:
            self._administration.peer_lost(member)
