"""A member reads linearizably, waits for revisions, compacts history and tidies up behind itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from coordinator.config import Limits
from coordinator.errors import RequestError, Status
from coordinator.state.commands import Put, Range, Selector, Write
from coordinator.state.results import RangeResult
from tests.bus import Bus


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with Bus() as bus:
        yield bus


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def put(key: str) -> Write:
    return Write(Put(key.encode(), b""))


async def test_a_read_needs_a_quorum_unless_it_is_local(bus: Bus) -> None:
    await bus.nodes[1].read(local=False, min_revision=0, deadline=soon())
    bus.quorum = False
    await bus.nodes[1].read(local=True, min_revision=0, deadline=soon())
    with pytest.raises(RequestError) as caught:
        await bus.nodes[1].read(local=False, min_revision=0, deadline=soon(0.1))
    assert caught.value.status is Status.UNAVAILABLE


async def test_a_read_goes_on_when_there_is_a_leader_again(bus: Bus) -> None:
    bus.elect(None)
    reading = asyncio.create_task(bus.nodes[1].read(local=False, min_revision=0, deadline=soon()))
    await asyncio.sleep(0.05)
    assert not reading.done()
    bus.elect(3)
    await reading


async def test_readers_wait_for_their_revision_each(bus: Bus) -> None:
    node = bus.nodes[2]

    async def read(revision: int) -> int:
        await node.read(local=True, min_revision=revision, deadline=soon())
        return node.state.revision

    waiting = [asyncio.create_task(read(r)) for r in (4, 2, 3)]
    await bus.settle()
    assert not any(task.done() for task in waiting)
    await bus.nodes[0].propose(put("/a"), soon())
    await bus.settle()
    assert [task.done() for task in waiting] == [False, True, False]
    await bus.nodes[0].propose(put("/b"), soon())
    await bus.nodes[0].propose(put("/c"), soon())
    assert await asyncio.gather(*waiting) == [4, 2, 3]


async def test_a_revision_that_does_not_come_is_told(bus: Bus) -> None:
    with pytest.raises(RequestError) as caught:
        await bus.nodes[0].read(local=True, min_revision=99, deadline=soon(0.05))
    assert caught.value.reason == "REVISION_NOT_REACHED"
    assert caught.value.details == {"revision": "1"}
    await bus.nodes[0].propose(put("/a"), soon())  # the reader that gave up is in nobody's way


async def test_the_leader_compacts_long_history() -> None:
    async with Bus("ab", Limits(history_revisions_max=50)) as bus:
        for i in range(120):
            await bus.nodes[1].propose(put(f"/{i % 7}"), soon())
        states = [node.state for node in bus.nodes]
        async with asyncio.timeout(5):
            while any(s.history_size > 55 for s in states):
                await asyncio.sleep(0.01)
        await bus.settle(200)
        for state in states:
            assert 50 <= state.revision - state.compacted_revision <= 55
            assert state.history_size == state.revision - state.compacted_revision
            result = state.range(Range(Selector(b"", b"")))
            assert isinstance(result, RangeResult) and result.count == 7
        assert len({node.state.digest() for node in bus.nodes}) == 1


async def test_a_member_far_behind_installs_a_state_and_goes_on(bus: Bus) -> None:
    """What a snapshot skipped can't be known to those who wait for it here; all others go on."""
    behind = bus.members[2]
    bus.behind = {3}
    waiting = asyncio.create_task(bus.nodes[2].read(local=True, min_revision=3, deadline=soon()))
    await bus.nodes[0].propose(put("/a"), soon())
    await bus.nodes[0].propose(put("/b"), soon())
    bus.behind = set()
    capture = bus.nodes[0].capture()
    slices = []
    while (encode := capture.read()) is not None:
        slices.append(encode())
    capture.release()
    behind.applied = bus.committed
    bus.nodes[2].restore(bus.committed, bus.term, bus.nodes[2].prepare(slices))
    await waiting
    await bus.nodes[2].propose(put("/c"), soon())
    assert bus.nodes[2].state.digest() == bus.nodes[0].state.digest()


async def test_junk_from_a_member_is_passed_over(bus: Bus) -> None:
    for junk in (
        b"",
        b"\xc1",
        b"\x93\xa1f\x01\x02",
        b"\x94\xa1f\x01\x02\x91\xc0",
        b"\x92\xa1\xff\x01",
    ):
        bus.nodes[0].message_received(2, junk)
    await bus.nodes[1].propose(put("/a"), soon())


async def test_members_are_described(bus: Bus) -> None:
    bus.cut.add((1, 2))
    described = bus.nodes[0].members()
    assert [(m.peer.name, m.leader, m.connected) for m in described] == [
        ("a", True, True),
        ("b", False, False),
        ("c", False, True),
    ]
    assert bus.nodes[0].uptime_s >= 0


async def test_compaction_survives_an_overload() -> None:
    async with Bus("a", Limits(history_revisions_max=10, proposals_max=2)) as bus:
        node = bus.nodes[0]
        for i in range(30):
            await node.propose(put(f"/{i}"), soon())
        bus.held = True
        tasks = [asyncio.create_task(node.propose(put("/k"), soon())) for _ in range(2)]
        await asyncio.sleep(0.2)  # some turns of the timer, each without room
        bus.held = False
        bus.commit()
        await asyncio.gather(*tasks)
        async with asyncio.timeout(5):
            while node.state.history_size > 11:
                await asyncio.sleep(0.01)


async def test_a_member_that_stops_tells_those_who_wait(bus: Bus) -> None:
    bus.elect(None)
    reading = asyncio.create_task(bus.nodes[1].read(local=False, min_revision=0, deadline=soon(60)))
    await bus.settle()
    bus.nodes[1].give_up()
    with pytest.raises(RequestError, match="stopping"):
        await asyncio.wait_for(reading, 2)


async def test_a_read_of_a_failed_member_ends_and_lets_others_run(bus: Bus) -> None:
    async def failed() -> None:
        bus.members[1].stopped = True

    bus.quorum = False
    bus.before_barrier = failed
    with pytest.raises(RequestError, match="stopping"):
        await asyncio.wait_for(bus.nodes[1].read(local=False, min_revision=0, deadline=soon(60)), 2)
