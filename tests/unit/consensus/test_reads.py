"""Read barriers and confirmations. Member 1 is real; the tests answer for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from coordinator.consensus.codec import (
    Append,
    Probe,
    ProbeAck,
    ReadReply,
    ReadRequest,
    TermNotice,
)
from coordinator.consensus.engine.reads import Reads
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
        stage.connect(9)
        stage.receive(9, ProbeAck(term, probe.round))
        await stage.settle()
        assert not read.done(), "one voter asked twice, an old answer, and one that does not vote"
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
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.settle()
        assert not any(read.done() for read in reads), "it is in the log, and not applied"
        stage.append(2, 1, (2, 1), 2)
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


GIVEN_UP = 1_000
KEPT_MAX = 70


def give_up(reads: Reads, waiter: asyncio.Future[Any]) -> None:
    """As a caller whose time is over."""
    waiter.cancel()
    reads.drive()


async def test_reads_given_up_while_there_is_no_leader_do_not_gather(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        reads = stage.engine.parts.reads
        live = reads.add_read()
        for _ in range(GIVEN_UP):
            give_up(reads, reads.add_read())
        assert len(reads._reads) < KEPT_MAX
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        (request,) = stage.take(ReadRequest)
        stage.receive(2, ReadReply(request.round, 1))
        assert await live
        assert not len(reads._reads)


async def test_what_is_given_up_while_a_probe_is_unanswered_does_not_gather(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead(stage)
        reads = stage.engine.parts.reads
        live = [reads.add_read() for _ in range(100)]
        reads.drive()
        late, confirmation = reads.add_read(), reads.add_confirmation()
        for _ in range(GIVEN_UP):
            give_up(reads, reads.add_read())
            give_up(reads, reads.add_confirmation())
        assert len(reads._reads) < KEPT_MAX
        assert len(reads._confirmations) < KEPT_MAX
        for _ in range(2):
            (probe,) = stage.take(Probe, 2)
            stage.receive(2, ProbeAck(term, probe.round))
            await stage.settle()
        assert await asyncio.gather(*live, late) == [True] * 101
        assert await confirmation == term


async def test_reads_given_up_before_their_index_is_applied_do_not_gather(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        reads = stage.engine.parts.reads
        live: dict[int, list[asyncio.Future[bool]]] = {2: [], 3: []}
        for number in range(GIVEN_UP):
            waiter, index = reads.add_read(), 3 - number % 2
            reads.drive()
            (request,) = stage.take(ReadRequest, 2)
            stage.receive(2, ReadReply(request.round, index))
            if number % 200 < 2:
                live[index].append(waiter)
            else:
                give_up(reads, waiter)
        assert len(reads._ready) < KEPT_MAX
        stage.append(2, 1, (1, 0), 2, (1, b"a"))
        assert await asyncio.gather(*live[2]) == [True] * 5
        assert not any(waiter.done() for waiter in live[3])
        stage.append(2, 1, (2, 1), 3, (1, b"b"))
        assert await asyncio.gather(*live[3]) == [True] * 5
        await stage.settle()
        assert not reads._ready


async def test_an_answer_to_an_earlier_run_of_this_member_does_not_count(tmp_path: Path) -> None:
    """It may tell an index from before what was committed since."""
    rounds: list[int] = []
    disk = None
    for _ in range(2):
        stage = Stage(tmp_path, disk=disk)
        disk = stage.disk
        async with stage:
            stage.append(2, 1, (1, 0), 1)
            await stage.settle()
            read = ask(stage)
            await stage.settle()
            (request,) = stage.take(ReadRequest, 2)
            for earlier in rounds:
                stage.receive(2, ReadReply(earlier, 1))
            await stage.settle()
            assert not read.done()
            rounds.append(request.round)
            stage.receive(2, ReadReply(request.round, 1))
            assert await read


async def takes_a_turn(call: Coroutine[Any, Any, object]) -> bool:
    """Whether others get their turn while this call is awaited, which answers with nothing."""
    turned: list[None] = []
    asyncio.get_running_loop().call_soon(turned.append, None)
    assert not await call
    return bool(turned)


async def test_asking_again_and_again_in_vain_does_not_stop_the_loop(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage:
        assert not stage.engine.stopped
        assert await takes_a_turn(stage.engine.confirm(1)), "it does not lead"
        stage.disk.sync_error = OSError(5, "Input/output error")
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.until(lambda: bool(stage.failures))
        assert stage.engine.stopped
        assert await takes_a_turn(stage.engine.confirm(1))
        assert await takes_a_turn(stage.engine.read_barrier(1))
    again = await Stage(tmp_path / "again").start()
    assert not again.engine.stopped
    await again.stop()
    assert again.engine.stopped
    assert await takes_a_turn(again.engine.confirm(1))
    assert await takes_a_turn(again.engine.read_barrier(1))
