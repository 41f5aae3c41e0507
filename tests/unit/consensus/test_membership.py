from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coordinator.consensus.codec import Append, Farewell, PreVote, TermNotice
from coordinator.consensus.configuration import (
    configuration_of,
    encode_configuration,
    with_learner,
    without,
)
from coordinator.consensus.engine.log import MEMBERS
from coordinator.consensus.engine.membership import History, read_members
from coordinator.consensus.interface import AddLearner, MemberChange, Move, Peer, Promote, Remove
from coordinator.consensus.journal import Journal
from coordinator.errors import FatalError, MemberRemoved, OutcomeUnknown, RequestError
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import Stage, make_peers

THREE = configuration_of(make_peers(3))
FOURTH = AddLearner(4, "n4", "127.0.0.1:4")
FOUR = with_learner(THREE, Peer(4, "n4", "127.0.0.1:4"))
LEFT = without(FOUR, 2)


def entry_of(configuration: object) -> bytes:
    return MEMBERS + encode_configuration(configuration)  # type: ignore[arg-type]  # one of the above


# The log decides.


def test_the_newest_entry_counts_and_cutting_it_brings_back_the_one_before() -> None:
    journal = Journal(FaultDisk(), 1 << 20)
    for index, content in enumerate((b"\1", entry_of(FOUR), b"\0x", entry_of(LEFT)), 1):
        journal.append(content, index, 1)
    history = History(THREE, journal, 1)
    assert (history.newest, history.newest_index) == (LEFT, 4)
    assert [history.at(index) for index in (1, 2, 3, 4)] == [THREE, FOUR, FOUR, LEFT]
    journal.cut(4)
    assert history.log_changed(4)
    assert (history.newest, history.newest_index) == (FOUR, 2)
    journal.append(b"\0y", 4, 2)
    assert not history.log_changed(4)
    history.snapshot_taken(3)
    assert (history.newest, history.newest_index) == (FOUR, 3)
    history.snapshot_adopted(9, LEFT)
    assert (history.newest, history.newest_index) == (LEFT, 9)


def test_an_entry_that_holds_no_members_stops_the_member() -> None:
    with pytest.raises(FatalError, match="can't be read"):
        read_members(MEMBERS + b"\xff")


# Changes.


async def change(
    stage: Stage, change: MemberChange, *, force: bool = False, timeout_s: float = 5.0
) -> None:
    """Makes a change that two others acknowledge."""
    task = asyncio.create_task(
        stage.engine.change_members(change, force=force, timeout_s=timeout_s)
    )
    await stage.settle()
    for member in (2, 3):
        stage.acknowledge(member, stage.engine.status.last_index)
    await task


def only_answers(stage: Stage, *members: int) -> None:
    """As if no other members had answered for long."""
    stage.engine.parts.membership._responsive = lambda member: member in members


async def lead(stage: Stage) -> None:
    await stage.lead()
    for member in (2, 3):
        stage.acknowledge(member, 2)
    await stage.settle()


