"""What waits for the disk, and what does not. Member 1 is real, with a disk whose fsync can be held back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.consensus.codec import (
    Append,
    AppendAck,
    Message,
    PreVote,
    PreVoteGrant,
    RequestVote,
    Vote,
)
from coordinator.consensus.engine.durability import Durability
from coordinator.consensus.interface import Role
from coordinator.consensus.journal import Journal
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import Stage


class Bench:
    """A journal and its durability without an engine; `sent` is what left."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Message]] = []
        self.journal = Journal(FaultDisk(), 1 << 20)
        self.synced = asyncio.Event()
        self.failures: list[BaseException] = []
        self.durability = Durability(
            self.journal, self.send, synced=self.synced.set, failed=self.failures.append
        )

    def send(self, member: int, message: Message) -> bool:
        self.sent.append((member, message))
        return True

    def write(self) -> None:
        """Changes the journal, so that what is held from now on waits for another sync."""
        self.journal.append(b"x", self.journal.last_index + 1, 1)

    def hold(self, *messages: tuple[int, Message]) -> None:
        for member, message in messages:
            self.durability.hold(member, message)

    async def sync(self) -> list[tuple[int, Message]]:
        """Lets one sync run to its end; returns what left."""
        self.synced.clear()
        self.durability.drive()
        await self.synced.wait()
        self.durability.drive()
        assert not self.failures
        taken, self.sent = self.sent, []
        return taken


@contextlib.asynccontextmanager
async def open_bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.durability.stop()


@pytest.mark.parametrize("kind", ["vote", "acknowledgement"])
async def test_a_sync_releases_what_it_covers_and_nothing_behind_it(kind: str) -> None:
    def make(number: int) -> Message:
        return Vote(number) if kind == "vote" else AppendAck(1, False, 0, number)

    async with open_bench() as bench:
        bench.write()
        bench.hold((2, make(1)))
        covering = bench.journal.start_sync()
        assert covering is not None
        bench.write()
        bench.hold((3, make(2)))
        bench.durability.drive()
        assert not bench.sent
        covering.run()
        bench.journal.finish_sync(covering)
        bench.durability.drive()
        assert bench.sent == [(2, make(1))]
        bench.sent.clear()
        assert await bench.sync() == [(3, make(2))]


async def test_of_several_acknowledgements_the_one_that_says_most_leaves() -> None:
    """The last one held may say less, for it can answer an older message."""
    async with open_bench() as bench:
        bench.write()
        bench.hold(
            (2, AppendAck(1, False, 0, 9)),
            (3, AppendAck(1, False, 0, 4)),
            (2, AppendAck(1, False, 0, 7)),
            (3, AppendAck(1, False, 0, 5)),
        )
        assert await bench.sync() == [
            (2, AppendAck(1, False, 0, 9)),
            (3, AppendAck(1, False, 0, 5)),
        ]


async def test_an_acknowledgement_of_a_newer_term_says_more_than_one_of_a_higher_index() -> None:
    async with open_bench() as bench:
        bench.write()
        bench.hold((2, AppendAck(1, False, 0, 9)), (2, AppendAck(2, False, 0, 7)))
        assert await bench.sync() == [(2, AppendAck(2, False, 0, 7))]


async def test_rejections_and_votes_all_leave_in_their_order() -> None:
    async with open_bench() as bench:
        bench.write()
        held: list[tuple[int, Message]] = [
            (2, AppendAck(1, True, 9, 3)),
            (2, Vote(1)),
            (2, AppendAck(1, True, 8, 2)),
        ]
        bench.hold(*held)
        assert await bench.sync() == held


async def test_a_follower_does_not_acknowledge_before_its_fsync(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.disk.hold_syncs()
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.settle()
        assert stage.engine.busy
        assert not stage.take(AppendAck)
        stage.append(2, 1, (2, 1), 1, (1, b"b"))
        await stage.settle()
        assert not stage.take(AppendAck)
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.take(AppendAck)[-1] == AppendAck(1, False, 0, 3)
        assert stage.disk.syncs >= 3


async def test_an_acknowledgement_waits_for_the_fsync_that_covers_it(tmp_path: Path) -> None:
    """What came while a sync was under way is not in that sync."""
    async with Stage(tmp_path) as stage:
        stage.disk.hold_syncs()
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.settle()
        stage.append(2, 1, (2, 1), 1, (1, b"b"))
        await stage.settle()
        ready = stage.application.ready_count
        stage.disk.release_one_sync()
        await stage.until(lambda: stage.application.ready_count > ready)
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(1, False, 0, 2)]
        stage.disk.release_one_sync()
        await stage.until(lambda: not stage.engine.busy)
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(1, False, 0, 3)]


async def test_a_heartbeat_is_answered_at_once_for_what_is_on_disk(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.settle()
        stage.disk.hold_syncs()
        stage.append(2, 1, (2, 1), 1, (1, b"b"))
        await stage.settle()
        stage.clear()
        stage.append(2, 1, (3, 1), 1)
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(1, False, 3, 2)]
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(1, False, 0, 3)]


