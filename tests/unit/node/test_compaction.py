"""The leader lets history be forgotten when there is too much of it, when it is too old, and when room runs out."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.config import Limits, Timing
from coordinator.node.compaction import NOTES_MAX, Compaction
from coordinator.state.commands import Command, Compact, Put, Write
from coordinator.state.machine import StateMachine
from coordinator.state.results import Done, Outcome
from tests.bus import Bus
from tests.unit.state.workload import bundle

HOUR = 3600.0
NEVER = Timing(history_age_ms_max=0)


class Leader:
    """Member 1, that leads, with a clock of the test's."""

    def __init__(self, limits: Limits | None = None, timing: Timing | None = None) -> None:
        self.bus = Bus("ab")
        self.bus.leader = self.bus.term = 1
        self.state = StateMachine()
        self.asked: list[int] = []
        self.refusing = False
        self.compaction = Compaction(
            self.bus.members[0],
            self.state,
            limits or Limits(),
            timing or Timing(history_age_ms_max=int(HOUR * 1000)),
            self._offer,
        )

    def _offer(self, command: Command) -> asyncio.Future[Outcome]:
        assert isinstance(command, Compact)
        self.asked.append(command.revision)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if not self.refusing:
            self.state.apply(bundle([command]))
            future.set_result(Outcome(1, 1, self.state.revision, Done()))
        return future

    def put(self, count: int = 1, size: int = 0, distinct: bool = False) -> None:
        for i in range(count):
            key = b"/%d" % (self.state.revision if distinct else i % 7)
            self.state.apply(bundle([Write(Put(key, b"x" * size))]))

    async def at(self, now: float) -> None:
        self.compaction.check(now)
        await asyncio.sleep(0)


async def test_history_that_is_too_old_goes() -> None:
    leader = Leader()
    leader.put(10)
    await leader.at(0)
    leader.put(10)
    await leader.at(0.5 * HOUR)
    leader.put(10)
    await leader.at(0.99 * HOUR)
    assert not leader.asked
    await leader.at(HOUR)
    assert leader.asked == [11] and leader.state.compacted_revision == 11
    await leader.at(1.4 * HOUR)
    assert leader.asked == [11]
    await leader.at(1.5 * HOUR)
    assert leader.asked == [11, 21]
    await leader.at(9 * HOUR)
    assert leader.asked == [11, 21, 31]
    await leader.at(10 * HOUR)
    assert leader.state.compacted_revision == leader.state.revision == 31


async def test_no_revision_goes_before_its_time() -> None:
    leader = Leader()
    written_at: dict[int, float] = {}
    for step in range(2_000):
        now = step * HOUR / 700
        leader.put()
        written_at[leader.state.revision] = now
        await leader.at(now)
        ages = [now - written_at[r] for r in leader.asked]
        assert not ages or ages[-1] >= HOUR
    assert len(leader.asked) > 100
    assert len(leader.compaction._notes) <= NOTES_MAX + 2
    oldest = leader.state.compacted_revision + 1
    assert now - written_at[oldest] <= HOUR * (1 + 2 / NOTES_MAX)


async def test_a_new_leader_begins_to_count_anew() -> None:
    leader = Leader()
    leader.put(10)
    await leader.at(0)
    leader.bus.leader = 2
    await leader.at(1)
    leader.bus.leader = 1
    leader.bus.term += 2
    await leader.at(2 * HOUR)
    await leader.at(2.9 * HOUR)
    assert not leader.asked
    await leader.at(3 * HOUR)
    assert leader.asked == [11]


async def test_another_term_that_was_not_noticed_counts_anew_too() -> None:
    leader = Leader()
    leader.put(10)
    await leader.at(0)
    leader.bus.term += 2
    await leader.at(2 * HOUR)
    assert not leader.asked


async def test_age_can_be_left_out() -> None:
    leader = Leader(timing=NEVER)
    leader.put(10)
    for hour in range(0, 1_000_000, 1_000):
        await leader.at(hour * HOUR)
    assert not leader.asked and not leader.compaction._notes


async def test_who_does_not_lead_asks_for_nothing() -> None:
    leader = Leader(Limits(history_revisions_max=5))
    leader.bus.leader = 2
    leader.put(100)
    await leader.at(0)
    await leader.at(2 * HOUR)
    assert not leader.asked


async def test_too_many_revisions_go_a_tenth_at_a_time() -> None:
    leader = Leader(Limits(history_revisions_max=50), NEVER)
    leader.put(54)
    await leader.at(0)
    assert not leader.asked
    leader.put()
    await leader.at(1)
    assert leader.asked == [leader.state.revision - 50]


async def test_too_large_a_history_goes_too() -> None:
    leader = Leader(Limits(history_size_bytes_max=100_000), NEVER)
    leader.put(9, size=10_000)
    leader.put(10)
    size = 0
    while not leader.asked:
        assert size <= 110_000
        leader.put(size=10_000)
        size = leader.state.history_size_bytes
        await leader.at(0)
    assert size > 110_000
    assert 85_000 < leader.state.history_size_bytes <= 100_000
    assert leader.state.revision > leader.state.compacted_revision


async def test_a_state_near_its_quota_gives_up_history_before_writes_are_refused() -> None:
    quota = 1_000_000
    leader = Leader(Limits(state_size_bytes_max=quota), NEVER)
    size = 0
    while not leader.asked:
        assert size <= 0.9 * quota
        leader.put(size=10_000)
        size = leader.state.size_bytes
        await leader.at(0)
    assert size > 0.9 * quota
    assert 0.75 * quota < leader.state.size_bytes <= 0.8 * quota
    for _ in range(1_000):
        leader.put(size=10_000)
        await leader.at(0)
        assert leader.state.size_bytes <= 0.92 * quota


async def test_some_history_stays_however_crowded_it_is() -> None:
    quota = 1_000_000
    leader = Leader(Limits(state_size_bytes_max=quota), NEVER)
    leader.put(97, size=10_000, distinct=True)
    leader.put(200, size=1)
    await leader.at(0)
    assert 0.04 * quota < leader.state.history_size_bytes <= 0.05 * quota


@pytest.mark.parametrize("members", ["a", "abc"])
async def test_a_cluster_forgets_what_is_old(members: str) -> None:
    timing = Timing(history_age_ms_max=100, session_check_ms=5)
    async with Bus(members, timing=timing) as bus:
        for i in range(20):
            deadline = asyncio.get_running_loop().time() + 5
            await bus.nodes[0].propose(Write(Put(b"/%d" % i, b"")), deadline)
        async with asyncio.timeout(5):
            while any(node.state.compacted_revision < 21 for node in bus.nodes):
                await asyncio.sleep(0.005)
        assert all(node.state.history_size == 0 for node in bus.nodes)


async def test_one_compaction_at_a_time() -> None:
    leader = Leader(Limits(history_revisions_max=5), NEVER)
    leader.refusing = True
    leader.put(100)
    await leader.at(0)
    await leader.at(1)
    assert len(leader.asked) == 1
