"""The life of sessions: keep-alives on their way to the leader, and deadlines on the leader.

A leader starts deadlines only after it applied the `LeaderElected` that opened its term; every
session then has its full TTL again. A keep-alive is recorded when it arrives and answered once a
quorum has confirmed, after that, that this member still leads in that same term: no later leader
can have started its deadlines earlier than the answer assumes. Expiry is a proposal that carries
the term; once it is under way, keep-alives of the session wait for what becomes of it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from coordinator.config import Timing
from coordinator.consensus.interface import Consensus, ConsensusStatus, Role
from coordinator.errors import OutcomeUnknown, RequestError
from coordinator.node.expiry import ExpiryPolicy, is_system
from coordinator.node.messages import ONLY_LOOK, Renewal
from coordinator.state.commands import SessionExpire
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, Session
from coordinator.state.results import Outcome

EXPIRE_IDS_MAX = 250
"""Sessions that one command ends, so that no entry takes long to apply."""

EXPIRE_KEYS_MAX = 1_000
"""Keys of the sessions that one command ends, or those of one session."""

UNDER_WAY_MAX = 2
"""Commands that end sessions at once: while one is applied and told to watchers, the next one is on its way."""

CHECK_PAUSE_S = 0.005
"""From one look at deadlines to the next, at least."""


class SessionExpirer:
    """The deadlines of all sessions; empty on a member that does not lead."""

    def __init__(
        self,
        consensus: Consensus,
        state: StateMachine,
        timing: Timing,
        expire: Callable[[SessionExpire], asyncio.Future[Outcome]],
        policy: ExpiryPolicy,
    ) -> None:
        self._consensus = consensus
        self._state = state
        self._timing = timing
        self._expire = expire
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        # The term in which deadlines run here; 0: they don't.
        self._term = 0
        self._deadlines: dict[int, float] = {}
        # Each session stands here under a deadline that it had; looked at again when that comes.
        self._heap: list[tuple[float, int]] = []
        # The entry of the heap that counts; others of the same session are left-overs.
        self._queued: dict[int, float] = {}
        self._ending: dict[int, asyncio.Future[None]] = {}
        # Of those: what is still to be proposed.
        self._portions_due: deque[tuple[list[int], Cause]] = deque()
        # The number of the stream over which each session was kept alive last, and those whose stream broke.
        self._attachments: dict[int, int] = {}
        self._attachment_count = 0
        self._lost: set[int] = set()
        self._end_scheduled = False
        self._under_way: set[asyncio.Future[Outcome]] = set()
        self._checked_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        """Runs when a deadline comes before the next regular look."""

    @property
    def open_term(self) -> int:
        """The term in which this member records keep-alives; 0: none."""
        return self._term

    def term_opened(self, term: int) -> None:
        """A LeaderElected was applied: starts all deadlines if it is this member's own, else drops them."""
        status = self._consensus.status
        self._drop()
        if status.role is Role.LEADER and status.term == term:
            self._term = term
            now = self._loop.time()
            for session in self._state.sessions():
                self._start(session, now)

    def leadership_changed(self, status: ConsensusStatus) -> None:
        """Drops all deadlines when this member no longer leads in the term in which they were started."""
        if status.role is not Role.LEADER or status.term != self._term:
            self._drop()

    def stop(self) -> None:
        """Drops all deadlines: this member stops."""
        self._drop()

    def state_replaced(self) -> None:
        """A snapshot replaced the state; only followers install one."""
        self._drop()

    def _drop(self) -> None:
        self._term = 0
        self._deadlines.clear()
        self._heap.clear()
        self._queued.clear()
        self._attachments.clear()
        self._lost.clear()
        self._portions_due.clear()
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for session_id in list(self._ending):
            self._settle(session_id)

    def _start(self, session: Session, now: float) -> None:
        self._deadlines[session.id] = now + session.ttl_ms / 1000
        self._push(session.id)

    def _push(self, session_id: int) -> None:
        deadline = self._queued[session_id] = self._deadlines[session_id]
        heapq.heappush(self._heap, (deadline, session_id))

    def applied(self, opened: Iterable[Session], ended: Iterable[int]) -> None:
        """Sessions were opened and ended by an applied entry."""
        if not self._term:
            return
        now = self._loop.time()
        # In this order, so that an id that was ended and taken again within one entry has its deadline.
        for session_id in ended:
            self._deadlines.pop(session_id, None)
            self._queued.pop(session_id, None)
            self._attachments.pop(session_id, None)
            self._lost.discard(session_id)
            self._settle(session_id)
        for session in opened:
            if self._state.session(session.id) is not None:
                self._start(session, now)

    def _settle(self, session_id: int) -> None:
        future = self._ending.pop(session_id, None)
        if future is None:
            return
        self._policy.settled(self._state, session_id)
        if not future.done():
            future.set_result(None)

    def check(self) -> None:
        """Proposes the end of sessions whose deadline has passed. Called every `session_check_ms`."""
        now = self._loop.time()
        period_s = self._timing.session_check_ms / 1000
        late = now - self._checked_at > 10 * period_s
        self._checked_at = now
        if late:
            return  # this process stood still: first hear what arrived meanwhile
        self._end_due(now)
        if self._timer is None and self._heap and self._heap[0][0] < now + period_s:
            at = max(self._heap[0][0], now + CHECK_PAUSE_S)
            self._timer = self._loop.call_at(at, self._check_again)

    def _check_again(self) -> None:
        self._timer = None
        self.check()

    def _end_due(self, now: float) -> None:
        due: list[int] = []
        while self._heap and self._heap[0][0] <= now:
            queued, session_id = heapq.heappop(self._heap)
            if self._queued.get(session_id) != queued or session_id in self._ending:
                continue
            if self._deadlines[session_id] > now:
                self._push(session_id)
            else:
                due.append(session_id)
        if not due:
            return
        self._policy.judge(self._state, due, now)
        silent = [i for i in due if i not in self._lost]
        lost = [i for i in due if i in self._lost]
        for ids, cause in ((silent, Cause.SESSION_EXPIRED), (lost, Cause.CONNECTION_LOST)):
            for session_id in ids:
                self._ending.setdefault(session_id, self._loop.create_future())
            self._portions_due.extend((some, cause) for some in self._portions(ids))
        if not self._end_scheduled:
            self._end_next()

    def _end_next(self) -> None:
        """Ends one portion; the next one comes after others had their turn, while few are under way."""
        self._end_scheduled = False
        if self._portions_due and len(self._under_way) < UNDER_WAY_MAX:
            self._end(*self._portions_due.popleft())
            self._end_soon()

    def _end_soon(self) -> None:
        if self._portions_due and not self._end_scheduled:
            self._end_scheduled = True
            self._loop.call_soon(self._end_next)

    def _portions(self, ids: Iterable[int]) -> Iterator[list[int]]:
        """Yields the sessions in portions that one command may end."""
        portion: list[int] = []
        keys = 0
        for session_id in ids:
            count = self._state.session_key_count(session_id)
            if portion and (len(portion) == EXPIRE_IDS_MAX or keys + count > EXPIRE_KEYS_MAX):
                yield portion
                portion, keys = [], 0
            portion.append(session_id)
            keys += count
        if portion:
            yield portion

    def _end(self, ids: Sequence[int], cause: Cause) -> None:
        # Not those that ended meanwhile: by now another session may have taken the id.
        ids = [session_id for session_id in ids if session_id in self._ending]
        if not ids:
            return
        term = self._term
        inheritance = self._policy.keep(self._state, ids, cause)
        command = SessionExpire(term, tuple(ids), cause, inheritance.heirs, inheritance.kept)
        try:
            future = self._expire(command)
        except RequestError:
            self._spare(ids)
        else:
            self._under_way.add(future)
            future.add_done_callback(lambda f: self._ended(term, ids, cause, f))

    def _ended(
        self, term: int, ids: Sequence[int], cause: Cause, future: asyncio.Future[Outcome]
    ) -> None:
        """The command that was to end these sessions has come to something."""
        self._under_way.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if self._term != term:
            return  # a later term has started everything anew
        if error is None:
            for session_id in ids:
                self._settle(session_id)
        elif isinstance(error, OutcomeUnknown):
            # It may yet be applied: nobody may be told that the session lives. Ending it again does no harm.
            self._end(ids, cause)
        else:
            self._spare(ids)
        self._end_soon()

    def _spare(self, ids: Sequence[int]) -> None:
        """The sessions were surely not ended; their deadlines stand."""
        for session_id in ids:
            if session_id in self._deadlines:
                self._push(session_id)
            self._settle(session_id)

    async def keep_alive(
        self, ids: Sequence[int], attachments: Sequence[int], timeout_s: float
    ) -> tuple[Renewal, ...] | None:
        """As leader: renews sessions; see `node.messages.KeepAlive` for the attachments.

        None: this member does not lead, or could not confirm in time that it does.
        """
        term = self._term
        if not term:
            return None
        deadline = self._loop.time() + timeout_s
        ending = [self._ending[i] for i in ids if i in self._ending]
        if ending:
            await asyncio.wait(ending, timeout=timeout_s)
            if self._term != term:
                return None
        numbers = self._renew(ids, attachments)
        left = max(0.0, deadline - self._loop.time())
        if await self._consensus.confirm(left) != term or self._term != term:
            return None
        if any(self._state.session(i) is None for i in ids):
            # Another member may have applied its opening already, and this one not yet.
            left = max(0.0, deadline - self._loop.time())
            if not await self._consensus.read_barrier(left) or self._term != term:
                return None
        if any(i in self._ending for i in ids):
            return None
        return tuple(
            self._renewal(i, number, asked == ONLY_LOOK)
            for i, number, asked in zip(ids, numbers, attachments, strict=True)
        )

    def _renewal(self, session_id: int, number: int, looked: bool) -> Renewal:
        session = self._state.session(session_id) if looked else self._renewable(session_id)
        if session is None or session_id not in self._deadlines:
            return Renewal(0, number)
        left_s = max(self._deadlines[session_id] - self._loop.time(), 0.0)
        return Renewal(session.ttl_ms, number, round(1000 * left_s))

    def _renewable(self, session_id: int) -> Session | None:
        """Returns a session that its client may keep alive."""
        session = self._state.session(session_id)
        return None if session is None or is_system(session) else session

    def _renew(self, ids: Sequence[int], attachments: Sequence[int]) -> list[int]:
        """Records that sessions are alive; returns the numbers of their streams."""
        now = self._loop.time()
        numbers = []
        for session_id, number in zip(ids, attachments, strict=True):
            session = self._renewable(session_id)
            if session is None or session_id in self._ending or number == ONLY_LOOK:
                numbers.append(0)
                continue
            self._deadlines[session_id] = now + session.ttl_ms / 1000
            self._lost.discard(session_id)
            if number >= 0 and (not number or self._attachments.get(session_id) != number):
                self._attachment_count += 1
                # The term comes first: no number of an earlier leader is ever given again.
                number = (self._term << 32) + self._attachment_count
                self._attachments[session_id] = number
            numbers.append(max(number, 0))
        return numbers

    def connection_lost(self, attachments: Iterable[tuple[int, int]]) -> None:
        """Streams broke: sessions that have no newer one get their disconnect grace, if they asked for one."""
        if not self._term:
            return
        now = self._loop.time()
        for session_id, number in attachments:
            session = self._state.session(session_id)
            if (
                session is None
                or session.disconnect_grace_ms is None
                or self._attachments.get(session_id) != number
                or session_id in self._ending
            ):
                continue
            deadline = now + session.disconnect_grace_ms / 1000
            if deadline < self._deadlines[session_id]:
                self._deadlines[session_id] = deadline
                self._lost.add(session_id)
                self._push(session_id)