async def test_a_learner_receives_and_does_not_count(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        await change(stage, FOURTH)
        assert stage.application.members[-1] == FOUR.peers == stage.engine.members
        stage.connect(4)
        index = stage.engine.propose(b"a") or 0
        await stage.settle()
        stage.acknowledge(4, index)
        await stage.settle()
        assert stage.engine.status.commit_index < index
        stage.acknowledge(2, index)
        await stage.settle()
        assert stage.engine.status.commit_index == index


async def test_what_a_learner_acknowledged_to_an_earlier_term_does_not_count(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        await change(stage, FOURTH)
        stage.connect(4)
        stage.acknowledge(4, stage.engine.status.last_index)
        assert stage.engine.parts.core.match_index(4) == stage.engine.status.last_index
        stage.receive(2, TermNotice(stage.engine.status.term + 1))
        await stage.settle()
        await stage.lead()
        assert stage.engine.parts.core.match_index(4) == 0


async def test_a_learner_that_is_behind_or_silent_is_not_promoted(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        await change(stage, FOURTH)
        for force in (False, True):
            with pytest.raises(RequestError, match="behind, or does not answer"):
                await change(stage, Promote(4), force=force)
        stage.connect(4)
        stage.acknowledge(4, stage.engine.status.last_index)
        await change(stage, Promote(4))
        assert stage.engine.parts.core.is_voter(4)
        assert not stage.engine.parts.core.is_quorum(1), "two of four"


async def test_one_change_at_a_time(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await stage.lead()
        with pytest.raises(RequestError, match="under way"):
            await stage.engine.change_members(FOURTH, force=False, timeout_s=1)
        for member in (2, 3):
            stage.acknowledge(member, 2)
        await stage.settle()
        first = asyncio.create_task(stage.engine.change_members(FOURTH, force=False, timeout_s=5))
        await stage.settle()
        with pytest.raises(RequestError, match="under way"):
            await stage.engine.change_members(Remove(3), force=True, timeout_s=1)
        stage.acknowledge(2, stage.engine.status.last_index)
        await first


async def test_a_change_that_is_not_committed_is_unknown(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        with pytest.raises(OutcomeUnknown):
            await stage.engine.change_members(FOURTH, force=False, timeout_s=0.05)
        assert len(stage.engine.members) == 4, "in the log, it counts"
        stage.append(2, 9, (2, 1), 2, (9, b"other"))
        await stage.settle()
        assert stage.engine.members == THREE.peers, "and is gone with its entry"


async def test_the_leader_itself_must_hand_over_first(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        with pytest.raises(RequestError, match="hand over before"):
            await change(stage, Remove(1), force=True)


async def test_a_removal_that_leaves_too_few_is_refused_unless_forced(tmp_path: Path) -> None:
    async with Stage(tmp_path, 4) as stage:
        await lead(stage)
        only_answers(stage, 2)
        with pytest.raises(RequestError, match="of 3 voters only 1 would be at hand"):
            await stage.engine.change_members(Remove(2), force=False, timeout_s=1)
        removal = asyncio.create_task(
            stage.engine.change_members(Remove(2), force=True, timeout_s=5)
        )
        await stage.settle()
        for member in (3, 4):
            stage.acknowledge(member, stage.engine.status.last_index)
        await removal
        assert [peer.id for peer in stage.engine.members] == [1, 3, 4]


async def test_a_promotion_that_would_cost_the_quorum_is_refused(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        await change(stage, FOURTH)
        stage.connect(4)
        stage.acknowledge(4, stage.engine.status.last_index)
        only_answers(stage, 4)
        with pytest.raises(RequestError, match="of 4 voters only 2 would be at hand"):
            await stage.engine.change_members(Promote(4), force=False, timeout_s=1)


async def test_the_removed_are_told_once_that_is_committed(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        removal = asyncio.create_task(
            stage.engine.change_members(Remove(3), force=False, timeout_s=5)
        )
        await stage.settle()
        assert stage.transport.told[1] == ()
        stage.acknowledge(2, stage.engine.status.last_index)
        await removal
        await stage.settle()
        assert stage.transport.told == (THREE.peers[:2], (3,))


async def test_a_member_that_was_removed_stops_and_says_so(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        out = without(THREE, 1)
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        message = stage.engine.parts.core
        stage.receive(2, append_of(1, (2, 1), 2, entry_of(out)))
        await stage.settle()
        assert not stage.failures, "not committed yet"
        assert not message.voting
        stage.receive(2, append_of(1, (3, 1), 3))
        await stage.settle()
        assert isinstance(stage.failures[0], MemberRemoved)


async def test_a_removed_member_that_asks_for_votes_is_told(tmp_path: Path) -> None:
    """The leader of its time may be gone, and a later one does not send it the log."""
    async with Stage(tmp_path) as stage:
        out = without(THREE, 3)
        stage.receive(2, append_of(1, (1, 0), 1, entry_of(out)))
        await stage.settle()
        stage.receive(3, PreVote(9, 9, 9))
        await stage.settle()
        assert not stage.take(Farewell), "not committed yet"
        stage.receive(2, append_of(1, (2, 1), 2))
        await stage.settle()
        assert stage.take(Farewell) == [Farewell()], "told once it is"
        stage.receive(3, PreVote(9, 9, 9))
        await stage.settle()
        assert stage.take(Farewell, 3) == [Farewell()]
        stage.receive(2, Farewell())
        await stage.settle()
        assert isinstance(stage.failures[0], MemberRemoved)


async def test_an_address_changes(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead(stage)
        await change(stage, Move(3, "127.0.0.1:33"))
        assert stage.engine.members[2].address == "127.0.0.1:33"
        assert stage.transport.told[0] == stage.engine.members
        assert stage.engine.parts.core.is_voter(3)


async def test_only_the_leader_changes_anything(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        with pytest.raises(RequestError, match="only the leader"):
            await stage.engine.change_members(FOURTH, force=True, timeout_s=1)


async def test_the_members_survive_a_restart_and_a_snapshot(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage:
        await lead(stage)
        await change(stage, FOURTH)
    again = Stage(tmp_path, disk=stage.disk)
    async with again:
        assert again.engine.members == FOUR.peers
        await again.lead()
        again.acknowledge(2, again.engine.status.last_index)
        await again.settle()
        await again.engine.compact_now()
    last = Stage(tmp_path, disk=stage.disk)
    async with last:
        assert last.engine.members == FOUR.peers
        assert last.application.restored


def append_of(term: int, prev: tuple[int, int], commit: int, *contents: bytes) -> Append:
    return Append(term, prev[0], prev[1], commit, tuple((term, content) for content in contents))
