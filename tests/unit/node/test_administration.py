"""Operators may ask any member; the leader acts, and its answer comes back as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from coordinator.consensus.interface import AddLearner, MemberChange, Move, Promote, Remove
from coordinator.errors import OutcomeUnknown, RequestError, Status
from coordinator.node.administration import change_of, message_of
from coordinator.node.messages import (
    AdministrationReply,
    ChangeMembers,
    Refusal,
    Transfer,
    decode_message,
    encode_message,
)
from coordinator.state.commands import Put, Write
from tests.bus import Bus

LEARNER = AddLearner(9, "n9", "n9:1")


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with Bus() as bus:
        yield bus


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def names(bus: Bus) -> list[str]:
    return [member.name for member in bus.configuration.members]


async def refusal(bus: Bus, node: int, change: MemberChange, seconds: float = 5.0) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await bus.nodes[node].change_members(change, force=False, deadline=soon(seconds))
    return caught.value


@pytest.mark.parametrize("node", range(3))
async def test_any_member_takes_every_change_to_the_leader(bus: Bus, node: int) -> None:
    asked = bus.nodes[node]
    await asked.change_members(LEARNER, force=False, deadline=soon())
    assert [(p.name, p.voter) for p in bus.members[0].members][-1] == ("n9", False)
    await asked.change_members(Promote(9), force=False, deadline=soon())
    await asked.change_members(Move(9, "n9:7"), force=False, deadline=soon())
    found = bus.configuration.get(9)
    assert found is not None and found.voter and found.address == "n9:7"
    await asked.change_members(Remove(9), force=True, deadline=soon())
    assert names(bus) == ["a", "b", "c"]
    assert bus.changes == [
        (1, LEARNER, False), (1, Promote(9), False), (1, Move(9, "n9:7"), False), (1, Remove(9), True),
    ]  # fmt: skip


@pytest.mark.parametrize("node", range(3))
async def test_a_refusal_comes_back_as_it_is(bus: Bus, node: int) -> None:
    error = await refusal(bus, node, Promote(2))
    assert (error.status, error.reason) == (Status.FAILED_PRECONDITION, "MEMBER_VOTES")
    assert error.message == "member b votes already"
    assert error.details == {"applied": "no"}
    assert (await refusal(bus, node, Remove(77))).reason == "MEMBER_NOT_FOUND"


@pytest.mark.parametrize("node", range(3))
async def test_an_unknown_outcome_stays_one(bus: Bus, node: int) -> None:
    async def lost() -> None:
        raise OutcomeUnknown("not seen to be committed")

    bus.before_change = lost
    assert isinstance(await refusal(bus, node, LEARNER), OutcomeUnknown)


async def test_an_answer_that_is_lost_is_an_unknown_outcome(bus: Bus) -> None:
    bus.tap = lambda origin, member, payload: origin != 1
    assert isinstance(await refusal(bus, 1, LEARNER, 0.2), OutcomeUnknown)
    assert names(bus) == ["a", "b", "c", "n9"]


async def test_a_lost_connection_ends_the_wait_for_an_answer(bus: Bus) -> None:
    bus.tap = lambda *_: False
    asking = asyncio.create_task(refusal(bus, 1, LEARNER, 60))
    await bus.settle()
    bus.nodes[1].peer_changed(3, False)
    await bus.settle()
    assert not asking.done()
    bus.nodes[1].peer_changed(1, False)
    assert isinstance(await asyncio.wait_for(asking, 2), OutcomeUnknown)


async def test_it_waits_for_a_leader_and_for_a_change_under_way(bus: Bus) -> None:
    bus.elect(None)
    asking = asyncio.create_task(bus.nodes[1].change_members(LEARNER, force=False, deadline=soon()))
    refusals = 3

    async def under_way() -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise RequestError(Status.ABORTED, "CHANGE_UNDER_WAY", "another change is under way")

    bus.before_change = under_way
    await bus.settle()
    assert not asking.done()
    bus.elect(3)
    await asking
    assert refusals == -1
    assert names(bus) == ["a", "b", "c", "n9"]


async def test_what_never_began_is_told_at_the_deadline(bus: Bus) -> None:
    async def under_way() -> None:
        raise RequestError(Status.ABORTED, "CHANGE_UNDER_WAY", "another change is under way")

    bus.before_change = under_way
    error = await refusal(bus, 1, LEARNER, 0.2)
    assert (error.reason, error.details) == ("CHANGE_UNDER_WAY", {"applied": "no"})
    bus.elect(None)
    error = await refusal(bus, 1, LEARNER, 0.1)
    assert (error.status, error.reason) == (Status.UNAVAILABLE, "NO_LEADER")
    bus.elect(1)
    bus.cut.add((2, 1))
    assert (await refusal(bus, 1, LEARNER, 0.1)).reason == "NO_LEADER"
    assert names(bus) == ["a", "b", "c"]


async def test_a_leader_of_yesterday_sends_on_to_the_one_of_today(bus: Bus) -> None:
    async def deposed() -> None:
        bus.before_change = None
        bus.elect(2)

    bus.before_change = deposed
    await bus.nodes[2].change_members(LEARNER, force=False, deadline=soon())
    assert [leader for leader, _, _ in bus.changes] == [1, 2]
    bus.members[2].belief = (bus.term, 1)
    await asyncio.gather(
        bus.nodes[2].change_members(Promote(9), force=False, deadline=soon()),
        _after(0.1, lambda: setattr(bus.members[2], "belief", None)),
    )
    assert bus.changes[-1] == (2, Promote(9), False)


async def _after(seconds: float, act: object) -> None:
    await asyncio.sleep(seconds)
    assert callable(act)
    act()


@pytest.mark.parametrize("node", range(3))
async def test_a_leader_hands_over_before_it_is_removed(bus: Bus, node: int) -> None:
    await bus.nodes[node].change_members(Remove(1), force=False, deadline=soon())
    assert bus.leader == 2
    assert names(bus) == ["b", "c"]
    assert bus.changes == [(2, Remove(1), False)]


async def test_the_only_voter_is_not_removed() -> None:
    async with Bus("a") as bus:
        assert (await refusal(bus, 0, Remove(1))).reason == "LAST_VOTER"


async def test_a_member_that_is_removed_learns_it_although_the_answer_is_lost(bus: Bus) -> None:
    bus.tap = lambda origin, member, payload: origin != 1
    asking = asyncio.create_task(
        bus.nodes[2].change_members(Remove(3), force=False, deadline=soon())
    )
    await bus.settle()
    assert names(bus) == ["a", "b"]
    bus.members[2].stopped = True
    bus.nodes[2].give_up()
    await asyncio.wait_for(asking, 2)


@pytest.mark.parametrize("node", range(3))
@pytest.mark.parametrize("target", [None, 2, 3])
async def test_leadership_moves(bus: Bus, node: int, target: int | None) -> None:
    leader = await bus.nodes[node].transfer_leadership(target, soon())
    assert leader == bus.leader == (target or 2)
    assert bus.term == 2


async def test_who_leads_already_leads_on(bus: Bus) -> None:
    for node in bus.nodes:
        assert await node.transfer_leadership(1, soon()) == 1
    assert bus.term == 1


@pytest.mark.parametrize("node", range(2))
async def test_who_can_not_lead_is_refused(bus: Bus, node: int) -> None:
    await bus.nodes[0].change_members(LEARNER, force=False, deadline=soon())
    for target, reason in [(9, "NOT_A_VOTER"), (77, "MEMBER_NOT_FOUND")]:
        with pytest.raises(RequestError) as caught:
            await bus.nodes[node].transfer_leadership(target, soon())
        assert (caught.value.reason, caught.value.details) == (reason, {"applied": "no"})
    bus.cut |= {(1, 2), (1, 3)}
    with pytest.raises(RequestError) as caught:
        await bus.nodes[0].transfer_leadership(None, soon())
    assert caught.value.reason == "NO_TARGET"


async def test_a_transfer_that_fails_is_told(bus: Bus) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    bus.before_transfer = never
    for node in bus.nodes:
        with pytest.raises(RequestError) as caught:
            await node.transfer_leadership(2, soon(0.8))
        assert caught.value.reason == "TRANSFER_FAILED"
    assert bus.leader == 1


async def test_of_two_transfers_at_once_both_are_told_who_leads(bus: Bus) -> None:
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    bus.before_transfer = wait
    moving = [asyncio.create_task(n.transfer_leadership(None, soon())) for n in bus.nodes]
    await bus.settle()
    go_on.set()
    assert await asyncio.gather(*moving) == [2, 2, 2]
    assert bus.term == 2


async def test_a_lost_answer_to_a_transfer_does_not_matter(bus: Bus) -> None:
    bus.tap = lambda origin, member, payload: origin != 1
    asking = asyncio.create_task(bus.nodes[2].transfer_leadership(None, soon(60)))
    await bus.settle()
    bus.nodes[2].peer_changed(1, False)
    assert await asyncio.wait_for(asking, 2) == bus.leader == 2


async def test_writes_wait_for_a_transfer_and_go_to_the_next_leader(bus: Bus) -> None:
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    bus.before_transfer = wait
    moving = asyncio.create_task(bus.nodes[0].transfer_leadership(3, soon()))
    await bus.settle()
    before = len(bus.log)
    writes = [
        asyncio.create_task(node.propose(Write(Put(node.member.name.encode(), b"")), soon()))
        for node in bus.nodes
    ]
    await bus.settle()
    assert len(bus.log) == before
    go_on.set()
    assert await moving == 3
    await asyncio.gather(*writes)
    assert bus.term == 2
    assert {term for term, _ in bus.log[before:]} == {2}


async def test_writes_go_on_where_they_were_when_a_transfer_fails(bus: Bus) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    bus.before_transfer = never
    moving = asyncio.create_task(bus.nodes[0].hand_over(0.1))
    await bus.settle()
    writes = [node.propose(Write(Put(b"/k", b"")), soon()) for node in bus.nodes]
    await asyncio.gather(*writes)
    assert not await moving
    assert bus.term == 1


async def test_only_a_leader_with_another_voter_has_something_to_hand_over(bus: Bus) -> None:
    assert await bus.nodes[1].hand_over(1)
    assert bus.term == 1
    assert await bus.nodes[0].hand_over(1)
    assert (bus.term, bus.leader) == (2, 2)
    async with Bus("a") as alone:
        assert await alone.nodes[0].hand_over(1)
        assert alone.term == 1


async def test_a_member_that_stops_tells_those_who_wait(bus: Bus) -> None:
    bus.elect(None)
    asking = asyncio.create_task(refusal(bus, 1, LEARNER, 60))
    await bus.settle()
    bus.nodes[1].give_up()
    assert (await asyncio.wait_for(asking, 2)).reason == "STOPPING"


async def test_a_member_that_stops_leaves_nothing_running_for_others(bus: Bus) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    bus.before_change = never
    asking = asyncio.create_task(refusal(bus, 1, LEARNER, 0.3))
    await bus.settle()
    await asyncio.wait_for(bus.nodes[0].stop(), 2)
    assert isinstance(await asking, OutcomeUnknown)


@pytest.mark.parametrize("change", [LEARNER, Promote(9), Remove(9), Move(9, "h:1")])
def test_changes_travel(change: MemberChange) -> None:
    message = decode_message(encode_message(message_of(change, 5, 100, True)))
    assert isinstance(message, ChangeMembers)
    assert (message.number, message.timeout_ms, message.force) == (5, 100, True)
    assert change_of(message) == change


@pytest.mark.parametrize(
    "message",
    [
        ChangeMembers(1, 100, "add", 9, "n 9", "h:1"),
        ChangeMembers(1, 100, "add", 9, "n9", "h"),
        ChangeMembers(1, 100, "move", 9, address=""),
        ChangeMembers(1, 100, "remove", 0),
        ChangeMembers(1, 100, "remove", 1 << 63),
    ],
)
async def test_what_makes_no_sense_is_passed_over(bus: Bus, message: ChangeMembers) -> None:
    with pytest.raises(ValueError, match=r"."):
        change_of(message)
    bus.nodes[0].message_received(2, encode_message(message))
    await bus.settle()
    assert not bus.changes


async def test_answers_of_others_are_not_believed(bus: Bus) -> None:
    numbers: list[int] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        message = decode_message(payload)
        if isinstance(message, Transfer):
            numbers.append(message.number)
        return False

    bus.tap = tap
    asking = asyncio.create_task(bus.nodes[1].transfer_leadership(3, soon(60)))
    await bus.settle()
    strange = Refusal(99, "R", "m", {})
    for origin, reply in [
        (3, AdministrationReply(numbers[0])),
        (1, AdministrationReply(numbers[0] + 1)),
        (1, AdministrationReply(numbers[0], strange)),
    ]:
        bus.nodes[1].message_received(origin, encode_message(reply))
    await bus.settle()
    assert not asking.done()
    gone = Refusal(Status.NOT_FOUND.value, "MEMBER_NOT_FOUND", "gone", {"a": "b"})
    bus.nodes[1].message_received(1, encode_message(AdministrationReply(numbers[0], gone)))
    with pytest.raises(RequestError) as caught:
        await asyncio.wait_for(asking, 2)
    assert caught.value.details == {"a": "b", "applied": "no"}
