from __future__ import annotations

import asyncio

from coordinator.consensus.engine.driver import Driver


class Passes:
    def __init__(self, tick_s: float = 60.0, stalled_s: float = 60.0) -> None:
        self.count = 0
        self.stalls = 0
        self.failures: list[BaseException] = []
        self.error: Exception | None = None
        self.driver = Driver(
            self.run,
            tick_s=tick_s,
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


async def test_the_timer_runs_passes_too() -> None:
    passes = Passes(tick_s=0.001)
    passes.driver.start()
    async with asyncio.timeout(10):
        while passes.count < 5:
            await asyncio.sleep(0.001)
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
