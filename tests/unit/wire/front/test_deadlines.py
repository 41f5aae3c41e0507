"""Deadlines: they pass in their order, cost nothing afterwards, and leave nothing behind."""

from __future__ import annotations

import asyncio

from coordinator.wire.front import deadlines
from coordinator.wire.front.deadlines import Deadlines


class Due:
    def __init__(self, name: str, passed: list[str]) -> None:
        self.name, self.passed, self.slot = name, passed, 0

    def expire(self) -> None:
        self.passed.append(self.name)


async def test_they_pass_in_order_and_not_early() -> None:
    loop, passed = asyncio.get_running_loop(), list[str]()
    kept, began = Deadlines(loop), loop.time()
    for name, after_s in (("c", 0.09), ("a", 0.02), ("b", 0.05), ("never", 3600.0)):
        kept.add(Due(name, passed), began + after_s)
    while len(passed) < 3:
        assert (loop.time() - began < 0.0199) <= (not passed)
        await asyncio.sleep(0.002)
    assert passed == ["a", "b", "c"] and loop.time() - began > 0.0899
    kept.close()


async def test_a_call_that_ended_does_not_expire() -> None:
    loop, passed = asyncio.get_running_loop(), list[str]()
    kept = Deadlines(loop)
    gone, there = Due("gone", passed), Due("there", passed)
    kept.add(gone, loop.time() + 0.02)
    kept.add(there, loop.time() + 0.03)
    kept.remove(gone)
    kept.remove(gone)
    await asyncio.sleep(0.08)
    assert passed == ["there"]
    kept.remove(there)
    kept.close()


async def test_deadlines_that_never_pass_leave_nothing() -> None:
    loop = asyncio.get_running_loop()
    kept = Deadlines(loop)
    for i in range(3 * deadlines.EMPTIED_MAX):
        due = Due("", [])
        kept.add(due, loop.time() + 100 + i)
        kept.remove(due)
    assert len(kept._order) <= deadlines.EMPTIED_MAX and len(kept._slots) == len(kept._order)
    far = Due("", [])
    kept.add(far, loop.time() + 1e12)
    assert far.slot * deadlines.SLOT_S <= loop.time() + deadlines.DISTANT_S + 1
    kept.close()
