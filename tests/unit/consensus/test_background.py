from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from coordinator.consensus.engine.background import NICENESS, BackgroundThread


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
async def test_it_stands_back_and_nobody_else_does() -> None:
    here = priority()
    thread = BackgroundThread("quiet")
    assert await thread.run(priority) == min(here + NICENESS, 19)
    assert priority() == here
    assert await asyncio.to_thread(priority) == here
    thread.stop()


async def test_one_call_at_a_time_and_its_outcome() -> None:
    thread = BackgroundThread("quiet")
    order: list[int] = []
    await asyncio.gather(*(thread.run(order.append, number) for number in range(9)))
    assert order == list(range(9))
    with pytest.raises(ZeroDivisionError):
        await thread.run(divmod, 1, 0)
    thread.stop()


async def test_what_has_not_begun_is_dropped_at_the_end() -> None:
    thread = BackgroundThread("quiet")
    gate, begun = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return gate.wait(10)

    first = asyncio.ensure_future(thread.run(hold))
    second = asyncio.ensure_future(thread.run(priority))
    await asyncio.to_thread(begun.wait, 10)
    thread.stop()
    gate.set()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await second
