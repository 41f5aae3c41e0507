from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coordinator.consensus.codec import TermNotice, TimeoutNow
from coordinator.consensus.interface import Role
from coordinator.errors import RequestError
from tests.unit.consensus.cluster import Cluster
from tests.unit.consensus.stage import Stage


async def test_the_target_gets_everything_first_and_nothing_is_appended(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await stage.lead()
        index = stage.engine.propose(b"a")
        assert index is not None
        transfer = asyncio.create_task(stage.engine.transfer_leadership(2, 5))
        await stage.settle()
        assert stage.engine.busy
        assert stage.engine.propose(b"b") is None
        assert not stage.take(TimeoutNow)
        stage.acknowledge(2, index)
        await stage.settle()
        assert stage.take(TimeoutNow, 2) == [TimeoutNow(term)]
        with pytest.raises(RequestError, match="transferred already"):
            await stage.engine.transfer_leadership(3, 5)
        stage.receive(2, TermNotice(term + 1))
        assert await transfer
        assert stage.role() is Role.FOLLOWER


async def test_a_target_that_does_not_take_over_leaves_all_as_it_was(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await stage.lead()
        stage.acknowledge(2, 2)
        ready = stage.application.ready_count
        assert not await stage.engine.transfer_leadership(2, 0.05)
        assert stage.role() is Role.LEADER
        assert not stage.engine.busy
        assert stage.application.ready_count > ready
        assert stage.engine.propose(b"a") is not None


async def test_who_can_not_lead_is_refused(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        assert not await stage.engine.transfer_leadership(None, 1), "it does not lead"
        await stage.lead()
        assert await stage.engine.transfer_leadership(1, 1), "it leads already"
        with pytest.raises(RequestError, match="not a voter"):
            await stage.engine.transfer_leadership(9, 1)
        stage.disconnect(3)
        with pytest.raises(RequestError, match="can't be reached"):
            await stage.engine.transfer_leadership(3, 1)


async def test_the_one_that_is_furthest_is_chosen(tmp_path: Path) -> None:
    async with Stage(tmp_path, 5) as stage:
        term = await stage.lead()
        for _ in range(3):
            stage.engine.propose(b"x")
        await stage.settle()
        for member, index in ((2, 3), (3, 5), (4, 4)):
            stage.acknowledge(member, index)
        stage.disconnect(5)
        transfer = asyncio.create_task(stage.engine.transfer_leadership(None, 5))
        await stage.until(lambda: bool(stage.kept(TimeoutNow)))
        assert stage.take(TimeoutNow, 3)
        stage.receive(3, TermNotice(term + 1))
        assert await transfer


async def test_stopping_ends_a_transfer(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).start()
    await stage.lead()
    transfer = asyncio.create_task(stage.engine.transfer_leadership(2, 30))
    await stage.settle()
    await stage.stop()
    assert not await transfer


async def test_leadership_goes_where_it_is_sent_without_an_election_timeout(tmp_path: Path) -> None:
    slow = {"election_timeout_ms_min": 5_000, "election_timeout_ms_max": 9_000}
    async with Cluster(tmp_path, **slow) as cluster:
        first = await cluster.leader()
        for number in range(4):
            await cluster.put(first, b"%d" % number)
            target = next(m for m in (1, 2, 3) if m != first)
            assert await cluster.engines[first].transfer_leadership(target, 4)
            first = await cluster.leader()
            assert first == target
        assert await cluster.agreement() == [b"0", b"1", b"2", b"3"]
        assert not cluster.failures
