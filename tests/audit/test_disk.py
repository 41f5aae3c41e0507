"""Audit a, d and the journal's part of n: what the disk keeps. Each test is named after its scenario in README.md."""

from __future__ import annotations

import itertools

from coordinator.consensus.codec import AppendAck, RequestVote, Vote
from tests.audit.cluster import Cluster
from tests.audit.member import Member, RefusedToStart
from tests.audit.scenario import Bench, require, scenario


async def follow(member: Member, count: int, commit: int | None = None) -> int:
    """Member 2 leads term 1 and brings entries until the log ends at index `count`; returns the last acknowledged."""
    new = [(1, b"entry %d" % index) for index in range(2, count + 1)]
    await member.hear_entries(2, 1, (1, 0), count if commit is None else commit, *new)
    acks = [ack.index for ack in member.said(AppendAck) if not ack.rejected]
    assert acks == [count]
    return count


@scenario
async def test_a_no_fsync(bench: Bench) -> None:
    """A vote is on disk, by an fsync, before it leaves."""
    member = await bench.member()
    member.hold_syncs()
    await member.hear(2, RequestVote(1, 1, 0))
    require(not member.said(Vote), "a vote left before a sync")
    await member.release_syncs()
    assert member.said(Vote)


@scenario
async def test_a_no_fsync_of_entries(bench: Bench) -> None:
    """Entries are on disk before they are acknowledged."""
    member = await bench.member()
    member.hold_syncs()
    await member.hear_entries(2, 1, (1, 0), 1, (1, b"entry"))
    early = [ack for ack in member.said(AppendAck) if ack.index > 1]
    require(not early, "an acknowledgement left before a sync")
    await member.release_syncs()
    assert member.said(AppendAck)[-1].index == 2


@scenario
async def test_a_power_loss(bench: Bench) -> None:
    """A write that was acknowledged is there after all members lost power at once."""
    cluster = await Cluster.start(bench)
    leader = await cluster.elect(1)
    (written,) = await leader.propose(b"precious")
    await cluster.run(lambda: written.outcome is not None)
    assert written.outcome == "done"
    for member in cluster.members.values():
        await member.lose_power()
    await cluster.restart_all()
    leader = await cluster.elect(2)
    require(b"precious" in leader.applied, "the write is gone from the cluster")


@scenario
async def test_a_vote_loss(bench: Bench) -> None:
    """A member that lost power does not vote again in a term in which it voted."""
    member = await bench.member()
    await member.hear(2, RequestVote(1, 1, 0))
    assert member.said(Vote) == [Vote(1)]
    await member.lose_power()
    await member.start()
    member.connect(3)
    await member.hear(3, RequestVote(1, 1, 0))
    require(not member.said(Vote), "two members have its vote in term 1")


@scenario
async def test_n_meta_lost(bench: Bench) -> None:
    """A vote that was given survives a power failure in the middle of whatever is written next."""
    for attempt in range(5):
        bench.folder = bench.folder / str(attempt)
        bench.folder.mkdir()
        member = await bench.member()
        await member.hear(2, RequestVote(7, 1, 0))
        assert member.said(Vote) == [Vote(7)]
        await member.crash_while_writing(attempt)
        await member.start()
        vote = member.state("votedForNodeId")
        require((member.term, vote) == (7, 2), f"after (7, 2): term {member.term}, vote {vote}")


@scenario
async def test_d_compaction_crash(bench: Bench) -> None:
    """A crash at any step of a compaction loses no entry that was acknowledged."""
    for step in itertools.count(1):
        bench.folder = bench.folder / str(step)
        bench.folder.mkdir()
        member = await bench.member()
        acknowledged = await follow(member, 40, commit=20)
        if not await member.crash_while_compacting(step):
            assert step > 3
            return
        await member.start()
        last = member.last_index
        require(last == acknowledged, f"crash at step {step}: {acknowledged} -> {last}")


@scenario
async def test_n_bit_rot(bench: Bench) -> None:
    """A changed bit in the log is noticed."""
    member = await bench.member()
    for index in range(1, 30):
        await member.hear_entries(2, 1, (index, index > 1), 1, (1, b"entry"))
    rows = member.rows()
    await member.kill()
    member.flip_bit_in_log()
    try:
        await member.start()
    except RefusedToStart:
        return
    require(member.rows() == rows, "another entry was loaded without a complaint")


@scenario
async def test_n_commit_beyond_journal(bench: Bench) -> None:
    """Even if the disk forgot synced entries, nothing is applied before a leader says that it is committed."""
    member = await bench.member()
    await follow(member, 30)
    await member.pass_time(2)
    assert member.applied_index == 30
    await member.kill()
    member.lose_log(0.7)
    await member.start()
    member.connect(2)
    last, term = member.log()[-1]
    assert last < 30
    await member.hear_entries(2, 5, (last, term), 1, (5, b"not committed"))
    await member.settle()
    require(b"not committed" not in member.applied, "an entry was applied that is not committed")


@scenario
async def test_n_never_shrinks(bench: Bench) -> None:
    """Compaction gives back the room on the disk."""
    member = await bench.member()
    for index in range(1, 200):
        await member.hear_entries(2, 1, (index, index > 1), index + 1, (1, b"x" * 1_000))
    before = member.log_size_bytes
    for _ in range(2):
        await member.compact()
        await member.hear_entries(2, 1, (member.last_index, 1), member.last_index + 1, (1, b"x"))
    assert len(member.log()) < 10
    after = member.log_size_bytes
    require(after < before / 2, f"{before} bytes before, {after} after")


@scenario
async def test_n_uint32_offset(bench: Bench) -> None:
    """A log that takes more than 4 GiB between two compactions goes on."""
    member = await bench.member()
    await follow(member, 5)
    member.pretend_to_have_written(1 << 32)
    await member.hear_entries(2, 1, (5, 1), 6, (1, b"one more"))
    await member.settle()
    require(not member.errors, f"it raised {member.errors!r}")
    assert member.said(AppendAck)[-1].index == 6
