"""What other members may make this one do. Member 1 is real; 2 and up are played by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.consensus.codec import (
    Append,
    AppendAck,
    Hello,
    Message,
    Payload,
    PreVote,
    PreVoteGrant,
    Probe,
    ProbeAck,
    RequestVote,
    SnapshotAck,
    TermNotice,
    Vote,
)
from coordinator.consensus.interface import Role
from tests.unit.consensus.stage import Stage, entries


async def follow(stage: Stage, term: int = 1) -> None:
    """Member 2 leads and has brought three entries, two of them committed."""
    stage.append(2, term, (1, 0), 3, (term, b"a"), (term, b"b"), (term, b"c"))
    await stage.settle()
    assert stage.engine.status.last_index == 4
    assert stage.application.contents == [b"a", b"b"]
    stage.clear()


# Replies of another term.


async def test_a_stale_acknowledgement_does_not_count(tmp_path: Path) -> None:
    """An answer to an earlier leadership of this member says nothing about the entries of the present one."""
    async with Stage(tmp_path, 5) as stage:
        first = await stage.lead()
        stage.receive(2, TermNotice(first + 3))
        await stage.settle()
        term = await stage.lead()
        index = stage.engine.propose(b"new")
        await stage.settle()
        assert index is not None
        for member in (2, 3, 4, 5):
            stage.receive(member, AppendAck(first, False, 0, index))
        await stage.settle()
        assert stage.engine.status.commit_index == 1
        for member in (2, 3):
            stage.receive(member, AppendAck(term, False, 0, index))
        await stage.settle()
        assert stage.engine.status.commit_index == index


async def test_an_acknowledgement_beyond_the_log_does_not_count(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await stage.lead()
        for member in (2, 3):
            stage.receive(member, AppendAck(term, False, 0, 99))
        await stage.settle()
        assert stage.engine.status.commit_index == 1


@pytest.mark.parametrize(
    "message",
    [
        AppendAck(9, False, 0, 1),
        AppendAck(9, True, 1, 1),
        ProbeAck(9, 1),
        SnapshotAck(9, 5, 0, False),
        TermNotice(9),
        Vote(9),
        RequestVote(9, 0, 0, True),
        Append(9, 1, 0, 1, ()),
        Probe(9, 1),
    ],
)
async def test_a_newer_term_ends_a_leadership(tmp_path: Path, message: Message) -> None:
    async with Stage(tmp_path) as stage:
        await stage.lead()
        stage.receive(3, message)
        await stage.settle()
        assert stage.engine.status.role is Role.FOLLOWER
        assert stage.engine.status.term == 9


@pytest.mark.parametrize(
    "message",
    [RequestVote(1, 99, 99), Append(1, 1, 0, 1, ()), Probe(1, 1)],
)
async def test_a_member_in_an_old_term_is_told(tmp_path: Path, message: Message) -> None:
    async with Stage(tmp_path) as stage:
        stage.receive(2, TermNotice(5))
        stage.receive(3, message)
        await stage.settle()
        assert stage.transport.sent == [(3, TermNotice(5))]
        assert stage.engine.status.leader is None


# Entries.


async def test_matching_entries_are_never_cut(tmp_path: Path) -> None:
    """Messages that come late, twice or in another order leave what they agree with."""
    async with Stage(tmp_path) as stage:
        await follow(stage)
        log = stage.log()
        for prev in ((1, 0), (2, 1), (3, 1)):
            stage.append(2, 1, prev, 3)
            stage.append(2, 1, prev, 1, log[prev[0]])
            await stage.settle()
            assert stage.log() == log
        assert {ack.rejected for ack in stage.take(AppendAck)} == {False}
        assert stage.engine.status.commit_index == 3


async def test_a_notice_is_taken_without_an_answer_unless_it_does_not_fit(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.receive(2, Append(1, 4, 1, 4, (), notice=True))
        await stage.settle()
        assert stage.engine.status.commit_index == 4
        assert stage.application.contents == [b"a", b"b", b"c"]
        assert not stage.take(AppendAck)
        stage.receive(2, Append(1, 9, 1, 9, (), notice=True))
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(1, True, 9, 5)]
        assert stage.engine.status.commit_index == 4


async def test_matching_entries_before_new_ones_stay_on_disk(tmp_path: Path) -> None:
    """They are not even written again: what was acknowledged is on disk at every moment."""
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.disk.hold_syncs()
        stage.append(2, 1, (1, 0), 3, *stage.log()[1:], (1, b"new"))
        await stage.settle()
        assert stage.engine.parts.journal.synced_index == 4
        assert stage.engine.status.last_index == 5


async def test_an_old_message_is_acknowledged_for_what_it_says_only(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.append(2, 1, (1, 0), 4, (1, b"a"))
        await stage.settle()
        assert [ack.index for ack in stage.take(AppendAck)] == [2]
        assert stage.engine.status.commit_index == 3


async def test_conflicting_entries_are_replaced(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.append(3, 2, (3, 1), 3, (2, b"other"), (2, b"more"))
        await stage.settle()
        assert stage.log()[1:] == [(1, b"a"), (1, b"b"), (2, b"other"), (2, b"more")]
        assert [ack.index for ack in stage.take(AppendAck)] == [5]
        assert not stage.failures


async def test_a_conflict_with_committed_entries_stops_the_member(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.append(3, 2, (2, 1), 3, (2, b"other"))
        await stage.settle()
        assert "would overwrite entry 3" in str(stage.failures[0])
        assert stage.engine.propose(b"x") is None


async def test_another_term_at_a_committed_index_stops_the_member(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.append(3, 9, (3, 8), 3)
        await stage.settle()
        assert "committed entry 3" in str(stage.failures[0])


async def test_a_gap_is_rejected_with_the_place_to_go_on(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.append(2, 1, (8, 1), 8, (1, b"x"))
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(1, True, 8, 5)]
        assert stage.engine.status.commit_index == 3


async def test_a_whole_term_is_skipped_when_logs_part(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 2, (1, b"a"), *((1, b"x") for _ in range(20)))
        await stage.settle()
        stage.clear()
        stage.append(3, 7, (20, 6), 2)
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(7, True, 20, 3)]


async def test_the_commit_index_follows_only_what_was_compared(tmp_path: Path) -> None:
    """A heartbeat of a new leader must not commit the uncommitted tail of an old one."""
    async with Stage(tmp_path) as stage:
        await follow(stage)
        stage.append(3, 2, (3, 1), 10)
        await stage.settle()
        assert stage.engine.status.commit_index == 3
        stage.receive(3, Append(2, 0, 0, 10, ()))
        await stage.settle()
        assert stage.engine.status.commit_index == 3
        assert stage.application.contents == [b"a", b"b"]


async def test_entries_of_an_unknown_kind_stop_the_member(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.receive(2, Append(1, 1, 0, 1, ((1, b"\x07future"),)))
        await stage.settle()
        assert "run the same version" in str(stage.failures[0])


async def test_two_leaders_in_one_term_stop_the_member(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await stage.lead()
        stage.receive(2, Append(term, 1, 0, 1, ()))
        assert f"both lead term {term}" in str(stage.failures[0])


# Votes.


async def test_a_vote_counts_once_per_member(tmp_path: Path) -> None:
    async with Stage(tmp_path, 5) as stage:
        term = await stage.campaign()
        for _ in range(4):
            stage.receive(2, Vote(term))
        await stage.settle()
        assert stage.role() is Role.CANDIDATE
        stage.receive(3, Vote(term))
        await stage.settle()
        assert stage.role() is Role.LEADER


async def test_votes_of_another_term_do_not_count(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        first = await stage.campaign()
        stage.clear()
        second = await stage.campaign()
        assert second > first
        stage.receive(2, Vote(first))
        await stage.settle()
        assert stage.engine.status.role is Role.CANDIDATE


async def test_an_old_vote_does_not_make_others_count_again(tmp_path: Path) -> None:
    async with Stage(tmp_path, 5) as stage:
        first = await stage.campaign()
        stage.clear()
        second = await stage.campaign()
        for term in (second, first, second):
            stage.receive(2, Vote(term))
        await stage.settle()
        assert stage.engine.status.role is Role.CANDIDATE


async def test_only_votes_and_answers_of_voters_count(tmp_path: Path) -> None:
    """Candidates and leaders are heard whoever they are: they may know of members that this one does not know yet."""
    async with Stage(tmp_path) as stage:
        term = await stage.campaign()
        for stranger in (9, 10):
            stage.connect(stranger)
            stage.receive(stranger, Vote(term))
        await stage.settle()
        assert stage.role() is Role.CANDIDATE
        stage.receive(2, Vote(term))
        await stage.settle()
        assert stage.engine.status.role is Role.LEADER
        index = stage.engine.propose(b"a")
        assert index is not None
        for stranger in (9, 10):
            stage.acknowledge(stranger, index)
            stage.receive(stranger, ProbeAck(term, 1))
        await stage.settle()
        assert stage.engine.status.commit_index < index
        stage.receive(9, Append(99, 1, 0, 1, entries((99, b"x"))))
        await stage.settle()
        assert (stage.engine.status.term, stage.engine.status.leader) == (99, 9)


# Elections: who is let.


async def test_while_a_leader_stands_nobody_else_is_heard(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage, term=2)
        stage.receive(3, PreVote(3, 99, 2))
        stage.receive(3, RequestVote(3, 99, 2))
        await stage.settle()
        assert not stage.take(PreVoteGrant) and not stage.take(Vote)
        assert stage.engine.status.term == 2
        stage.receive(3, RequestVote(3, 99, 2, True))
        await stage.settle()
        assert stage.take(Vote) == [Vote(3)], "the leader itself asked for that election"


async def test_a_leader_with_a_quorum_behind_it_is_not_deposed(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await stage.lead()
        stage.receive(3, PreVote(9, 99, 8))
        stage.receive(3, RequestVote(9, 99, 8))
        await stage.settle()
        assert (stage.engine.status.role, stage.engine.status.term) == (Role.LEADER, term)
        assert not stage.take(PreVoteGrant)


async def test_a_lost_leader_may_be_replaced(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage, term=2)
        stage.disconnect(2)
        stage.receive(3, PreVote(3, 4, 2))
        await stage.settle()
        assert not stage.take(PreVoteGrant), "a connection may break while the leader is well"
        stage.refuse(2)
        stage.receive(3, PreVote(3, 3, 2))
        stage.receive(3, PreVote(3, 99, 1))
        await stage.settle()
        assert not stage.take(PreVoteGrant), "its log is behind"
        stage.receive(3, PreVote(3, 4, 2))
        await stage.settle()
        assert stage.take(PreVoteGrant) == [PreVoteGrant(3)]
        assert stage.engine.status.term == 2, "a question raises no term"


async def test_a_question_of_an_old_term_is_told_of_the_new_one(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage, term=2)
        stage.receive(3, PreVote(2, 99, 1))
        await stage.settle()
        assert stage.take(TermNotice, 3) == [TermNotice(2)]


async def test_a_lost_vote_is_given_again_to_the_same_member_only(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        for member in (2, 3, 2):
            stage.receive(member, RequestVote(1, 1, 0))
            await stage.settle()
        assert stage.transport.sent == [(2, Vote(1)), (2, Vote(1))]


async def test_no_vote_for_a_shorter_log(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await follow(stage, term=2)
        stage.receive(3, RequestVote(5, 3, 2, True))
        stage.receive(3, RequestVote(6, 99, 1, True))
        await stage.settle()
        assert not stage.take(Vote)
        stage.receive(3, RequestVote(7, 4, 2, True))
        await stage.settle()
        assert stage.take(Vote) == [Vote(7)]


# The rest.


async def test_payloads_reach_the_application(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.receive(3, Payload(b"hello"))
        assert stage.application.received == [(3, b"hello")]


async def test_a_hello_later_is_ignored(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.receive(3, Hello(1, 1, 3, "n3", ""))
        await stage.settle()
        assert not stage.transport.sent
        assert not stage.failures
