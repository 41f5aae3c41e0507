"""The way of a command into the log, from any member, and back to whoever waits for it.

Each proposal carries its origin and a number, so that the member that made it recognises it when it
is applied, whoever appended it. Proposals gather while one turn of the loop lasts, or while the
journal is being synced, and then travel as one bundle. A member that does not lead sends its
proposals to the leader of one term, by name: they can stand in the log only with that term. Once an
entry of a later term is applied, a proposal not yet seen is surely lost and is offered again;
nobody has to guess.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from coordinator.config import Limits
from coordinator.consensus.interface import Consensus, ConsensusStatus, Role
from coordinator.errors import OutcomeUnknown, RequestError, Status
from coordinator.node.messages import Forward, Refused, encode_message
from coordinator.node.space import grows_encoded, refusal
from coordinator.state.commands import (
    Command,
    LeaderElected,
    decode_proposal,
    encode_bundle,
    encode_proposal,
)
from coordinator.state.results import Outcome

REFUSED_PAUSE_S = 0.05
"""A member whose leader just refused gives the news of another leader some time to arrive."""


class _Pending:
    """A proposal of this member whose outcome is open."""

    __slots__ = ("command", "deadline", "encoded", "future", "number", "resent", "sent_term")

    def __init__(self, command: Command, deadline: float, future: asyncio.Future[Outcome]) -> None:
        self.command = command
        self.deadline = deadline
        self.future = future
        self.number = 0
        self.encoded = b""
        # The term in which it was handed to a leader; 0: it was not.
        self.sent_term = 0
        # Whether it was, or was to be, handed to the same leader more than once.
        self.resent = False


class Proposals:
    """The open proposals of this member, and, while it leads, those that others sent it."""

    def __init__(
        self,
        consensus: Consensus,
        member_id: int,
        limits: Limits,
        no_space: Callable[[], str] = str,
    ) -> None:
        """`no_space` returns why nothing may be added to the state now; empty: it may."""
        self._no_space = no_space
        self._consensus = consensus
        self._member_id = member_id
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._incarnation = secrets.randbits(62)
        # Numbers of an earlier run of this process must not be taken for ours.
        self._number = secrets.randbits(62)
        self._pending: dict[int, _Pending] = {}
        self._pending_size_bytes = 0
        self._queue: deque[_Pending] = deque()
        self._inbox: deque[tuple[int, int, bytes]] = deque()
        self._inbox_size_bytes = 0
        self._inbox_term = 0
        self._received: dict[int, tuple[int, int]] = {}
        self._opened_term = 0
        self._applied_term = 0
        self._scheduled = False
        self._stopped = False
        # After a refusal: do not ask the same leader again before this time.
        self._pause_until = 0.0

    # --- offering ---------------------------------------------------------------------------------

    def offer(self, command: Command, deadline: float) -> asyncio.Future[Outcome]:
        """Offers a command; the future ends as `propose` does. Raises RequestError when too much is open."""
        number = self._number + 1
        data = encode_proposal(self._member_id, number, command)
        if self._stopped:
            raise _unavailable("STOPPING", "this member is stopping")
        if (
            len(self._pending) >= self._limits.proposals_max
            or self._pending_size_bytes + len(data) > self._limits.proposals_size_bytes_max
        ):
            raise _too_many("too many writes of this member are under way; try again")
        pending = _Pending(command, deadline, self._loop.create_future())
        self._enqueue(pending, number, data)
        return pending.future

    def _enqueue_again(self, pending: _Pending) -> None:
        number = self._number + 1
        self._enqueue(pending, number, encode_proposal(self._member_id, number, pending.command))

    def _enqueue(self, pending: _Pending, number: int, encoded: bytes) -> None:
        """Puts a proposal at the end of the queue under a new number: numbers leave in ascending order."""
        self._number = pending.number = number
        pending.encoded = encoded
        pending.sent_term = 0
        pending.resent = False
        self._pending[number] = pending
        self._pending_size_bytes += len(encoded)
        self._queue.append(pending)
        self.schedule()

    def _remove(self, number: int) -> _Pending | None:
        pending = self._pending.pop(number, None)
        if pending is not None:
            self._pending_size_bytes -= len(pending.encoded)
        return pending

    def schedule(self) -> None:
        """Lets what waits leave at the end of this turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._stopped:
            return
        status = self._consensus.status
        if status.role is Role.LEADER:
            if not self._consensus.busy:
                self._append(status.term)
        elif status.leader is not None and self._queue and self._loop.time() >= self._pause_until:
            self._forward(status.leader, status.term)

    def _append(self, term: int) -> None:
        """As leader: appends what waits to the log, in bundles."""
        if self._inbox_term != term:
            self._refuse_inbox()
            self._received.clear()
            self._inbox_term = term
        if self._opened_term != term:
            opening = LeaderElected(term, secrets.randbits(63) or 1)
            self._number += 1
            proposal = encode_proposal(self._member_id, self._number, opening)
            if self._consensus.propose(encode_bundle([proposal])) is None:
                return
            self._opened_term = term
        while self._queue or self._inbox:
            taken, foreign = self._take()
            bundle = [p.encoded for p in taken] + [proposal for _, _, proposal in foreign]
            if bundle and self._consensus.propose(encode_bundle(bundle)) is None:
                self._queue.extendleft(reversed(taken))
                self._inbox.extendleft(reversed(foreign))
                self._inbox_size_bytes += sum(len(p) for _, _, p in foreign)
                return
            for pending in taken:
                pending.sent_term = term

    def _take(self) -> tuple[list[_Pending], list[tuple[int, int, bytes]]]:
        """Returns the next bundle's worth of proposals: up to the size limit, or one larger one."""
        size_max = self._limits.bundle_size_bytes_max
        own: list[_Pending] = []
        foreign: list[tuple[int, int, bytes]] = []
        size = 0
        self._prune(self._inbox_term)
        while self._queue:
            pending = self._queue[0]
            if size and size + len(pending.encoded) > size_max:
                return own, foreign
            size += len(pending.encoded)
            own.append(self._queue.popleft())
        while self._inbox and (not size or size + len(self._inbox[0][2]) <= size_max):
            entry = self._inbox.popleft()
            self._inbox_size_bytes -= len(entry[2])
            size += len(entry[2])
            foreign.append(entry)
        return own, foreign

    def _prune(self, term: int) -> None:
        """Takes out of the queue what nobody waits for, and what may stand in the log under an earlier term.

        The latter was to be sent again over a new connection; now it waits until an entry of a later term tells.
        """
        if any(p.future.done() or p.sent_term not in (0, term) for p in self._queue):
            for pending in self._queue:
                if pending.future.done():
                    self._remove(pending.number)
            self._queue = deque(
                p for p in self._queue if not p.future.done() and p.sent_term in (0, term)
            )

    def _forward(self, leader: int, term: int) -> None:
        """As follower: sends what waits to the leader."""
        self._prune(term)
        while self._queue:
            size, count = 0, 0
            for pending in self._queue:
                if count and size + len(pending.encoded) > self._limits.bundle_size_bytes_max:
                    break
                size += len(pending.encoded)
                count += 1
            taken = [self._queue.popleft() for _ in range(count)]
            proposals = tuple(msgspec.Raw(p.encoded) for p in taken)
            message = Forward(term, self._incarnation, proposals)
            if not self._consensus.send(leader, encode_message(message)):
                self._queue.extendleft(reversed(taken))
                return
            for pending in taken:
                pending.sent_term = term

    # --- as leader: what others sent --------------------------------------------------------------

    def receive(self, origin: int, message: Forward) -> None:
        """Takes another member's proposals, each once however often it is sent in this term."""
        # All are decoded before any counts: broken bytes raise here and leave nothing half done.
        proposals = [(decode_proposal(raw), bytes(raw)) for raw in message.proposals]
        status = self._consensus.status
        leads = status.role is Role.LEADER and status.term == message.term
        if leads and self._inbox_term != status.term:
            self._refuse_inbox()
            self._received.clear()
            self._inbox_term = status.term
        incarnation, highest = self._received.get(origin, (0, 0))
        if incarnation != message.incarnation:
            highest = 0
        refused: list[int] = []
        full = False
        cramped: list[int] = []
        no_space = self._no_space() if leads else ""
        for proposal, data in proposals:
            if proposal.origin != origin:
                continue
            if not leads:
                refused.append(proposal.number)
            elif proposal.number > highest:
                if no_space and grows_encoded(proposal.command):
                    cramped.append(proposal.number)
                    continue
                if self._inbox_size_bytes > self._limits.proposals_size_bytes_max:
                    full = True
                    refused.append(proposal.number)
                    continue
                highest = proposal.number
                self._inbox.append((origin, proposal.number, data))
                self._inbox_size_bytes += len(data)
        if leads:
            self._received[origin] = (message.incarnation, highest)
        if refused:
            self._consensus.send(origin, encode_message(Refused(tuple(refused), full)))
        if cramped:
            answer = Refused(tuple(cramped), no_space=no_space)
            self._consensus.send(origin, encode_message(answer))
        self.schedule()

    def _refuse_inbox(self) -> None:
        by_origin: dict[int, list[int]] = {}
        for origin, number, _ in self._inbox:
            by_origin.setdefault(origin, []).append(number)
        self._inbox.clear()
        self._inbox_size_bytes = 0
        for origin, numbers in by_origin.items():
            self._consensus.send(origin, encode_message(Refused(tuple(numbers))))

    # --- what becomes of them -----------------------------------------------------------------------

    def refused(self, message: Refused) -> None:
        """The leader did not append these: offers them again, or gives up where it has no room.

        Of a proposal that was handed over twice this says only that the second one was not appended. Whoever refuses it
        does not lead its term any more, so an entry of a later term will tell.
        """
        final = message.overloaded or message.no_space
        if not message.no_space:
            self._pause_until = self._loop.time() + REFUSED_PAUSE_S
        for number in message.numbers:
            pending = self._pending.get(number)
            if pending is None or (pending.resent and not final):
                continue
            self._remove(number)
            if pending.future.done():
                continue
            if message.no_space:
                pending.future.set_exception(refusal(message.no_space))
            elif message.overloaded:
                error = _too_many("the leader has too many writes under way; try again")
                pending.future.set_exception(error)
            else:
                self._enqueue_again(pending)

    def applied(self, term: int, outcomes: Iterable[Outcome]) -> None:
        """An entry of `term` was applied with these outcomes."""
        pending_map = self._pending
        for outcome in outcomes:
            if outcome.origin == self._member_id:
                pending = pending_map.pop(outcome.number, None)
                if pending is not None:
                    self._pending_size_bytes -= len(pending.encoded)
                    if not pending.future.done():
                        pending.future.set_result(outcome)
        if term > self._applied_term:
            self._applied_term = term
            self._again(lambda p: 0 < p.sent_term < term)

    def _again(self, which: Callable[[_Pending], bool]) -> None:
        """Offers proposals again of which it is certain that they were not appended."""
        lost = [p for p in self._pending.values() if which(p)]
        for pending in lost:
            self._remove(pending.number)
            if not pending.future.done():
                self._enqueue_again(pending)

    def state_replaced(self) -> None:
        """A snapshot took the place of entries never seen here: what was in them can't be known."""
        for pending in [p for p in self._pending.values() if p.sent_term]:
            self._remove(pending.number)
            if not pending.future.done():
                pending.future.set_exception(
                    OutcomeUnknown(
                        "this member was too far behind to see whether the write was applied"
                    )
                )

    def leadership_changed(self, status: ConsensusStatus) -> None:
        """Another leader, term or role."""
        self._pause_until = 0.0
        if status.role is not Role.LEADER:
            self._refuse_inbox()
        if status.leader is not None:
            # If it is the one of before, out of sight for a while, what was sent to it may be lost.
            self.peer_connected(status.leader)
        self.schedule()

    def peer_connected(self, member: int) -> None:
        """A new connection: what was sent to the leader over the old one may be lost, so it is sent again.

        The leader knows the highest number that it took from this member in its term and passes over what it has.
        """
        status = self._consensus.status
        if status.role is Role.LEADER or status.leader != member:
            return
        open_now = [p for p in self._pending.values() if p.sent_term == status.term]
        for pending in open_now:
            pending.resent = True
        waiting = [p for p in self._queue if not p.sent_term]
        self._queue = deque(sorted((*open_now, *waiting), key=lambda p: p.number))
        self.schedule()

    def expire(self, now: float) -> None:
        """Ends the wait for proposals whose deadline has passed. Called every few ticks."""
        for pending in [p for p in self._pending.values() if p.deadline <= now or p.future.done()]:
            if pending.deadline > now and pending.sent_term:
                continue  # nobody waits, but the leader may send it back
            self._remove(pending.number)
            if pending.future.done():
                continue
            if pending.sent_term:
                error: RequestError = OutcomeUnknown(
                    "no answer from a majority before the deadline; the write may yet be applied"
                )
            else:
                error = _unavailable(
                    "NO_LEADER", "no leader could take the write before the deadline"
                )
            pending.future.set_exception(error)
        if self._queue:
            self.schedule()

    def stop(self) -> None:
        """Ends the wait for all proposals. Idempotent."""
        self._stopped = True
        for pending in list(self._pending.values()):
            if not pending.future.done():
                pending.future.set_exception(
                    OutcomeUnknown("this member stopped before the write was applied here")
                    if pending.sent_term
                    else _unavailable("STOPPING", "this member is stopping")
                )
        self._pending.clear()
        self._queue.clear()


def _too_many(message: str) -> RequestError:
    return RequestError(Status.RESOURCE_EXHAUSTED, "TOO_MANY_PROPOSALS", message, {"applied": "no"})


def _unavailable(reason: str, message: str) -> RequestError:
    return RequestError(Status.UNAVAILABLE, reason, message, {"applied": "no"})
