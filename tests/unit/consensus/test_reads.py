"""Read barriers and confirmations. Member 1 is real; the tests answer for the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

from coordinator.consensus.codec import (
    Append,
    Probe,
    ProbeAck,
    ReadReply,
    ReadRequest,
    TermNotice,
)
from tests.unit.consensus.stage import Stage


async def lead(stage: Stage) -> int:
    """Member 1 leads, and its no-op is committed."""
    term = await stage.lead()
    stage.acknowledge(2, 2)
    await stage.settle()
    assert stage.engine.status.commit_index == 2
    stage.clear()
    return term


def ask(stage: Stage, timeout_s: float = 10) -> asyncio.Task[bool]:
    return asyncio.create_task(stage.engine.read_barrier(timeout_s))


async def test_a_leader_asks_a_quorum_first(tmp_path: Path) -> None:
    async with Stage(tmp_path, 5) as stage:
        term = await stage.lead()
        for member in (2, 3):
            stage.acknowledge(member, 2)
        await stage.settle()
        read = ask(stage)
        await stage.settle()
        (probe, *_) = stage.take(Probe)
        for _ in range(3):
            stage.receive(2, ProbeAck(term, probe.round))
        stage.receive(3, ProbeAck(term, probe.round - 1))
        await stage.settle()
        assert not read.done()
        stage.receive(3, ProbeAck(term, probe.round))
        assert await read


async def test_one_probe_serves_all_who_wait_and_later_ones_get_another(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead(stage)
        first = [ask(stage) for _ in range(20)]
        confirmation = asyncio.create_task(stage.engine.confirm(10))
        await stage.settle()
        (probe,) = stage.take(Probe, 2)
        late = ask(stage)
        await stage.settle()
        assert not stage.take(Probe, 2)
        stage.receive(2, ProbeAck(term, probe.round))
        assert await asyncio.gather(*first) == [True] * 20
        assert await confirmation == term
        assert not late.done(), "it was asked after the probe"
        await stage.settle()
        (probe,) = stage.take(Probe, 2)
        stage.receive(2, ProbeAck(term, probe.round))
        assert await late


async def test_a_read_waits_for_the_first_entry_of_the_term(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await stage.lead()
        read = ask(stage)
        await stage.settle()
        assert not stage.take(Probe)
        stage.acknowledge(2, 2)
        await stage.settle()
        (probe, *_) = stage.take(Probe)
        stage.receive(3, ProbeAck(term, probe.round))
        assert await read


async def test_a_leader_that_nobody_answers_confirms_nothing(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        assert not await stage.engine.read_barrier(0.02)
        assert await stage.engine.confirm(0.02) is None


async def test_a_deposed_leader_says_so_and_its_reads_go_on_with_the_next_one(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead(stage)
        read, confirmation = ask(stage), asyncio.create_task(stage.engine.confirm(10))
        await stage.settle()
        stage.clear()
        stage.receive(2, TermNotice(term + 1))
        assert await confirmation is None
        assert await stage.engine.confirm(10) is None
        assert not read.done()
        stage.append(2, term + 1, (2, term), 2)
        await stage.settle()
        (request,) = stage.take(ReadRequest, 2)
        stage.receive(2, ReadReply(request.round, 2))
        assert await read


async def test_a_follower_asks_the_leader_and_waits_for_the_index(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        reads = [ask(stage) for _ in range(5)]
        await stage.settle()
        (request,) = stage.take(ReadRequest, 2)
        stage.receive(3, ReadReply(request.round, 1))
        stage.receive(2, ReadReply(request.round + 9, 1))
        stage.receive(2, ReadReply(request.round, 2))
        await stage.settle()
        assert not any(read.done() for read in reads)
        stage.append(2, 1, (1, 0), 2, (1, b"a"))
        assert await asyncio.gather(*reads) == [True] * 5
        assert stage.application.contents == [b"a"]


async def test_a_leader_answers_followers(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead(stage)
        stage.receive(3, ReadRequest(7))
        stage.receive(3, ReadRequest(7))
        await stage.settle()
        (probe,) = stage.take(Probe, 2)
        assert not stage.take(ReadReply)
        stage.receive(2, ProbeAck(term, probe.round))
        await stage.settle()
        assert stage.take(ReadReply) == [ReadReply(7, 2)]


async def test_the_requests_that_wait_are_bounded(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await stage.lead()
        for round_ in range(1_000):
            stage.receive(3, ReadRequest(round_))
        stage.acknowledge(2, 2)
        await stage.settle()
        (probe, *_) = stage.take(Probe)
        stage.receive(2, ProbeAck(term, probe.round))
        assert len(stage.take(ReadReply)) == 16


async def test_a_follower_does_not_answer_for_the_leader(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        stage.receive(3, ReadRequest(7))
        await stage.settle()
        assert not stage.take(ReadReply)


async def test_a_follower_asks_again_when_the_leader_changes_or_is_lost(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        read = ask(stage)
        await stage.settle()
        (first,) = stage.take(ReadRequest, 2)
        stage.disconnect(2)
        stage.connect(2)
        await stage.settle()
        (second,) = stage.take(ReadRequest, 2)
        assert second.round != first.round
        stage.receive(3, Append(2, 1, 0, 1, ()))
        await stage.settle()
        (third,) = stage.take(ReadRequest, 3)
        stage.receive(2, ReadReply(second.round, 1))
        await stage.settle()
        assert not read.done()
        stage.receive(3, ReadReply(third.round, 1))
        assert await read


async def test_without_a_leader_there_is_no_barrier(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        assert not await stage.engine.read_barrier(0.02)


async def test_a_leader_is_not_probed_by_an_older_one(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead(stage)
        stage.receive(3, Probe(term - 1, 5))
        await stage.settle()
        assert stage.transport.sent == [(3, TermNotice(term))]


async def test_a_follower_answers_probes_of_its_leader(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.receive(2, Probe(3, 5))
        await stage.settle()
        assert stage.take(ProbeAck) == [ProbeAck(3, 5)]
        assert stage.engine.status.leader == 2


async def test_stopping_ends_all_that_waits(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).start()
    await lead(stage)
    read, confirmation = ask(stage), asyncio.create_task(stage.engine.confirm(10))
    await stage.settle()
    await stage.stop()
    assert not await read
    assert await confirmation is None
    assert not await stage.engine.read_barrier(1)
    assert await stage.engine.confirm(1) is None


async def test_reads_that_were_given_up_leave_nothing_behind(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        for _ in range(5):
            assert not await stage.engine.read_barrier(0.001)
        stage.receive(2, TermNotice(9))
        await stage.settle()
        assert not stage.engine._reads._reads
