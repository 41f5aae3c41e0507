"""Keep-alives of this member's clients, gathered and taken to the leader.

Those of one turn of the loop travel as one message, and the leader confirms them with one probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from coordinator.consensus.interface import Consensus, Role
from coordinator.errors import RequestError, Status
from coordinator.node.messages import (
    ConnectionLost,
    KeepAlive,
    KeepAliveReply,
    Renewal,
    encode_message,
)
from coordinator.node.sessions import SessionExpirer

ATTEMPT_S = 1.0
"""How long one attempt may take before the leader is looked for again."""

IDS_MAX = 10_000
"""Sessions in one message to the leader."""

ANSWERS_MAX = 1_000
"""Questions of other members that wait for an answer at once. Who gets none within ATTEMPT_S asks again."""

Renewals = tuple[Renewal, ...]


class _Waiting:
    """Keep-alives of one caller."""

    __slots__ = ("attachments", "future", "ids")

    def __init__(
        self,
        ids: tuple[int, ...],
        attachments: tuple[int, ...],
        future: asyncio.Future[Renewals | None],
    ) -> None:
        self.ids = ids
        self.attachments = attachments
        self.future = future


class KeepAlives:
    """Sends keep-alives to wherever the leader is, again and again until a deadline."""

    def __init__(self, consensus: Consensus, expirer: SessionExpirer) -> None:
        self._consensus = consensus
        self._expirer = expirer
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._scheduled = False
        self._number = 0
        self._asked: dict[int, asyncio.Future[Renewals | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering = 0
        self._changed = asyncio.Event()

    async def keep_alive(
        self, ids: Sequence[int], attachments: Sequence[int], deadline: float
    ) -> Sequence[Renewal]:
        """Renews sessions; see `node.interface.Node.keep_alive`."""
        if not ids:
            return ()
        while True:
            future: asyncio.Future[Renewals | None] = self._loop.create_future()
            self._waiting.append(_Waiting(tuple(ids), tuple(attachments), future))
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._flush)
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    renewals = await future
                    if renewals is not None:
                        return renewals
                    await self._wait_change()
            except TimeoutError:
                raise RequestError(
                    Status.UNAVAILABLE,
                    "NO_LEADER",
                    "no leader could confirm the keep-alive before the deadline",
                ) from None

    async def _wait_change(self) -> None:
        """Waits until there may be a leader, or a little while."""
        try:
            async with asyncio.timeout(0.1):
                await self._changed.wait()
        except TimeoutError:
            pass

    def leadership_changed(self) -> None:
        """Another leader: what was asked of the old one is asked again."""
        self._changed.set()
        for future in self._asked.values():
            if not future.done():
                future.set_result(None)

    def _flush(self) -> None:
        self._scheduled = False
        waiting, self._waiting = self._waiting, []
        while waiting:
            group: list[_Waiting] = []
            size = 0
            while waiting and (not size or size + len(waiting[-1].ids) <= IDS_MAX):
                size += len(waiting[-1].ids)
                group.append(waiting.pop())
            task = self._loop.create_task(self._carry(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, group: list[_Waiting]) -> None:
        """Asks the leader once, for all of a group, and tells each its share of the answer."""
        ids = tuple(i for part in group for i in part.ids)
        attachments = tuple(a for part in group for a in part.attachments)
        renewals = await self._ask(ids, attachments)
        at = 0
        for part in group:
            if not part.future.done():
                end = at + len(part.ids)
                part.future.set_result(None if renewals is None else renewals[at:end])
            at += len(part.ids)

    async def _ask(self, ids: tuple[int, ...], attachments: tuple[int, ...]) -> Renewals | None:
        status = self._consensus.status
        if status.role is Role.LEADER:
            return await self._expirer.keep_alive(ids, attachments, ATTEMPT_S)
        if status.leader is None:
            return None
        self._number += 1
        number = self._number
        future = self._asked[number] = self._loop.create_future()
        try:
            message = encode_message(KeepAlive(number, ids, attachments))
            if not self._consensus.send(status.leader, message):
                return None
            async with asyncio.timeout(ATTEMPT_S):
                renewals = await future
        except TimeoutError:
            return None
        finally:
            del self._asked[number]
        return renewals if renewals is None or len(renewals) == len(ids) else None

    def connection_lost(self, attachments: Sequence[tuple[int, int]]) -> None:
        """Tells the leader of broken streams, once. If it does not hear of it, the TTL applies."""
        status = self._consensus.status
        if status.role is Role.LEADER:
            self._expirer.connection_lost(attachments)
        elif status.leader is not None:
            for start in range(0, len(attachments), IDS_MAX):
                part = tuple(attachments[start : start + IDS_MAX])
                self._consensus.send(status.leader, encode_message(ConnectionLost(part)))

    # --- messages ---------------------------------------------------------------------------------

    def asked(self, member: int, message: KeepAlive) -> None:
        """Another member asks this one to renew sessions."""
        if len(message.ids) > IDS_MAX or len(message.attachments) != len(message.ids):
            return
        if self._answering >= ANSWERS_MAX:
            return
        self._answering += 1
        task = self._loop.create_task(self._answer(member, message))
        self._tasks.add(task)
        task.add_done_callback(self._answer_ended)

    def _answer_ended(self, task: asyncio.Task[None]) -> None:
        self._answering -= 1
        self._tasks.discard(task)

    async def _answer(self, member: int, message: KeepAlive) -> None:
        renewals = await self._expirer.keep_alive(message.ids, message.attachments, ATTEMPT_S)
        self._consensus.send(member, encode_message(KeepAliveReply(message.number, renewals)))

    def answered(self, message: KeepAliveReply) -> None:
        """The leader's answer."""
        future = self._asked.get(message.number)
        if future is not None and not future.done():
            future.set_result(message.renewals)

    async def stop(self) -> None:
        """Ends what is under way, and deadlines."""
        self._expirer.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
