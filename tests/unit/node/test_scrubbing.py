"""A member whose memory is not what was applied finds out by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from coordinator.config import Limits, Timing
from coordinator.errors import FatalError
from coordinator.node.scrubbing import Scrubbing
from coordinator.state.commands import Compact, Put, Write
from coordinator.state.machine import StateMachine
from coordinator.state.scrub import Scrub
from tests.bus import Bus
from tests.unit.state.workload import bundle

OFTEN = Timing(scrub_pause_ms=1)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.002)


def filled(count: int) -> StateMachine:
    state = StateMachine()
    state.apply(bundle([Write(Put(b"/%05d" % i, b"v")) for i in range(count)]))
    return state


def damage(state: StateMachine, key: bytes) -> None:
    live = state._keyspace._live
    live[key] = msgspec.structs.replace(live[key], value=b"w")


async def test_sound_memory_is_looked_through_again_and_again() -> None:
    failures: list[FatalError] = []
    state = filled(3_000)
    scrubbing = Scrubbing(state, Limits(), OFTEN, failures.append)
    scrubbing.start()
    await until(lambda: scrubbing.rounds >= 3)
    scrubbing.stop()
    scrubbing.stop()
    assert not failures


async def test_damage_is_found_and_ends_the_service_of_the_member() -> None:
    async with Bus("abc", timing=OFTEN) as bus:
        loop = asyncio.get_running_loop()
        for i in range(5):
            await bus.nodes[0].propose(Write(Put(b"/%d" % i, b"v")), loop.time() + 5)
        damage(bus.nodes[1].state, b"/3")
        await until(lambda: bus.members[1].failure is not None)
        assert "keys" in str(bus.members[1].failure)
        assert "coordctl member remove" in str(bus.members[1].failure)
        await bus.nodes[0].propose(Write(Put(b"/9", b"v")), loop.time() + 5)
        assert bus.members[0].failure is None and bus.members[2].failure is None


async def test_a_search_that_breaks_on_damage_has_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[FatalError] = []
    state = filled(10)

    def step(scrub: Scrub, budget: int) -> None:
        raise KeyError(b"/00003")

    monkeypatch.setattr(Scrub, "step", step)
    scrubbing = Scrubbing(state, Limits(), OFTEN, failures.append)
    scrubbing.start()
    await until(lambda: bool(failures))
    await asyncio.sleep(0.02)
    assert len(failures) == 1 and "/00003" in str(failures[0])
    scrubbing.stop()


async def test_once_found_it_is_not_looked_for_again() -> None:
    failures: list[FatalError] = []
    state = filled(10)
    damage(state, b"/00003")
    scrubbing = Scrubbing(state, Limits(), OFTEN, failures.append)
    scrubbing.start()
    await until(lambda: bool(failures))
    await asyncio.sleep(0.02)
    assert len(failures) == 1
    scrubbing.stop()


async def test_it_can_be_turned_off() -> None:
    scrubbing = Scrubbing(filled(1), Limits(), Timing(scrub_pause_ms=0), lambda error: None)
    scrubbing.start()
    await asyncio.sleep(0.01)
    assert not scrubbing.rounds


@pytest.mark.parametrize(
    "limits", [Limits(history_revisions_max=50), Limits(history_size_bytes_max=10_000)]
)
async def test_a_round_does_not_hold_history_back_for_ever(limits: Limits) -> None:
    failures: list[FatalError] = []
    state = filled(10_000)
    scrubbing = Scrubbing(state, limits, OFTEN, failures.append)
    scrubbing.look()
    state.apply(bundle([Compact(9_000)]))
    while state.tidy(10_000):
        pass
    assert state.held_size_bytes > 8_000 * 256
    scrubbing.look()
    while state.tidy(10_000):
        pass
    assert state.held_size_bytes == 0
    for _ in range(40):
        scrubbing.look()
    assert scrubbing.rounds >= 1 and not failures
    scrubbing.stop()


async def test_a_replaced_state_is_looked_through_from_its_start() -> None:
    failures: list[FatalError] = []
    state = filled(5_000)
    damage(state, b"/04999")
    scrubbing = Scrubbing(state, Limits(), OFTEN, failures.append)
    scrubbing.look()
    state.restore(StateMachine.prepare(list(filled(10).capture().encode())))
    scrubbing.state_replaced()
    for _ in range(10):
        scrubbing.look()
    assert scrubbing.rounds >= 1 and not failures
    scrubbing.stop()
