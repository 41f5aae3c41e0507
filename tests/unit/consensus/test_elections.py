"""Whom a member lets campaign is in test_guard.py."""

from __future__ import annotations

from pathlib import Path

from coordinator.consensus.codec import (
    Append,
    AppendAck,
    PreVote,
    PreVoteGrant,
    RequestVote,
    TimeoutNow,
    Vote,
)
from coordinator.consensus.configuration import configuration_of, encode_configuration, without
from coordinator.consensus.engine.elections import REFUSED_S_MAX, SUSPICION_SHARE_MAX
from coordinator.consensus.engine.log import MEMBERS
from coordinator.consensus.interface import Peer, Role
from coordinator.errors import MemberRemoved
from tests.unit.consensus.stage import Stage, make_peers


async def ask(stage: Stage) -> PreVote:
    """Lets the election timeout pass and returns the question that the others are asked."""
    stage.engine.parts.core.hasten_election(0)
    await stage.until(lambda: len(stage.kept(PreVote)) >= len(stage.transport.peers))
    return stage.take(PreVote)[0]


async def test_nobody_raises_the_term_without_a_majority_that_would_vote(tmp_path: Path) -> None:
    async with Stage(tmp_path, 5) as stage:
        question = await ask(stage)
        assert question == PreVote(1, 1, 0)
        for member in (2, 2, 9):
            stage.connect(member)
            stage.receive(member, PreVoteGrant(1))
        stage.receive(3, PreVoteGrant(2))
        await stage.settle()
        assert (stage.engine.status.term, stage.role()) == (0, Role.FOLLOWER)
        assert not stage.take(RequestVote)
        stage.receive(3, PreVoteGrant(1))
        await stage.until(lambda: stage.role() is Role.CANDIDATE)
        assert stage.engine.status.term == 1


async def test_of_two_that_ask_at_once_one_gives_way(tmp_path: Path) -> None:
    """Member 1 has the lowest id; with a longer log it holds its own all the same."""
    async with Stage(tmp_path) as stage:
        await ask(stage)
        stage.receive(3, PreVote(1, 1, 0))
        stage.receive(2, PreVoteGrant(1))
        await stage.settle()
        assert stage.take(PreVoteGrant, 3) == [PreVoteGrant(1)]
        assert stage.engine.status.term == 0, "it has given way"
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.settle()
        stage.disconnect(2)
        await ask(stage)
        stage.receive(3, PreVote(2, 1, 0))
        stage.receive(3, PreVoteGrant(2))
        await stage.until(lambda: stage.role() is Role.CANDIDATE)
        assert not stage.take(PreVoteGrant)


