from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from coordinator.consensus.engine.driver import Driver


class Passes:
    def __init__(
        self,
        wait_s: float = 60.0,
        again_s: float = 60.0,
        rest_s: float = 60.0,
        stalled_s: float = 60.0,
    ) -> None:
        self.wait_s = wait_s
        self.count = 0
        self.stalls = 0
        self.failures: list[BaseException] = []
        self.error: Exception | None = None
        self.driver = Driver(
            self.run,
            wait_s=lambda: self.wait_s,
            again_s=again_s,
            rest_s=rest_s,
            stalled_s=stalled_s,
            stalled=self.stall,
            failed=self.failures.append,
        )

    def run(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error

    def stall(self) -> None:
        self.stalls += 1


async def test_many_kicks_in_one_turn_are_one_pass() -> None:
    passes = Passes()
    passes.driver.start()
    for _ in range(10):
        passes.driver.kick()
    assert passes.count == 0
    await asyncio.sleep(0)
    assert passes.count == 1
    passes.driver.kick()
    await asyncio.sleep(0)
    assert passes.count == 2
    passes.driver.stop()


@pytest.mark.parametrize(
    "passes", [lambda: Passes(wait_s=0.0, again_s=0.001), lambda: Passes(rest_s=0.001)]
)
async def test_a_deadline_that_is_over_and_a_long_rest_bring_passes(
    passes: Callable[[], Passes],
) -> None:
    made = passes()
    made.driver.start()
    async with asyncio.timeout(10):
        while made.count < 5:
            await asyncio.sleep(0.001)
    made.driver.stop()


async def test_a_deadline_is_waited_for_though_others_came_first() -> None:
    loop = asyncio.get_running_loop()
    passes = Passes()
    passes.driver.start()
    await asyncio.sleep(0)
    deadline = loop.time() + 0.05
    passes.wait_s = 0.05
    passes.driver.run()  # the deadline came nearer: the timer does too
    while passes.count < 3:
        passes.wait_s = deadline - loop.time()
        assert loop.time() < deadline + 5
        await asyncio.sleep(0.001)
    assert loop.time() >= deadline
    passes.driver.stop()


async def test_a_deadline_that_was_put_off_brings_no_pass() -> None:
    passes = Passes(wait_s=0.02)
    passes.driver.start()
    await asyncio.sleep(0)
    passes.wait_s = 60.0
    await asyncio.sleep(0.05)
    assert passes.count == 1
    passes.driver.stop()


async def test_no_pass_before_the_start_and_after_the_end() -> None:
    passes = Passes()
    passes.driver.kick()
    await asyncio.sleep(0)
    passes.driver.start()
    passes.driver.stop()
    await asyncio.sleep(0)
    passes.driver.kick()
    passes.driver.run()
    await asyncio.sleep(0)
    assert passes.count == 0


async def test_an_error_ends_it() -> None:
    passes = Passes()
    passes.error = ValueError("broken")
    passes.driver.start()
    await asyncio.sleep(0)
    passes.driver.kick()
    await asyncio.sleep(0)
    assert passes.failures == [passes.error]
    assert passes.count == 1


async def test_a_late_pass_is_noticed() -> None:
    passes = Passes(stalled_s=0.0)
    passes.driver.start()
    await asyncio.sleep(0)
    assert passes.stalls == 1
    passes.driver.stop()
    calm = Passes()
    calm.driver.start()
    await asyncio.sleep(0)
    assert calm.stalls == 0
    calm.driver.stop()
