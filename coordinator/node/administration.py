"""Changes of the members and transfers of leadership, asked of any member and carried out by the leader.

A member that does not lead asks the one that does, over the messages of nodes, and hands on its answer. Where nothing
was changed for want of a leader it asks again until the deadline; where the answer to a change is lost, it says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from coordinator.config import Timing
from coordinator.consensus.interface import (
    AddLearner,
    Consensus,
    MemberChange,
    Move,
    Promote,
    Remove,
    Role,
)
from coordinator.errors import OutcomeUnknown, RequestError, Status
from coordinator.naming import check_name, split_address
from coordinator.node.messages import (
    AdministrationReply,
    ChangeMembers,
    Refusal,
    Transfer,
    encode_message,
)

PAUSE_S = 0.05
"""Between two attempts, unless there is news of the leader before."""
TIMEOUT_S_MAX = 600.0
TASKS_MAX = 64
"""Questions of other members that are answered at a time."""

Encode = Callable[[int, int], bytes]
"""From the number and the milliseconds left to the message that asks the leader."""


_STOPPING = RequestError(Status.UNAVAILABLE, "STOPPING", "this member is stopping")
_NO_LEADER = RequestError(
    Status.UNAVAILABLE, "NO_LEADER", "no leader could do this before the deadline"
)


class _Elsewhere(Exception):
    """Nothing was changed, as this member does not lead."""


class Administration:
    """What operators ask of the cluster as a whole."""

    def __init__(self, consensus: Consensus, member_id: int, timing: Timing) -> None:
        self._consensus = consensus
        self._member_id = member_id
        # Writes wait during a transfer, so it may not take as long as whoever asked is ready to wait.
        self._transfer_s_max = 2 * timing.election_timeout_ms_max / 1_000
        self._loop = asyncio.get_running_loop()
        # Answers to an earlier run of this process must not be taken for ours.
        self._number = secrets.randbits(62)
        self._asked: dict[int, tuple[int, asyncio.Future[AdministrationReply | None]]] = {}
        """By number: the member that was asked, and its answer; None: it is lost."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._stopped = False

    # --- asking -----------------------------------------------------------------------------------

    async def change_members(self, change: MemberChange, force: bool, deadline: float) -> None:
        """Makes one change of the members; see `node.interface.Node.change_members`."""

        async def ask(leader: int) -> bool:
            def encode(number: int, timeout_ms: int) -> bytes:
                return encode_message(message_of(change, number, timeout_ms, force))

            reply = await self._ask(leader, encode, deadline)
            if reply is None and self._removed_by(change):
                return True
            if reply is None:
                raise OutcomeUnknown(
                    "the leader's answer was lost: the list of the members tells whether the change was made"
                )
            return _settled(reply)

        async def act() -> bool:
            await self._change(change, force, deadline)
            return True

        await self._until_settled(lambda: False, act, ask, deadline)

    def _removed_by(self, change: MemberChange) -> bool:
        """Whether this member stopped because of a change; then it may not get the leader's answer any more."""
        here = any(peer.id == self._member_id for peer in self._consensus.members)
        return change == Remove(self._member_id) and self._consensus.stopped and not here

    async def transfer_leadership(self, target: int | None, deadline: float) -> int:
        """Hands leadership over; see `node.interface.Node.transfer_leadership`."""
        before = self._consensus.status

        def settled() -> bool:
            status = self._consensus.status
            if status.leader is None:
                return False
            return status.leader == target or (target is None and status.term > before.term)

        async def ask(leader: int) -> bool:
            def encode(number: int, timeout_ms: int) -> bytes:
                return encode_message(Transfer(number, timeout_ms, target))

            reply = await self._ask(leader, encode, deadline)
            if reply is not None:
                _settled(reply)
            # Whether or not there was an answer: who leads now is what counts.
            return await self._wait_news(settled, deadline)

        async def act() -> bool:
            await self._transfer(target, deadline)
            return await self._wait_news(settled, deadline)

        await self._until_settled(settled, act, ask, deadline)
        leader = self._consensus.status.leader
        assert leader is not None
        return leader

    async def _until_settled(
        self,
        settled: Callable[[], bool],
        act: Callable[[], Awaitable[bool]],
        ask: Callable[[int], Awaitable[bool]],
        deadline: float,
    ) -> None:
        """Carries something out here or where the leader is, whenever there is one, until it is settled."""
        refused: RequestError | None = None
        while not settled():
            if self._loop.time() >= deadline:
                raise _told(refused or _NO_LEADER)
            if self._stopped or self._consensus.stopped:
                raise _told(_STOPPING)
            status = self._consensus.status
            try:
                if status.role is Role.LEADER:
                    if await act():
                        return
                elif status.leader is not None and await ask(status.leader):
                    return
            except _Elsewhere:
                refused = None
            except RequestError as error:
                if error.reason not in ("CHANGE_UNDER_WAY", "TRANSFER_UNDER_WAY"):
                    raise _told(error) from None
                refused = error
            await self._pause(deadline)

    async def _ask(
        self, leader: int, encode: Encode, deadline: float
    ) -> AdministrationReply | None:
        """Asks the leader once; returns its answer, or None if it is lost. Raises _Elsewhere if nothing was sent."""
        self._number += 1
        number = self._number
        future: asyncio.Future[AdministrationReply | None] = self._loop.create_future()
        self._asked[number] = (leader, future)
        left = min(deadline - self._loop.time(), TIMEOUT_S_MAX)
        # The leader gives up a little earlier, so that its word comes in time.
        message = encode(number, max(1, round(1_000 * (left - min(0.1, left / 10)))))
        try:
            if not self._consensus.send(leader, message):
                raise _Elsewhere
            async with asyncio.timeout_at(deadline):
                return await future
        except TimeoutError:
            return None
        finally:
            del self._asked[number]

    async def _pause(self, deadline: float) -> None:
        """Waits until there may be another leader, or a little while."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(deadline, self._loop.time() + PAUSE_S)):
                await self._news.wait()

    async def _wait_news(self, settled: Callable[[], bool], deadline: float) -> bool:
        """Whether something comes true as another member is told to lead; not for long, as nobody may be."""
        until = min(deadline, self._loop.time() + 1.0)
        while not settled():
            if self._loop.time() >= until:
                return False
            await self._pause(until)
        return True

    # --- as leader ----------------------------------------------------------------------------------

    async def _change(self, change: MemberChange, force: bool, deadline: float) -> None:
        """Raises _Elsewhere if this member does not lead, or not any more; RequestError or OutcomeUnknown."""
        if isinstance(change, Remove) and change.id == self._member_id:
            await self._leave_leadership(deadline)
            raise _Elsewhere
        try:
            await self._consensus.change_members(
                change, force=force, timeout_s=max(0.0, deadline - self._loop.time())
            )
        except RequestError as error:
            if error.reason == "NOT_LEADER":
                raise _Elsewhere from None
            raise

    async def _leave_leadership(self, deadline: float) -> None:
        """This leader is to be removed: another voter has to lead before."""
        if not any(p.voter and p.id != self._member_id for p in self._consensus.members):
            raise RequestError(
                Status.FAILED_PRECONDITION,
                "LAST_VOTER",
                "this member is the only one that votes",
            )
        await self._transfer(None, deadline)

    async def _transfer(self, target: int | None, deadline: float) -> None:
        """Raises _Elsewhere if this member does not lead; RequestError if it still does afterwards."""
        if target == self._member_id:
            return
        others = [p for p in self._consensus.members if p.voter and p.id != self._member_id]
        if target is None and not any(self._consensus.connected(peer.id) for peer in others):
            raise RequestError(
                Status.FAILED_PRECONDITION, "NO_TARGET", "there is no other voter at hand to lead"
            )
        if target is not None and target not in [peer.id for peer in others]:
            raise self._not_a_target(target)
        timeout_s = min(max(0.0, deadline - self._loop.time()), self._transfer_s_max)
        if await self._consensus.transfer_leadership(target, timeout_s):
            return
        if self._consensus.status.role is not Role.LEADER:
            raise _Elsewhere
        raise RequestError(
            Status.UNAVAILABLE,
            "TRANSFER_FAILED",
            "no other member took over in time; this one leads on",
        )

    def _not_a_target(self, target: int) -> RequestError:
        found = next((peer for peer in self._consensus.members if peer.id == target), None)
        if found is None:
            return RequestError(
                Status.NOT_FOUND, "MEMBER_NOT_FOUND", f"there is no member {target}"
            )
        return RequestError(
            Status.FAILED_PRECONDITION,
            "NOT_A_VOTER",
            f"member {found.name} does not vote, so it can't lead",
        )

    # --- messages -----------------------------------------------------------------------------------

    def change_asked(self, member: int, message: ChangeMembers) -> None:
        """Another member asks this one, as leader, for a change. Raises ValueError if it makes no sense."""
        change = change_of(message)
        self._answer(
            member,
            message.number,
            message.timeout_ms,
            lambda deadline: self._change(change, message.force, deadline),
        )

    def transfer_asked(self, member: int, message: Transfer) -> None:
        """Another member asks this one, as leader, to hand over."""
        self._answer(
            member,
            message.number,
            message.timeout_ms,
            lambda deadline: self._transfer(message.target, deadline),
        )

    def _answer(
        self,
        member: int,
        number: int,
        timeout_ms: int,
        act: Callable[[float], Coroutine[Any, Any, None]],
    ) -> None:
        if len(self._tasks) >= TASKS_MAX or self._consensus.status.role is not Role.LEADER:
            self._reply(member, AdministrationReply(number, elsewhere=True))
            return
        deadline = self._loop.time() + min(max(timeout_ms / 1_000, 0.0), TIMEOUT_S_MAX)

        async def answer() -> None:
            reply = AdministrationReply(number)
            try:
                await act(deadline)
            except _Elsewhere:
                reply = AdministrationReply(number, elsewhere=True)
            except RequestError as error:
                refusal = Refusal(error.status.value, error.reason, error.message, error.details)
                reply = AdministrationReply(number, refusal)
            self._reply(member, reply)

        task = self._loop.create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reply(self, member: int, reply: AdministrationReply) -> None:
        self._consensus.send(member, encode_message(reply))

    def answered(self, member: int, message: AdministrationReply) -> None:
        """The leader's answer. Raises ValueError if it makes no sense."""
        if message.refusal is not None:
            Status(message.refusal.status)
        asked, future = self._asked.get(message.number, (0, None))
        if future is not None and asked == member and not future.done():
            future.set_result(message)

    # --- news ---------------------------------------------------------------------------------------

    def leadership_changed(self) -> None:
        """There may be another leader."""
        self._news.set()

    def peer_lost(self, member: int) -> None:
        """What this member was asked for is answered no more."""
        for asked, future in self._asked.values():
            if asked == member and not future.done():
                future.set_result(None)

    def give_up(self) -> None:
        """Tells all who wait that this member is stopping. Idempotent."""
        self._stopped = True
        self._news.set()
        for _, future in self._asked.values():
            if not future.done():
                future.set_result(None)

    async def stop(self) -> None:
        """Ends what is under way for others. Idempotent."""
        self.give_up()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def message_of(change: MemberChange, number: int, timeout_ms: int, force: bool) -> ChangeMembers:
    """Returns the message that asks for a change."""
    match change:
        case AddLearner():
            return ChangeMembers(
                number, timeout_ms, "add", change.id, change.name, change.address, force
            )
        case Promote():
            return ChangeMembers(number, timeout_ms, "promote", change.id, force=force)
        case Remove():
            return ChangeMembers(number, timeout_ms, "remove", change.id, force=force)
        case Move():
            return ChangeMembers(
                number, timeout_ms, "move", change.id, address=change.address, force=force
            )


