"""The loop without time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.simulation.loop import Cut, Life, SimLoop, Stuck, simulated


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    with simulated() as loop:
        yield loop


def run(loop: SimLoop, work: Coroutine[Any, Any, object]) -> None:
    loop.run_until_complete(work)
    loop.bury()


def test_an_hour_takes_no_time(loop: SimLoop) -> None:
    begun, before = time.monotonic(), loop.time()
    run(loop, asyncio.sleep(3_600))
    assert loop.time() - before == pytest.approx(3_600, abs=0.01)
    assert time.monotonic() - begun < 10


def test_timers_go_off_in_their_order(loop: SimLoop) -> None:
    seen: list[int] = []
    for delay in (3, 1, 2):
        loop.call_later(delay, seen.append, delay)
    loop.call_later(2.5, seen.append, 0).cancel()
    run(loop, asyncio.sleep(4))
    assert seen == [1, 2, 3]


def test_a_loop_with_nothing_to_do_says_so(loop: SimLoop) -> None:
    with pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())


async def note(life: Life, seen: list[float]) -> None:
    while True:
        seen.append(life.clock())
        await asyncio.sleep(1.0)


def test_a_frozen_life_does_later_what_was_due(loop: SimLoop) -> None:
    life, seen = Life(loop, 1), list[float]()

    async def work() -> None:
        life.spawn(note(life, seen))
        await asyncio.sleep(0.5)
        life.freeze()
        await asyncio.sleep(5.0)
        assert len(seen) == 1
        life.thaw(timers_first=False)
        await asyncio.sleep(0.1)
        assert len(seen) == 2
        assert seen[1] - seen[0] == pytest.approx(5.5, abs=0.01)

    run(loop, work())


def test_a_life_that_ended_does_nothing_more(loop: SimLoop) -> None:
    life, seen, cleaned = Life(loop, 1), list[float](), list[str]()

    async def tidy() -> None:
        try:
            await note(life, seen)
        finally:
            cleaned.append("too late")
            asyncio.get_running_loop().call_soon(cleaned.append, "far too late")

    async def work() -> None:
        life.spawn(tidy())
        await asyncio.sleep(0.5)
        life.end()
        await asyncio.sleep(5.0)
        assert (len(seen), cleaned) == (1, [])
        assert life.ended.done()

    run(loop, work())
    assert cleaned == ["too late"]


def test_each_life_has_its_clock(loop: SimLoop) -> None:
    life = Life(loop, 1)
    life.rate, life.offset_s = 2.0, 500.0

    async def work() -> None:
        inside = asyncio.get_running_loop()
        begun = loop.now
        at = inside.time()
        assert at == pytest.approx(2.0 * begun + 500.0)
        await asyncio.sleep(4.0)
        assert inside.time() - at == pytest.approx(4.0, abs=0.01)
        assert loop.now - begun == pytest.approx(2.0, abs=0.01)

    async def outside() -> None:
        await life.spawn(work())

    run(loop, outside())


def test_a_clock_that_jumps_brings_timers_nearer(loop: SimLoop) -> None:
    life = Life(loop, 1)

    async def work() -> None:
        waiting = life.spawn(asyncio.sleep(60.0))
        await asyncio.sleep(0.1)
        life.jump(59.0)
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await asyncio.sleep(0.5)
        assert waiting.done()

    run(loop, work())


def test_jobs_of_one_executor_come_one_after_the_other(loop: SimLoop) -> None:
    life = Life(loop, 1)
    life.jobs = lambda: (1.0, 0.5)
    seen: list[tuple[float, int]] = []
    begun = loop.now

    def note_number(number: int) -> None:
        seen.append((loop.now - begun, number))

    async def work() -> None:
        inside, executor = asyncio.get_running_loop(), ThreadPoolExecutor(1)
        jobs = [inside.run_in_executor(executor, note_number, number) for number in range(3)]
        await asyncio.gather(*jobs)
        executor.shutdown()

    async def outside() -> None:
        await life.spawn(work())

    run(loop, outside())
    assert [n for _, n in seen] == [0, 1, 2]
    assert [at for at, _ in seen] == pytest.approx([1.0, 2.5, 4.0], abs=0.01)


def test_a_job_tells_of_its_failure(loop: SimLoop) -> None:

    async def work() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    run(loop, work())


def test_a_cut_in_a_job_ends_the_life(loop: SimLoop) -> None:
    life = Life(loop, 1)
    life.cut = life.end

    def cut() -> None:
        raise Cut

    async def work() -> None:
        task = life.spawn(asyncio.to_thread(cut))
        await life.ended
        assert not task.done()

    run(loop, work())


def test_complaints_that_nobody_took_are_kept(loop: SimLoop) -> None:

    def fail() -> None:
        raise ValueError("nobody listens")

    loop.call_soon(fail)
    run(loop, asyncio.sleep(1))
    assert "nobody listens" in loop.complaints[0]