async def test_a_vote_waits_for_its_fsync(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.disk.hold_syncs()
        stage.receive(2, RequestVote(4, 1, 0))
        await stage.settle()
        assert not stage.transport.sent
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.transport.sent == [(2, Vote(4))]


async def test_a_vote_that_is_given_again_waits_for_the_same_fsync(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.disk.hold_syncs()
        for _ in range(2):
            stage.receive(2, RequestVote(4, 1, 0))
            await stage.settle()
        assert not stage.transport.sent
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.transport.sent == [(2, Vote(4))]


async def test_what_is_said_again_and_again_while_the_disk_hangs_is_kept_once(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.settle()
        stage.disk.hold_syncs()
        stage.append(2, 1, (2, 1), 1, (1, b"b"))
        await stage.settle()
        for _ in range(1_000):
            stage.append(2, 1, (3, 1), 1)
            stage.receive(3, RequestVote(1, 9, 9))
        assert len(stage.engine.parts.durability._outbox) < 5
        stage.clear()
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.take(AppendAck)[-1] == AppendAck(1, False, 0, 3)
        assert stage.take(Vote) == [Vote(1)]


async def test_a_campaign_waits_for_its_fsync(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.disk.hold_syncs()
        stage.engine.parts.core.hasten_election(0)
        await stage.until(lambda: len(stage.take(PreVote)) > 0)
        stage.receive(2, PreVoteGrant(1))
        await stage.until(lambda: stage.engine.status.role is Role.CANDIDATE)
        await stage.settle()
        assert not stage.take(RequestVote)
        stage.disk.release_syncs()
        await stage.settle()
        assert len(stage.take(RequestVote)) == 2


async def test_a_leader_counts_itself_only_for_what_it_synced(tmp_path: Path) -> None:
    """Its fsync held back: one follower and itself are no quorum, both followers are."""
    async with Stage(tmp_path) as stage:
        await stage.lead()
        for member in (2, 3):
            stage.acknowledge(member, 2)
        await stage.settle()
        stage.disk.hold_syncs()
        index = stage.engine.propose(b"a")
        assert index == 3
        await stage.settle()
        assert [append.entries for append in stage.take(Append, 2)][-1], "entries leave at once"
        stage.acknowledge(2, index)
        await stage.settle()
        assert stage.engine.status.commit_index == 2
        stage.acknowledge(3, index)
        await stage.settle()
        assert stage.engine.status.commit_index == 3
        assert stage.application.contents == [b"a"]


async def test_a_leader_and_one_follower_commit_once_its_fsync_returns(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await stage.lead()
        stage.disk.hold_syncs()
        index = stage.engine.propose(b"a")
        assert index is not None
        await stage.settle()
        stage.acknowledge(2, index)
        await stage.settle()
        assert stage.engine.status.commit_index < index
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.engine.status.commit_index == index


async def test_a_single_member_commits_what_it_synced(tmp_path: Path) -> None:
    async with Stage(tmp_path, 1) as stage:
        stage.engine.parts.core._SyncObj__raftElectionDeadline = 0
        await stage.until(lambda: stage.engine.status.role is Role.LEADER)
        await stage.settle()
        stage.disk.hold_syncs()
        index = stage.engine.propose(b"a")
        await stage.settle()
        assert stage.application.contents == []
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.application.contents == [b"a"]
        assert stage.engine.status.commit_index == index


async def test_one_sync_at_a_time_and_all_that_gathered_in_the_next(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await stage.lead()
        stage.disk.hold_syncs()
        ready, syncs = stage.application.ready_count, stage.disk.syncs
        for number in range(50):
            stage.engine.propose(b"%d" % number)
            await stage.settle()
        assert stage.engine.busy
        stage.disk.release_syncs()
        await stage.settle()
        assert stage.disk.syncs == syncs + 2
        assert stage.application.ready_count == ready + 2
        assert not stage.engine.busy


async def test_an_fsync_error_stops_the_member_for_good(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.disk.sync_error = OSError(5, "Input/output error")
        stage.append(2, 1, (1, 0), 1, (1, b"a"))
        await stage.settle()
        await stage.until(lambda: bool(stage.failures))
        assert "Input/output error" in str(stage.failures[0])
        assert not stage.take(AppendAck)
        stage.disk.sync_error = None
        syncs = stage.disk.syncs
        stage.append(2, 1, (2, 1), 1, (1, b"b"))
        await stage.settle()
        assert stage.disk.syncs == syncs, "no second try"
        assert not stage.transport.sent
        assert len(stage.failures) == 1
    assert stage.disk.syncs == syncs


async def test_stopping_syncs_the_rest(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await stage.lead()
        stage.engine.propose(b"a")
    again = Stage(tmp_path, disk=stage.disk)
    async with again:
        assert again.log()[-1][1] == b"a"
