"""Readers that wait until this member has applied a revision."""

from __future__ import annotations

import asyncio
import heapq

from coordinator.errors import RequestError, Status
from coordinator.state.machine import StateMachine


class RevisionWaiters:
    """Those who wait, the one for the lowest revision first."""

    def __init__(self, state: StateMachine) -> None:
        self._state = state
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0
        self._abandoned = 0

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, revision: int, deadline: float) -> None:
        """Returns once the revision is applied; raises RequestError if that takes too long."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (revision, self._count, future))
        try:
            async with asyncio.timeout_at(deadline):
                await future
        except TimeoutError:
            raise RequestError(
                Status.DEADLINE_EXCEEDED,
                "REVISION_NOT_REACHED",
                f"this member is at revision {self._state.revision}, not yet at {revision}",
                {"revision": str(self._state.revision)},
            ) from None
        finally:
            if future.cancelled():
                self._drop_one()

    def _drop_one(self) -> None:
        """A reader gave up; its entry goes when such entries are the most."""
        self._abandoned += 1
        if self._abandoned > len(self._waiting) // 2:
            self._waiting = [w for w in self._waiting if not w[2].done()]
            heapq.heapify(self._waiting)
            self._abandoned = 0

    def wake(self) -> None:
        """The state is at a later revision than before."""
        waiting = self._waiting
        while waiting and (waiting[0][0] <= self._state.revision or waiting[0][2].done()):
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)
