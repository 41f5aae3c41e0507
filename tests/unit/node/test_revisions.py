from __future__ import annotations

import asyncio

import pytest

from coordinator.errors import RequestError
from coordinator.node.revisions import RevisionWaiters
from coordinator.state.commands import Put, Write
from tests.bus import Bus


async def test_everyone_is_woken_at_their_revision() -> None:
    async with Bus("a") as bus:
        node = bus.nodes[0]
        waiters = RevisionWaiters(node.state)
        deadline = asyncio.get_running_loop().time() + 5
        waiting = [asyncio.create_task(waiters.wait(r, deadline)) for r in (3, 2, 2)]
        await bus.settle()
        await node.propose(Write(Put(b"/a", b"")), deadline)
        waiters.wake()
        await bus.settle()
        assert [task.done() for task in waiting] == [False, True, True]
        await node.propose(Write(Put(b"/a", b"")), deadline)
        waiters.wake()
        await asyncio.gather(*waiting)
        assert len(waiters) == 0


async def test_readers_that_gave_up_are_forgotten() -> None:
    async with Bus("a") as bus:
        waiters = RevisionWaiters(bus.nodes[0].state)
        for _ in range(50):
            with pytest.raises(RequestError):
                await waiters.wait(99, asyncio.get_running_loop().time() + 0.001)
        assert len(waiters) < 5