def change_of(message: ChangeMembers) -> MemberChange:
    """Returns the change that a message asks for; raises ValueError if it makes no sense."""
    if not 0 < message.id < 1 << 63:
        raise ValueError(f"{message.id} is no id of a member")
    match message.kind:
        case "add":
            check_name(message.name)
            split_address(message.address)
            return AddLearner(message.id, message.name, message.address)
        case "promote":
            return Promote(message.id)
        case "remove":
            return Remove(message.id)
        case "move":
            split_address(message.address)
            return Move(message.id, message.address)


def _settled(reply: AdministrationReply) -> bool:
    """Raises what the answer says, if it is not that all is well."""
    if reply.elsewhere:
        raise _Elsewhere
    refusal = reply.refusal
    if refusal is None:
        return True
    if refusal.reason == "OUTCOME_UNKNOWN":
        raise OutcomeUnknown(refusal.message)
    raise RequestError(
        Status(refusal.status), refusal.reason, refusal.message, dict(refusal.details)
    )


def _told(error: RequestError) -> RequestError:
    """Returns the error as a client gets it: whether anything was changed is said in it."""
    if isinstance(error, OutcomeUnknown):
        return error
    details = {**error.details, "applied": "no"}
    return RequestError(error.status, error.reason, error.message, details)
