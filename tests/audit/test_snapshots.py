"""Audit h: snapshots that are taken, sent, damaged, late."""

from __future__ import annotations

import threading

from coordinator.consensus.codec import Append, AppendAck, SnapshotChunk
from tests.audit.cluster import Cluster
from tests.audit.member import Member, RefusedToStart
from tests.audit.scenario import Bench, require, scenario

TERM = 4
"""In which member 2 leads and sends snapshots."""


def chunks_of(member: Member, index: int, contents: list[bytes]) -> list[SnapshotChunk]:
    """A snapshot as of `index` in several messages."""
    whole = member.snapshot_of(index, TERM, contents)
    size = len(whole)
    return [
        SnapshotChunk(TERM, index, TERM, size, at, whole[at : at + 100])
        for at in range(0, size, 100)
    ]


async def install(member: Member, chunks: list[SnapshotChunk]) -> None:
    for chunk in chunks:
        await member.hear(2, chunk)
        await member.rest()


@scenario
async def test_h_unverified_commit(bench: Bench) -> None:
    """While a snapshot arrives, a member that was deposed does not take its own tail for committed."""
    member = await bench.member()
    await member.establish()
    proposals = await member.propose(*(b"lost %d" % number for number in range(5)))
    (first, *_) = chunks_of(member, 50, [b"%d" % at for at in range(2, 51)])
    await member.hear(2, first)
    await member.settle()
    outcomes = {proposal.outcome for proposal in proposals}
    require("done" not in outcomes, "writes that no other member has were acknowledged")
    require(not member.applied, "and applied")


@scenario
async def test_h_snapshot_regress(bench: Bench) -> None:
    """A snapshot that is older than the log leaves log and state alone."""
    member = await bench.member()
    contents = [b"%d" % at for at in range(2, 31)]
    await member.hear_entries(2, TERM, (1, 0), 30, *((TERM, one) for one in contents))
    await member.settle()
    assert member.said(AppendAck)[-1].index == 30 and member.applied_index == 30
    await install(member, chunks_of(member, 20, contents[:19]))
    require(member.last_index == 30, f"the log goes back from 30 to {member.last_index}")
    require(member.applied == contents, "the state goes back")
    require(member.given == contents, "the state went back, and entries were applied again")


@scenario
async def test_h_crash_between_rename_and_truncate(bench: Bench) -> None:
    """A crash after a snapshot is in place and before the log is cut loses nothing that was acknowledged."""
    member = await bench.member()
    entries = [(1, b"%d" % at) for at in range(2, 31)]
    await member.hear_entries(2, 1, (1, 0), 20, *entries[:19])
    await member.settle()
    assert member.applied_index == 20
    await member.write_snapshot_only()
    native = member.to_native(Append(1, 20, 1, 20, tuple((t, b"\0" + c) for t, c in entries[19:])))
    member.deliver(2, native)
    await member.sync()
    assert member.said(AppendAck)[-1].index == 30
    await member.kill()
    await member.start()
    await member.settle()
    require(member.last_index == 30, f"acknowledged 30, after the restart {member.last_index}")


@scenario
async def test_h_bad_dump(bench: Bench) -> None:
    """A member whose snapshot is damaged does not start with an empty state."""
    member = await bench.member()
    contents = [b"%d" % at for at in range(2, 21)]
    await member.hear_entries(2, 1, (1, 0), 20, *((1, one) for one in contents))
    await member.settle()
    await member.compact()
    await member.kill()
    member.damage_snapshot()
    try:
        await member.start()
    except RefusedToStart:
        return
    await member.settle()
    require(member.applied == contents, f"it runs with {len(member.applied)} of 19 entries")


@scenario
async def test_h_bad_install(bench: Bench) -> None:
    """A snapshot that can't be read is not answered as if it were there."""
    member = await bench.member()
    await member.hear_entries(3, 1, (1, 0), 1, *[(1, b"not committed")] * 9)
    member.said(AppendAck)
    garbage = b"garbage" * 20
    await member.hear(2, SnapshotChunk(TERM, 50, TERM, len(garbage), 0, garbage))
    await member.rest()
    acks = [ack for ack in member.said(AppendAck) if not ack.rejected]
    require(not acks, f"answered with {acks}, which is its own tail")


@scenario
async def test_h_none_flood(bench: Bench) -> None:
    """While a snapshot is not ready yet, a follower that needs it is not flooded."""
    member = await bench.member()
    await member.establish()
    await member.propose(*[b"x"] * 20)
    await member.pass_time(11)
    await member.hear_ack(member.last_index, 2)
    await member.settle()
    await member.compact()
    await member.compact()
    member.disconnect(3)
    member.connect(3)
    member.outbox.clear()
    if bench.engine == "stock":
        member.state("serializer").getTransmissionData = lambda _: None
        await member.hear(3, AppendAck(member.term, True, 0, 1))
        member.core.conf.appendEntriesPeriod = 0.02  # Else the flood is 500 times as large.
    await member.pass_time(11)
    require(len(member.outbox) < 100, f"{len(member.outbox)} messages within one heartbeat")


@scenario
async def test_h_chunking(bench: Bench) -> None:
    """Entries larger than a message arrive, and nothing raises on the way."""
    cluster = await Cluster.start(bench, batch_bytes=1_024)
    leader = await cluster.elect(1)
    contents = [b"\xff" * size for size in (1_023, 1_024, 1_025, 2_048, 3_079, 10_240)]
    for content in contents:
        (proposal,) = await leader.propose(content)
        await cluster.run(lambda proposal=proposal: proposal.outcome == "done")  # type: ignore[misc]  # bound now
    errors = [error for member in cluster.members.values() for error in member.errors]
    kinds = sorted({type(error).__name__ for error in errors})
    require(not errors, f"{len(errors)} exceptions: {kinds}")
    await cluster.run(lambda: all(one.applied == contents for one in cluster.members.values()))


@scenario
async def test_h_blocking_dump(bench: Bench) -> None:
    """The state is encoded on another thread than the one that answers heartbeats (the file path forks, or blocks)."""
    member = await bench.member()
    await member.hear_entries(2, 1, (1, 0), 21, *[(1, b"x")] * 20)
    await member.settle()
    threads = member.watch_encoding()
    await member.compact()
    assert threads
    require(threading.get_ident() not in threads, "the loop waits for the whole state")
