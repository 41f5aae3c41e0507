"""Keep-alives of this member's clients, gathered and taken to the leader.

Those of one turn of the loop travel as one message, and the leader confirms them with one probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from coordinator.consensus.interface import Consensus, Role
from coordinator.errors import RequestError, Status
from coordinator.node.messages import KeepAlive, KeepAliveReply, encode_message
from coordinator.node.sessions import SessionExpirer

ATTEMPT_S = 1.0
"""How long one attempt may take before the leader is looked for again."""

IDS_MAX = 10_000
"""Sessions in one message to the leader."""


class KeepAlives:
    """Sends keep-alives to wherever the leader is, again and again until a deadline."""

    def __init__(self, consensus: Consensus, expirer: SessionExpirer) -> None:
        self._consensus = consensus
        self._expirer = expirer
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[tuple[int, ...], asyncio.Future[tuple[int, ...] | None]]] = []
        self._scheduled = False
        self._number = 0
        self._asked: dict[int, asyncio.Future[tuple[int, ...] | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def keep_alive(self, ids: Sequence[int], deadline: float) -> Sequence[int]:
        """Renews sessions; see `node.interface.Node.keep_alive`."""
        if not ids:
            return ()
        while True:
            future: asyncio.Future[tuple[int, ...] | None] = self._loop.create_future()
            self._waiting.append((tuple(ids), future))
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._flush)
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    ttls = await future
                    if ttls is not None:
                        return ttls
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
            group, size = [], 0
            while waiting and (not size or size + len(waiting[-1][0]) <= IDS_MAX):
                ids, future = waiting.pop()
                size += len(ids)
                group.append((ids, future))
            task = self._loop.create_task(self._carry(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, group: list[tuple[tuple[int, ...], asyncio.Future[tuple[int, ...] | None]]]
    ) -> None:
        """Asks the leader once, for all of a group, and tells each its share of the answer."""
        ids = tuple(i for part, _ in group for i in part)
        ttls = await self._ask(ids)
        at = 0
        for part, future in group:
            if not future.done():
                future.set_result(None if ttls is None else ttls[at : at + len(part)])
            at += len(part)

    async def _ask(self, ids: tuple[int, ...]) -> tuple[int, ...] | None:
        status = self._consensus.status
        if status.role is Role.LEADER:
            return await self._expirer.keep_alive(ids, ATTEMPT_S)
        if status.leader is None:
            return None
        self._number += 1
        number = self._number
        future = self._asked[number] = self._loop.create_future()
        try:
            if not self._consensus.send(status.leader, encode_message(KeepAlive(number, ids))):
                return None
            async with asyncio.timeout(ATTEMPT_S):
                ttls = await future
        except TimeoutError:
            return None
        finally:
            del self._asked[number]
        return ttls if ttls is None or len(ttls) == len(ids) else None

    # --- messages ---------------------------------------------------------------------------------

    def asked(self, member: int, message: KeepAlive) -> None:
        """Another member asks this one to renew sessions."""
        if len(message.ids) > IDS_MAX:
            return
        task = self._loop.create_task(self._answer(member, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, member: int, message: KeepAlive) -> None:
        ttls = await self._expirer.keep_alive(message.ids, ATTEMPT_S)
        self._consensus.send(member, encode_message(KeepAliveReply(message.number, ttls)))

    def answered(self, message: KeepAliveReply) -> None:
        """The leader's answer."""
        future = self._asked.get(message.number)
        if future is not None and not future.done():
            future.set_result(message.ttls_ms)

    async def stop(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