async def test_one_that_asks_in_vain_for_long_gives_way_to_nobody_in_particular(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        await ask(stage)
        elections = stage.engine.parts.elections
        assert elections._asked_at is not None
        elections._asked_at -= elections._race_s
        stage.receive(3, PreVote(1, 1, 0))
        stage.receive(2, PreVoteGrant(1))
        await stage.until(lambda: stage.role() is Role.CANDIDATE)
        assert stage.take(PreVoteGrant, 3) == [PreVoteGrant(1)]


async def test_a_leader_that_is_heard_ends_the_round(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await ask(stage)
        stage.append(2, 3, (1, 0), 1)
        stage.receive(3, PreVoteGrant(1))
        stage.receive(3, PreVoteGrant(4))
        await stage.settle()
        assert (stage.engine.status.term, stage.engine.status.leader) == (3, 2)
        assert not stage.take(RequestVote)


async def test_a_member_that_connects_late_is_asked_too(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.disconnect(3)
        await ask(stage)
        stage.connect(3)
        await stage.settle()
        assert stage.take(PreVote, 3) == [PreVote(1, 1, 0)]


async def test_a_leader_whose_connection_broke_is_suspected_soon(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        core = stage.engine.parts.core
        patient = core._SyncObj__raftElectionDeadline - core.now()
        stage.disconnect(3)
        assert core._SyncObj__raftElectionDeadline - core.now() > 0.9 * patient
        stage.disconnect(2)
        soon = stage.config.election_timeout_ms_min / 1_000 * SUSPICION_SHARE_MAX
        assert core._SyncObj__raftElectionDeadline - core.now() <= soon
        stage.connect(2)
        waits = core._SyncObj__raftElectionDeadline - core.now()
        assert waits > 0.9 * stage.config.election_timeout_ms_min / 1_000, "it is back"


async def test_a_leader_that_refuses_to_be_connected_is_gone(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        core, elections = stage.engine.parts.core, stage.engine.parts.elections
        stage.refuse(2)
        stage.refuse(3)
        assert elections.leader_stands(), "its connection never broke, whatever the others say"
        stage.disconnect(2)
        assert elections.leader_stands()
        stage.refuse(3)
        assert elections.leader_stands()
        stage.refuse(2)
        assert not elections.leader_stands()
        assert core._SyncObj__raftElectionDeadline - core.now() <= REFUSED_S_MAX
        await stage.until(lambda: len(stage.kept(PreVote)) >= 2)
        stage.append(2, 1, (1, 0), 1)  # somebody else took its address, and it is well
        await stage.settle()
        assert elections.leader_stands()


async def test_a_leader_that_can_not_be_connected_is_gone_after_a_while(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        elections = stage.engine.parts.elections
        stage.disconnect(2)
        assert elections.leader_stands()
        elections._gone_at = stage.engine.parts.core.now()
        assert not elections.leader_stands()
        stage.connect(2)
        assert elections.leader_stands()


async def test_who_grants_nothing_is_asked_again_soon(tmp_path: Path) -> None:
    async with Stage(tmp_path, 5) as stage:
        question = await ask(stage)
        stage.receive(3, PreVoteGrant(1))
        stage.clear()
        await stage.until(lambda: len(stage.kept(PreVote)) >= 3)
        assert stage.take(PreVote, 2) == [question] and not stage.take(PreVote, 3)
        stage.receive(4, PreVoteGrant(1))  # with the earlier one they are enough
        await stage.until(lambda: stage.role() is Role.CANDIDATE)


async def test_a_leader_that_hands_over_is_obeyed_at_once(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1)
        await stage.settle()
        stage.receive(3, TimeoutNow(1))
        stage.receive(2, TimeoutNow(0))
        await stage.settle()
        assert stage.engine.status.term == 1, "neither is the leader of this term"
        stage.receive(2, TimeoutNow(1))
        stage.append(2, 1, (1, 0), 1)  # a heartbeat that arrives with it
        await stage.until(lambda: len(stage.kept(RequestVote)) == 2)
        assert stage.take(RequestVote) == [RequestVote(2, 1, 0, True)] * 2


async def test_a_member_that_does_not_vote_does_not_campaign(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        this, *others = make_peers(3)
        learner = Peer(this.id, this.name, this.address, voter=False)
        content = MEMBERS + encode_configuration(configuration_of((learner, *others)))
        stage.receive(2, Append(1, 1, 0, 2, ((1, content),)))
        await stage.settle()
        assert stage.role() is Role.LEARNER
        stage.disconnect(2)
        stage.engine.parts.core.hasten_election(0)
        stage.engine.parts.driver.run()
        for member in (2, 3):
            stage.receive(member, PreVoteGrant(2))
        await stage.settle()
        assert not stage.kept(PreVote) and not stage.kept(RequestVote)


async def stand(stage: Stage) -> None:
    """Has the entry that removes this member, which is not committed, and nobody else may have; then stands."""
    members = configuration_of(stage.config.peers)
    content = MEMBERS + encode_configuration(without(members, 1))
    stage.receive(2, Append(1, 1, 0, 1, ((1, content),)))
    await stage.settle()
    assert not stage.engine.parts.core.voting
    stage.disconnect(2)
    stage.connect(2)
    stage.clear()
    await ask(stage)


async def test_a_member_whose_removal_is_not_committed_stands_without_its_own_vote(
    tmp_path: Path,
) -> None:
    """It alone may have the entry, and the others can't elect anybody whose log is shorter."""
    async with Stage(tmp_path, 3) as stage:
        await stand(stage)
        stage.receive(2, PreVoteGrant(2))
        await stage.settle()
        assert stage.engine.status.term == 1, "one of two"
        stage.receive(3, PreVoteGrant(2))
        await stage.until(lambda: stage.engine.status.term == 2)
        stage.receive(2, Vote(2))
        stage.receive(2, Vote(2))
        await stage.settle()
        assert stage.role() is not Role.LEADER, "one of two"
        stage.receive(3, Vote(2))
        await stage.until(lambda: stage.role() is Role.LEADER)
        await stage.settle()
        assert stage.engine.status.last_index == 3
        stage.receive(2, AppendAck(2, False, 0, 3))
        await stage.settle()
        assert stage.engine.status.commit_index == 1, "on one disk of two, its own does not count"
        assert not await stage.engine.read_barrier(0.02)
        stage.receive(3, AppendAck(2, False, 0, 3))
        await stage.until(lambda: bool(stage.failures))
        assert isinstance(stage.failures[0], MemberRemoved)


async def test_the_last_other_member_elects_the_one_that_goes(tmp_path: Path) -> None:
    async with Stage(tmp_path, 2) as stage:
        await stand(stage)
        stage.receive(2, PreVoteGrant(2))
        await stage.until(lambda: stage.engine.status.term == 2)
        assert stage.role() is not Role.LEADER
        stage.receive(2, Vote(2))
        await stage.until(lambda: stage.role() is Role.LEADER)
        stage.receive(2, AppendAck(2, False, 0, 3))
        await stage.until(lambda: bool(stage.failures))
        assert isinstance(stage.failures[0], MemberRemoved)


async def test_one_that_goes_and_lost_its_quorum_leads_no_more(tmp_path: Path) -> None:
    """Its follower would hear it for ever, and elect nobody else."""
    async with Stage(tmp_path, 3) as stage:
        await stand(stage)
        for member in (2, 3):
            stage.receive(member, PreVoteGrant(2))
        await stage.until(lambda: stage.engine.status.term == 2)
        for member in (2, 3):
            stage.receive(member, Vote(2))
        await stage.until(lambda: stage.role() is Role.LEADER)
        core = stage.engine.parts.core
        core.conf.leaderFallbackTimeout = 0.1

        def given_up() -> bool:
            core.note_answer(2)
            stage.engine.parts.driver.run()
            return stage.role() is not Role.LEADER

        await stage.until(given_up)
        assert core.leader is None
