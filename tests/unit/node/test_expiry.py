"""What a leader keeps of sessions whose time is up, and the sessions that take it over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from coordinator.errors import OutcomeUnknown
from coordinator.node.expiry import Inheritance, KeepNothing, is_system
from coordinator.node.sessions import EXPIRE_IDS_MAX, EXPIRE_KEYS_MAX
from coordinator.state.commands import Heir, Keep, Put, Range, Selector, SessionOpen, Write
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, KeyValue, Session
from coordinator.state.results import Outcome, RangeResult
from tests.bus import Bus

TTL_MS = 200
HEIR = Heir(900, 600, (("coordinator.guard", "a"),))


class KeepOne:
    """Keeps the key /a, and takes note of what it was asked."""

    def __init__(self) -> None:
        self.judged: list[list[int]] = []
        self.asked: list[tuple[list[int], Cause]] = []
        self.settled_ids: list[int] = []

    def judge(self, state: StateMachine, ids: Sequence[int], now_s: float) -> None:
        self.judged.append(list(ids))

    def keep(self, state: StateMachine, ids: Sequence[int], cause: Cause) -> Inheritance:
        self.asked.append((list(ids), cause))
        keeps = tuple(Keep(id, b"/a", HEIR.id, b"/mark", b"kept", 0) for id in ids)
        return Inheritance((HEIR,), keeps)

    def settled(self, state: StateMachine, id: int) -> None:
        self.settled_ids.append(id)


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with Bus() as bus:
        yield bus


def soon() -> float:
    return asyncio.get_running_loop().time() + 5.0


def get(bus: Bus, key: bytes) -> KeyValue | None:
    found = bus.nodes[1].state.range(Range(Selector(key)))
    assert isinstance(found, RangeResult)
    return found.kvs[0] if found.kvs else None


async def ended(bus: Bus, session_id: int) -> None:
    async with asyncio.timeout(5.0):
        while bus.nodes[1].state.session(session_id) is not None:
            await asyncio.sleep(0.005)


async def test_a_leader_asks_before_it_ends_sessions(bus: Bus) -> None:
    policy = KeepOne()
    bus.nodes[0]._expirer._policy = policy
    for id, key in ((7, b"/a"), (8, b"/b")):
        await bus.nodes[1].propose(SessionOpen(id, TTL_MS), soon())
        await bus.nodes[1].propose(Write(Put(key, b"v", session=id)), soon())
    await ended(bus, 7)
    await ended(bus, 8)
    assert sorted(id for ids in policy.judged for id in ids)[:2] == [7, 8]
    assert policy.asked[0][1] is Cause.SESSION_EXPIRED
    kept, mark = get(bus, b"/a"), get(bus, b"/mark")
    assert kept is not None and kept.session == HEIR.id
    assert mark is not None and mark.value == b"kept"
    assert get(bus, b"/b") is None
    assert sorted(policy.settled_ids) == [7, 8]
    # Nobody keeps what took it over alive, and it ends by the same rule.
    renewals = await bus.nodes[2].keep_alive([HEIR.id], soon())
    assert [renewal.ttl_ms for renewal in renewals] == [0]
    await ended(bus, HEIR.id)
    assert get(bus, b"/a") is None and get(bus, b"/mark") is None


async def test_a_command_ends_sessions_of_so_many_keys(bus: Bus) -> None:
    policy = KeepOne()
    bus.nodes[0]._expirer._policy = policy
    size = EXPIRE_KEYS_MAX // 2 + 1
    bus.held = True
    opening = [
        asyncio.create_task(bus.nodes[1].propose(SessionOpen(id, TTL_MS), soon()))
        for id in (7, 8, 9)
    ]
    writes = [
        asyncio.create_task(
            bus.nodes[1].propose(Write(Put(b"/k/%d/%d" % (id, n), b"", session=id)), soon())
        )
        for id in (7, 8)
        for n in range(size)
    ]
    await asyncio.sleep(0)
    bus.held = False
    bus.commit()
    await asyncio.gather(*opening, *writes)
    for id in (7, 8, 9):
        await ended(bus, id)
    assert {id for ids, _ in policy.asked for id in ids} == {7, 8, 9}
    assert not any({7, 8} <= set(ids) for ids, _ in policy.asked)


async def test_an_end_that_is_tried_again_spares_who_took_the_id_meanwhile(bus: Bus) -> None:
    expirer = bus.nodes[0]._expirer
    await bus.nodes[1].propose(SessionOpen(7, 60_000), soon())
    unknown: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    unknown.set_exception(OutcomeUnknown("nobody knows"))
    # The session that was to end has ended, as it was closed, and this is another one.
    expirer._ended(expirer.open_term, [7], Cause.SESSION_EXPIRED, unknown)
    await bus.nodes[1].propose(Write(Put(b"/later", b"")), soon())
    assert bus.nodes[1].state.session(7) is not None


async def test_many_ends_leave_others_their_turns(bus: Bus) -> None:
    turns = 0
    seen: list[int] = []

    def turn() -> None:
        nonlocal turns
        turns += 1

    class KeepSlowly(KeepNothing):
        def keep(self, state: StateMachine, ids: Sequence[int], cause: Cause) -> Inheritance:
            seen.append(turns)
            asyncio.get_running_loop().call_soon(turn)
            return Inheritance()

    bus.nodes[0]._expirer._policy = KeepSlowly()
    count = 3 * EXPIRE_IDS_MAX
    bus.held = True
    opening = [
        asyncio.create_task(bus.nodes[1].propose(SessionOpen(id, TTL_MS), soon()))
        for id in range(1, count + 1)
    ]
    await asyncio.sleep(0)
    bus.held = False
    bus.commit()
    await asyncio.gather(*opening)
    for id in range(1, count + 1):
        await ended(bus, id)
    assert len(seen) >= 3 and len(set(seen)) == len(seen)


def test_a_policy_that_keeps_nothing() -> None:
    policy, state = KeepNothing(), StateMachine()
    policy.judge(state, [1], 0.0)
    assert policy.keep(state, [1], Cause.SESSION_EXPIRED) == Inheritance()
    policy.settled(state, 1)


def test_sessions_of_the_clusters_own_are_told_by_their_metadata() -> None:
    assert is_system(Session(1, 1, None, (("a", ""), ("coordinator.guard", "x")), 1))
    assert not is_system(Session(1, 1, None, (("a", "coordinator."), ("b", "")), 1))
