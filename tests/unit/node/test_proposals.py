"""Proposals reach the log once, from any member, through every change of leader."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from coordinator.config import Limits
from coordinator.errors import OutcomeUnknown, RequestError, Status
from coordinator.node.messages import Forward, decode_message, encode_message
from coordinator.state.commands import (
    DeleteRange,
    Put,
    Range,
    Selector,
    Write,
    decode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.results import PutResult, RangeResult
from tests.bus import Bus


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with Bus() as bus:
        yield bus


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def put(key: str, value: str = "v") -> Write:
    return Write(Put(key.encode(), value.encode()))


def version(bus: Bus, key: str) -> int:
    result = bus.nodes[0].state.range(Range(Selector(key.encode())))
    assert isinstance(result, RangeResult)
    return result.kvs[0].version if result.kvs else 0


async def test_any_member_proposes_and_sees_its_own_write(bus: Bus) -> None:
    for node in bus.nodes:
        outcome = await node.propose(put(f"/{node.member.name}"), soon())
        assert isinstance(outcome.result, PutResult)
        assert node.state.revision >= outcome.revision
    assert version(bus, "/a") == version(bus, "/b") == version(bus, "/c") == 1


async def test_proposals_of_one_turn_travel_as_one_bundle(bus: Bus) -> None:
    before = len(bus.log)
    await asyncio.gather(*(bus.nodes[0].propose(put(f"/{i}"), soon()) for i in range(50)))
    assert len(bus.log) == before + 1
    assert len(decode_bundle(bus.log[-1][1])) == 50


async def test_proposals_gather_while_the_journal_is_synced(bus: Bus) -> None:
    bus.members[0].busy = True
    tasks = [asyncio.create_task(bus.nodes[0].propose(put(f"/{i}"), soon())) for i in range(5)]
    before = len(bus.log)
    await bus.settle()
    assert len(bus.log) == before
    bus.members[0].busy = False
    bus.nodes[0].ready_to_propose()
    await asyncio.gather(*tasks)
    assert len(bus.log) == before + 1


async def test_a_bundle_closes_at_its_size_or_holds_one_larger_command() -> None:
    limits = Limits(bundle_size_bytes_max=1_000)
    async with Bus("a", limits) as bus:
        before = len(bus.log)
        sizes = [400, 400, 400, 3_000, 10]
        await asyncio.gather(
            *(bus.nodes[0].propose(put(f"/{i}", "x" * n), soon()) for i, n in enumerate(sizes))
        )
        bundles = [decode_bundle(entry) for _, entry in bus.log[before:]]
        assert [len(b) for b in bundles] == [2, 1, 1, 1]


async def test_one_failing_command_touches_no_other_of_its_bundle(bus: Bus) -> None:
    node = bus.nodes[0]
    bad, good = await asyncio.gather(
        node.propose(Write(Put(b"/x", b"", session=99)), soon()), node.propose(put("/y"), soon())
    )
    assert not isinstance(bad.result, PutResult)
    assert isinstance(good.result, PutResult)


async def test_a_write_lost_with_its_leader_is_offered_again_and_applied_once(bus: Bus) -> None:
    bus.held = True
    tasks = [asyncio.create_task(n.propose(put("/k"), soon())) for n in bus.nodes]
    await bus.settle()
    assert bus.lose() > 0
    bus.held = False
    bus.elect(2)
    for outcome in await asyncio.gather(*tasks):
        assert isinstance(outcome.result, PutResult)
    assert version(bus, "/k") == 3


async def test_a_write_that_survives_its_leader_is_applied_once(bus: Bus) -> None:
    bus.held = True
    task = asyncio.create_task(bus.nodes[2].propose(put("/k"), soon()))
    await bus.settle()
    bus.elect(2)  # the new leader has the entry and commits it with its own first one
    bus.held = False
    assert isinstance((await task).result, PutResult)
    await bus.settle()
    assert version(bus, "/k") == 1


async def test_a_write_sent_twice_over_a_broken_connection_is_appended_once(bus: Bus) -> None:
    bus.held = True
    task = asyncio.create_task(bus.nodes[1].propose(put("/k"), soon()))
    await bus.settle()
    bus.reconnect(2, 1)
    bus.reconnect(2, 1)
    await bus.settle()
    bus.held = False
    bus.commit()
    await task
    await bus.settle()
    assert version(bus, "/k") == 1


async def test_a_write_lost_on_the_way_to_the_leader_is_sent_again(bus: Bus) -> None:
    lost: list[Forward] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        message = decode_message(payload)
        if isinstance(message, Forward) and not lost:
            lost.append(message)
            return False
        return True

    bus.tap = tap
    task = asyncio.create_task(bus.nodes[1].propose(put("/k"), soon()))
    await bus.settle()
    assert lost and not task.done()
    bus.reconnect(2, 1)
    await task
    assert version(bus, "/k") == 1


async def test_a_leader_that_was_out_of_sight_is_sent_again_what_it_may_have_missed(
    bus: Bus,
) -> None:
    bus.tap = lambda *_: False
    task = asyncio.create_task(bus.nodes[1].propose(put("/k"), soon()))
    await bus.settle()
    bus.tap = lambda *_: True
    bus.members[1].belief = (bus.term, None)
    bus.nodes[1].leadership_changed(bus.members[1].status)
    bus.reconnect(2, 1)
    await bus.settle()
    bus.members[1].belief = None
    bus.nodes[1].leadership_changed(bus.members[1].status)
    await task
    assert version(bus, "/k") == 1


@pytest.mark.parametrize("leader", [2, 3])
async def test_what_may_be_in_the_log_is_not_sent_to_the_next_leader(bus: Bus, leader: int) -> None:
    bus.held = True
    task = asyncio.create_task(bus.nodes[2].propose(put("/k"), soon()))
    await bus.settle()
    bus.reconnect(3, 1)  # it is to be sent again to the leader that has it,
    bus.elect(leader)  # but in the same turn there is another, which may have it in its log
    await bus.settle()
    bus.held = False
    bus.commit()
    await task
    await bus.settle()
    assert version(bus, "/k") == 1


async def test_a_refusal_says_nothing_of_a_write_that_was_sent_before(bus: Bus) -> None:
    """The member has not heard of the election; its old leader appended the write and leads no more."""
    bus.held = True
    task = asyncio.create_task(bus.nodes[2].propose(put("/k"), soon()))
    await bus.settle()
    bus.members[2].belief = (bus.term, 1)
    bus.elect(2)  # with the write in its log
    bus.reconnect(3, 1)
    await bus.settle()  # sent again to the old leader, and refused
    bus.members[2].belief = None
    bus.nodes[2].leadership_changed(bus.members[2].status)
    bus.held = False
    bus.commit()
    await task
    await bus.settle(50)
    assert version(bus, "/k") == 1


async def test_a_leader_that_refused_is_not_asked_again_at_once(bus: Bus) -> None:
    sent: list[int] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        sent.append(member)
        return True

    bus.members[2].belief = (bus.term, 1)
    bus.elect(2)
    bus.tap = tap
    task = asyncio.create_task(bus.nodes[2].propose(put("/k"), soon()))
    await bus.settle(200)
    assert sent.count(1) == 1 and not task.done()
    bus.members[2].belief = None
    bus.nodes[2].leadership_changed(bus.members[2].status)
    await task
    assert version(bus, "/k") == 1


async def test_proposals_in_the_name_of_another_member_are_passed_over(bus: Bus) -> None:
    forged = encode_proposal(3, 1, encode_command(put("/k")))
    bus.nodes[0].message_received(2, encode_message(Forward(bus.term, 1, (msgspec.Raw(forged),))))
    await bus.settle()
    assert version(bus, "/k") == 0


async def test_writes_that_nobody_waits_for_make_room_when_there_is_no_leader() -> None:
    async with Bus("a", Limits(proposals_max=2)) as bus:
        bus.elect(None)
        node = bus.nodes[0]
        for _ in range(2):
            task = asyncio.create_task(node.propose(put("/k"), soon(60)))
            await bus.settle()
            task.cancel()
        async with asyncio.timeout(5):
            while node._proposals._pending:
                await asyncio.sleep(0.01)


async def test_a_restarted_member_is_not_taken_for_its_former_self(bus: Bus) -> None:
    proposals = bus.nodes[1]._proposals
    await bus.nodes[1].propose(put("/k"), soon())
    proposals._incarnation += 1
    proposals._number = 1  # numbers of the new run may be lower
    await bus.nodes[1].propose(put("/k"), soon())
    assert version(bus, "/k") == 2


async def test_without_a_leader_the_write_is_refused_in_time(bus: Bus) -> None:
    bus.elect(None)
    with pytest.raises(RequestError) as caught:
        await bus.nodes[1].propose(put("/k"), soon(0.1))
    assert caught.value.status is Status.UNAVAILABLE
    assert caught.value.details["applied"] == "no"


async def test_without_a_commit_the_outcome_is_unknown(bus: Bus) -> None:
    bus.held = True
    for node in bus.nodes[:2]:
        with pytest.raises(OutcomeUnknown):
            await node.propose(put("/k"), soon(0.1))


async def test_too_many_open_writes_are_refused() -> None:
    async with Bus("a", Limits(proposals_max=3)) as bus:
        bus.held = True
        node = bus.nodes[0]
        tasks = [asyncio.create_task(node.propose(put(f"/{i}"), soon())) for i in range(3)]
        await bus.settle()
        with pytest.raises(RequestError) as caught:
            await node.propose(put("/4"), soon())
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        bus.held = False
        bus.commit()
        await asyncio.gather(*tasks)
        await node.propose(put("/4"), soon())


async def test_an_overloaded_leader_says_so() -> None:
    async with Bus("ab", Limits(proposals_size_bytes_max=2_000)) as bus:
        bus.members[0].busy = True
        node = bus.nodes[1]
        tasks = [asyncio.create_task(node.propose(put("/1", "x" * 1_900), soon()))]
        await bus.settle()
        node._proposals._pending_size_bytes = 0  # as if it came from another member
        tasks.append(asyncio.create_task(node.propose(put("/2", "x" * 1_900), soon())))
        await bus.settle()
        node._proposals._pending_size_bytes = 0
        with pytest.raises(RequestError) as caught:
            await node.propose(put("/3"), soon())
        assert caught.value.reason == "TOO_MANY_PROPOSALS"
        bus.members[0].busy = False
        bus.nodes[0].ready_to_propose()
        await asyncio.gather(*tasks)


async def test_stopping_ends_every_wait(bus: Bus) -> None:
    bus.held = True
    sent = asyncio.create_task(bus.nodes[0].propose(put("/k"), soon()))
    await bus.settle()
    bus.elect(None)
    waiting = asyncio.create_task(bus.nodes[0].propose(put("/k"), soon()))
    await bus.settle()
    await bus.nodes[0].stop()
    with pytest.raises(OutcomeUnknown):
        await sent
    with pytest.raises(RequestError, match="stopping"):
        await waiting


@pytest.mark.parametrize("seed", range(20))
async def test_random_faults_apply_each_acknowledged_write_once(seed: int) -> None:
    """Leaders come and go, entries are lost, messages vanish with their connection; each write counts once."""
    rng = random.Random(seed)
    async with Bus() as bus:
        acknowledged = 0

        async def write(node: int) -> None:
            nonlocal acknowledged
            outcome = await bus.nodes[node].propose(put("/k"), soon(30))
            assert isinstance(outcome.result, PutResult)
            acknowledged += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                for _ in range(rng.randrange(4)):
                    group.create_task(write(rng.randrange(3)))
                await bus.settle(rng.randrange(4))
                step = rng.random()
                if step < 0.15:
                    bus.held = True
                elif step < 0.3:
                    bus.held = False
                    bus.commit()
                elif step < 0.45:
                    if rng.random() < 0.5:
                        bus.lose()
                    bus.elect(rng.choice([None, 1, 2, 3]))
                elif step < 0.6:
                    one, other = rng.sample([1, 2, 3], 2)
                    bus.tap = lambda *_: False
                    await bus.settle(2)
                    bus.tap = lambda *_: True
                    bus.reconnect(one, other)
            bus.held = False
            bus.tap = lambda *_: True
            bus.elect(rng.choice([1, 2, 3]))
            for one, other in ((1, 2), (1, 3), (2, 3)):
                bus.reconnect(one, other)
        assert version(bus, "/k") == acknowledged
        digests = {node.state.digest() for node in bus.nodes}
        assert len(digests) == 1


async def test_deleting_nothing_is_an_outcome_too(bus: Bus) -> None:
    before = bus.nodes[0].state.revision
    outcome = await bus.nodes[1].propose(Write(DeleteRange(Selector(b"/none"))), soon())
    assert outcome.revision == before
