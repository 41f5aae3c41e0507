"""A node holds its share of the slots under a session, and only as long as it is sure of that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from coordinator.checks import holdings
from coordinator.checks.holdings import Holdings
from coordinator.checks.slots import ROOT, ROOT_END, SLOTS, node_key, share_of, slot_key
from coordinator.state.commands import (
    DeleteRange,
    Put,
    Range,
    Selector,
    SessionClose,
    SessionOpen,
    Txn,
    Write,
)
from coordinator.state.results import Failure, RangeResult
from tests.bus import Bus

TTL_MS = 300


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "RETRY_S", 0.01)


@contextlib.asynccontextmanager
async def holding(bus: Bus, number: int) -> AsyncIterator[Holdings]:
    made = Holdings(bus.nodes[number], TTL_MS, lambda: None)
    task = asyncio.create_task(made.run())
    made.want(True)
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert not made.held and not made.sure()


async def wait(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def write(bus: Bus, *ops: Put | DeleteRange) -> None:
    await bus.nodes[0].propose(Write(Txn((), ops)), asyncio.get_running_loop().time() + 5)


def keys(bus: Bus) -> dict[bytes, bytes]:
    found = bus.nodes[0].state.range(Range(Selector(ROOT, ROOT_END)))
    assert isinstance(found, RangeResult)
    return {kv.key: kv.value for kv in found.kvs}


def shares(*holdings: Holdings) -> bool:
    """Whether each slot is held by one of them, as it should be."""
    names = "abc"[: len(holdings)]
    return [set(one.held) for one in holdings] == [set(share_of(n, names)) for n in names]


async def test_nodes_that_come_and_go_share_the_slots() -> None:
    async with Bus() as bus, holding(bus, 0) as a:
        await wait(lambda: shares(a) and a.sure())
        async with holding(bus, 1) as b:
            await wait(lambda: shares(a, b))
            async with holding(bus, 2) as c:
                await wait(lambda: shares(a, b, c))
                assert len(keys(bus)) == SLOTS + 3 and bus.nodes[0].state.session_count == 3
            # A node that stops gives back what it holds; nobody waits for a TTL.
            await wait(lambda: shares(a, b))
            assert bus.nodes[0].state.session_count == 2
    assert not bus.nodes[0].state.session_count


async def test_without_anything_to_check_nothing_is_held() -> None:
    async with Bus() as bus, holding(bus, 0) as a:
        await wait(lambda: shares(a))
        a.want(False)
        await wait(lambda: not a.held and not keys(bus))
        assert not bus.nodes[0].state.session_count
        a.want(True)
        await wait(lambda: shares(a))


async def test_a_node_that_is_not_confirmed_in_time_lets_go_by_itself() -> None:
    async with Bus() as bus, holding(bus, 1) as b:
        await wait(lambda: len(b.held) == SLOTS)
        bus.behind.add(2)
        bus.cut |= {(1, 2), (2, 1)}
        await wait(lambda: not b.held)
        assert not b.sure()
        bus.behind.clear()
        bus.reconnect(1, 2)
        bus.commit()
        await wait(lambda: len(b.held) == SLOTS and b.sure())


async def test_a_session_that_somebody_ends_is_followed_by_another() -> None:
    async with Bus() as bus, holding(bus, 0) as a:
        await wait(lambda: shares(a))
        first = a.session
        await bus.nodes[0].propose(SessionClose(first), asyncio.get_running_loop().time() + 5)
        await wait(lambda: shares(a) and a.session not in (0, first))


async def test_keys_that_somebody_deletes_or_takes_are_had_again() -> None:
    async with Bus() as bus, holding(bus, 0) as a:
        await wait(lambda: shares(a))
        await write(bus, DeleteRange(Selector(ROOT, ROOT_END)))
        await wait(lambda: shares(a) and node_key("a") in keys(bus))
        await write(bus, Put(slot_key(5), b"nonsense"), Put(ROOT + b"slots/junk", b"\xff"))
        await wait(lambda: keys(bus)[slot_key(5)] == b"a" and shares(a))


async def test_only_members_take_part() -> None:
    async with Bus() as bus, holding(bus, 0) as a:
        await wait(lambda: shares(a))
        await bus.nodes[0].propose(SessionOpen(9, 60_000), asyncio.get_running_loop().time() + 5)
        await write(bus, Put(node_key("stranger"), b"", session=9))
        await bus.settle()
        # Whatever that makes the node do, it does in reply to this.
        await write(bus, DeleteRange(Selector(slot_key(7))))
        await wait(lambda: slot_key(7) in keys(bus))
        assert shares(a)


async def test_keys_that_say_nothing_cost_nothing() -> None:
    async with Bus() as bus, holding(bus, 0) as a:
        await wait(lambda: shares(a))
        for n in range(100):
            puts = (Put(ROOT + b"slots/001/%d/%d" % (n, m), b"") for m in range(100))
            await write(bus, *puts)
        read = 0
        state = bus.nodes[0].state
        real = state.range

        def count(query: Range, size_bytes_max: int | None = None) -> RangeResult | Failure:
            nonlocal read
            result = real(query, size_bytes_max)
            read += len(result.kvs) if isinstance(result, RangeResult) else 0
            return result

        state.range = count  # type: ignore[method-assign]  # to see what is read
        a._reconcile()
        assert read <= SLOTS + 3


async def test_a_node_that_starts_again_has_at_once_what_its_earlier_life_held() -> None:
    async with Bus() as bus:
        old = Holdings(bus.nodes[0], 60_000, lambda: None)
        task = asyncio.create_task(old.run())
        old.want(True)
        await wait(lambda: len(old.held) == SLOTS)
        async with holding(bus, 0) as new:
            await wait(lambda: len(new.held) == SLOTS)
            assert set(new.held) == set(range(SLOTS))
            task.cancel()
            await asyncio.wait({task})
            await bus.settle()
            assert len(new.held) == SLOTS


async def test_no_slot_is_ever_held_by_two() -> None:
    async with Bus() as bus:
        seen: list[int] = []
        made: list[Holdings] = []

        def look() -> None:
            # By what is applied everywhere: the bus lets all apply in the same turn.
            held = [slot for one in made for slot in one.held]
            seen.append(len(held) - len(set(held)))

        for number in range(3):
            made.append(Holdings(bus.nodes[number], TTL_MS, look))
        tasks = [asyncio.create_task(one.run()) for one in made]
        for one in made:
            one.want(True)
            await bus.settle(3)
        await wait(lambda: shares(*made))
        made[1].want(False)
        await wait(lambda: sum(len(one.held) for one in made) == SLOTS and not made[1].held)
        assert seen and max(seen) == 0
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
