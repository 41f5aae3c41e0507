"""One running member: joins the state machine, consensus, proposals, watches and sessions on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

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
from coordinator.errors import FatalError, RequestError, Status
from coordinator.node.administration import Administration
from coordinator.node.compaction import Compaction
from coordinator.node.expiry import ExpiryPolicy, KeepNothing
from coordinator.node.integrity import Integrity
from coordinator.node.interface import Alarm, MemberStatus
from coordinator.node.keepalives import KeepAlives
from coordinator.node.messages import (
    NOT_ATTACHED,
    AdministrationReply,
    ChangeMembers,
    ConnectionLost,
    DigestReport,
    DiskReport,
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
from coordinator.node.saves import Save, Saves
from coordinator.node.scrubbing import Scrubbing
from coordinator.node.sessions import SessionExpirer
from coordinator.node.space import Space
from coordinator.node.watches import WatchHub, WatchStream
from coordinator.state.commands import Command
from coordinator.state.machine import StateMachine
from coordinator.state.results import Outcome
from coordinator.state.snapshot import Prepared

TIDY_STEPS = 500
"""Steps of physical compaction in one turn of the loop: about a millisecond."""

OWN_TIMEOUT_S = 10.0
"""How long a proposal of the node's own may take."""

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
        disk_free: Callable[[], int] | None = None,
        expiry_policy: ExpiryPolicy = KeepNothing(),  # noqa: B008  # has no state
    ) -> None:
        """`disk_free` returns the bytes left where consensus writes; called on another thread. None: nobody looks."""
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
        self._draining = False
        self._stopping = False
        self._failed = False
        self.leader_changes = 0
        self._disk_free = disk_free
        self._policy = expiry_policy
        self._scrubbing = Scrubbing(self.state, limits, timing, self._fail)
        self._leader_known = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._consensus: Consensus
        self._proposals: Proposals
        self._expirer: SessionExpirer
        self._keep_alives: KeepAlives
        self._administration: Administration
        self._progress: ProgressReports
        self._saves: Saves
        self._compaction: Compaction
        self._integrity: Integrity
        self._space: Space

    def attach(self, consensus: Consensus) -> None:
        """Gives the member its consensus engine."""
        self._consensus = consensus
        me, state, limits, timing = self.member.id, self.state, self.limits, self.timing
        self._space = Space(consensus, state, me, limits, self._disk_free)
        self._proposals = Proposals(consensus, me, limits, self._space.refuses)
        self._expirer = SessionExpirer(consensus, state, timing, self._offer_own, self._policy)
        self._compaction = Compaction(consensus, state, limits, timing, self._offer_own)
        self._integrity = Integrity(consensus, state, me, timing, self._offer_own, self._fail)
        self._keep_alives = KeepAlives(consensus, self._expirer)
        self._administration = Administration(consensus, me, timing)
        self._progress = ProgressReports(consensus, me)
        self._saves = Saves(consensus, state, limits)
        self._receivers: dict[type, Callable[[int, Any], None]] = {
            Forward: self._proposals.receive,
            Refused: lambda _, message: self._proposals.refused(message),
            KeepAlive: self._keep_alives.asked,
            KeepAliveReply: lambda _, message: self._keep_alives.answered(message),
            ConnectionLost: lambda _, message: self._expirer.connection_lost(message.attachments),
            ChangeMembers: self._administration.change_asked,
            Transfer: self._administration.transfer_asked,
            AdministrationReply: self._administration.answered,
            ProgressQuestion: self._progress.asked,
            Progress: self._progress.answered,
            DigestReport: self._integrity.received,
            DiskReport: self._space.received,
        }

    def _offer_own(self, command: Command) -> asyncio.Future[Outcome]:
        """Offers what no client asked for."""
        return self._proposals.offer(command, self._loop.time() + OWN_TIMEOUT_S)

    def _fail(self, error: FatalError) -> None:
        """Takes this member out of service for good."""
        if not self._failed:
            self._failed = True
            self.give_up()
            # Whoever found it may be in the midst of what consensus called it for.
            self._loop.call_soon(self._consensus.fail, error)

    async def start(self) -> None:
        """Recovers from disk and begins to take part. Raises what `Consensus.start` raises."""
        await self._consensus.start()
        await self._space.start()
        self._scrubbing.start()
        self._turn()

    async def hand_over(self, timeout_s: float) -> bool:
        """Lets another member lead, if this one does; False if none took over in time.

        Whoever waits for a write meanwhile gets an answer from the next leader.
        """
        consensus = self._consensus
        others = any(peer.voter and peer.id != self.member.id for peer in consensus.members)
        if consensus.stopped or consensus.status.role is not Role.LEADER or not others:
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
        self.give_up()
        self._scrubbing.stop()
        await self._space.stop()
        await self._keep_alives.stop()
        await self._administration.stop()
        await self._consensus.stop()

    def _turn(self) -> None:
        """What is looked at from time to time: deadlines, history, digests, what can be freed."""
        self._timer = self._loop.call_later(self.timing.session_check_ms / 1000, self._turn)
        now = self._loop.time()
        self._proposals.expire(now)
        self._expirer.check()
        self._compaction.check(now)
        self._integrity.check(now)
        if self.state.untidy:
            self._begin_to_tidy()  # what captures and scrubs held back

    # --- Node ---------------------------------------------------------------------------------------

    @property
    def consensus_status(self) -> ConsensusStatus:
        return self._consensus.status

    @property
    def term(self) -> int:
        return self._consensus.term

    @property
    def leader_client_address(self) -> str:
        leader = self._consensus.status.leader
        return "" if leader is None else self._address_of(leader)

    def _address_of(self, member: int) -> str:
        own = member == self.member.id
        return self._client_address if own else self._consensus.client_address(member)

    @property
    def uptime_s(self) -> float:
        return self._loop.time() - self._started_at

    @property
    def watch_count(self) -> int:
        return self._hub.count

    @property
    def disk_free_bytes(self) -> int | None:
        return self._space.disk_free_bytes

    def alarms(self) -> Sequence[Alarm]:
        return [*self._integrity.alarms(), *self._space.alarms()]

    def members(self) -> Sequence[MemberStatus]:
        leader = self._consensus.status.leader
        return [
            MemberStatus(
                peer=peer,
                client_address=self._address_of(peer.id),
                leader=peer.id == leader,
                connected=peer.id == self.member.id or self._consensus.connected(peer.id),
            )
            for peer in self._consensus.members
        ]

    async def propose(self, command: Command, deadline: float) -> Outcome:
        return await self.offer(command, deadline)

    def offer(self, command: Command, deadline: float) -> asyncio.Future[Outcome]:
        self._space.admit(command)
        return self._proposals.offer(command, deadline)

    async def read(self, *, local: bool, min_revision: int, deadline: float) -> None:
        if not local:
            await self._confirm(deadline)
        elif self._failed or self._consensus.stopped:
            raise RequestError(Status.UNAVAILABLE, "STOPPING", "this member is out of service")
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
            attachments = [NOT_ATTACHED] * len(ids)
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

    def save(self) -> AbstractAsyncContextManager[Save]:
        return self._saves.open()

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
        if applied.check is not None:
            self._integrity.checked(index, applied.check)
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

    def capture(self) -> Capture:
        self._saves.note(self._consensus.status.applied_index)
        return self.state.capture()

    def prepare(self, slices: Iterable[bytes]) -> object:
        return StateMachine.prepare(slices)

    def restore(self, index: int, term: int, prepared: object) -> None:
        assert isinstance(prepared, Prepared)
        self.state.restore(prepared)
        self._saves.note(index)
        self._begin_to_tidy()
        self._expirer.state_replaced()
        self._proposals.state_replaced()
        self._hub.state_replaced()
        self._integrity.state_replaced()
        self._scrubbing.state_replaced()
        self._revisions.wake()

    def leadership_changed(self, status: ConsensusStatus) -> None:
        names = {peer.id: peer.name for peer in self._consensus.members}
        leader = None if status.leader is None else names.get(status.leader)
        log.info("leadership", role=status.role.value, term=status.term, leader=leader)
        if leader is not None:
            self.leader_changes += 1
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
            self._receivers[type(message)](member, message)
        except (ValueError, RecursionError) as error:  # of msgspec, for bytes that it can't read
            log.warning("message from a member can't be read", member=member, error=str(error))

    def peer_changed(self, member: int, connected: bool) -> None:
        if connected:
            self._proposals.peer_connected(member)
            self._integrity.peer_connected(member)
        else:
            self._administration.peer_lost(member)
