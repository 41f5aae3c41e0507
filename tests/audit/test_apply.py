"""Audit i and j: what becomes of a call, and how entries are applied."""

from __future__ import annotations

import fcntl

from coordinator.consensus.codec import AppendAck, SnapshotChunk
from coordinator.state.commands import (
    LeaderElected,
    Put,
    Range,
    RequestId,
    Selector,
    SessionOpen,
    Write,
)
from coordinator.state.machine import StateMachine
from coordinator.state.results import RangeResult
from tests.audit.cluster import Cluster
from tests.audit.member import Member
from tests.audit.scenario import Bench, require, scenario
from tests.unit.state.workload import bundle


@scenario
async def test_i_forward_hang(bench: Bench) -> None:
    """A call of a follower ends, even if the connection to the leader breaks and is made again meanwhile."""
    member = await bench.member()
    await member.hear_entries(2, 1, (1, 0), 1)
    (proposal,) = await member.propose(b"forwarded")
    member.disconnect(2)
    member.connect(2)
    for _ in range(60):
        await member.pass_time(10, step_s=5)
        await member.hear_entries(2, 1, (1, 0), 1)
    require(proposal.outcome is not None, "no outcome in ten minutes")


@scenario
async def test_i_snapshot_hang(bench: Bench) -> None:
    """The calls of a leader that was deposed end when it catches up by a snapshot."""
    member = await bench.member()
    await member.establish()
    proposals = await member.propose(*[b"pending"] * 5)
    whole = member.snapshot_of(50, 4, [b"%d" % at for at in range(2, 51)])
    await member.hear(2, SnapshotChunk(4, 50, 4, len(whole), 0, whole))
    await member.rest()
    assert member.applied_index == 50
    await member.hear_entries(2, 4, (50, 4), 51, (4, b"next"))
    await member.pass_time(30)
    ended = sum(proposal.outcome is not None for proposal in proposals)
    require(ended == 5, f"{ended} of 5 calls ended")


def versions_of(member: Member) -> int:
    """How often the key was written, says a state machine that gets what the member applied."""
    machine = StateMachine()
    machine.apply(bundle([LeaderElected(1, 77), SessionOpen(1, 1_000)]))
    for entry in member.applied:
        machine.apply(entry)
    result = machine.range(Range(Selector(b"key")))
    assert isinstance(result, RangeResult)
    return result.kvs[0].version


@scenario
async def test_i_retry_dup(bench: Bench) -> None:
    """A write whose outcome the caller does not learn is done once, however often the caller tries again.

    With the stock engine the call is forwarded and ends as if it had not been done. Ours says that the outcome is
    not known; the request id makes the state machine do it once.
    """
    cluster = await Cluster.start(bench)
    leader = await cluster.elect(1)
    write = bundle([Write(Put(b"key", b""), RequestId(1, 1))])
    if bench.engine == "stock":
        caller = cluster.members[2]
        cluster.delay_s[1, 2] = 1e9
    else:
        caller = leader
        cluster.delay_s[2, 1] = cluster.delay_s[3, 1] = 1e9
    (first,) = await caller.propose(write)
    await cluster.run(lambda: first.outcome is not None)
    assert first.outcome != "done"
    cluster.delay_s.clear()
    tries = 0
    done = False
    while not done:
        await cluster.run(lambda: any(member.leads for member in cluster.members.values()))
        at = next(member for member in cluster.members.values() if member.leads)
        (again,) = await at.propose(write)
        await cluster.happens(lambda proposal=again: proposal.outcome is not None, 300)  # type: ignore[misc]  # bound now
        done, tries = again.outcome == "done", tries + 1
        assert tries < 10
    if bench.engine == "stock":
        times = at.applied.count(write)
    else:
        assert at.applied.count(write) == 2
        times = versions_of(at)
    require(times == 1, f"done {times} times")


@scenario
async def test_j_poison(bench: Bench) -> None:
    """An entry at which the application raises is not applied again and again."""
    member = await bench.member(refuses=b"poison")
    await member.hear_entries(2, 1, (1, 0), 2, (1, b"poison"))
    await member.pass_time(30)
    times = member.given.count(b"poison")
    assert member.errors
    require(times == 1, f"applied {times} times")


@scenario
async def test_j_callback_raises(bench: Bench) -> None:
    """If what waits for an entry raises, the entry is not applied once more.

    Ours has no callbacks of callers; what comes closest is the application that raises after it took an entry.
    """
    member = await bench.member()
    await member.establish()
    member.offer_with_failing_caller(b"entry")
    await member.settle()
    await member.hear_ack(member.last_index, 2)
    await member.pass_time(3)
    times = member.applied.count(b"entry")
    require(times == 1, f"applied {times} times")


@scenario
async def test_j_wrong_version(bench: Bench) -> None:
    """An entry of a newer version of the program does not let later ones be applied twice."""
    member = await bench.member()
    await member.hear_entries(2, 1, (1, 0), 1, (1, b"before"))
    await member.hear(2, member.future_entry(1, (2, 1)))
    for index in (3, 4, 5):
        await member.hear_entries(2, 1, (index, 1), index + 1, (1, b"after %d" % index))
    assert member.said(AppendAck)
    most = max((member.applied.count(content) for content in member.applied), default=0)
    require(most <= 1, f"an entry was applied {most} times")


@scenario
async def test_n_pipe_full(bench: Bench) -> None:
    """However many proposals come between two passes: one that raises is not in the log."""
    member = await bench.member(count=1, batch=False)
    member.expire()
    await member.settle()
    assert member.leads
    if bench.engine == "stock":
        # 64 KiB by default, which takes as many proposals.
        fcntl.fcntl(member.state("pipeNotifier")._PipeNotifier__pipeW, fcntl.F_SETPIPE_SZ, 4_096)
    count, raised = 5_000, 0
    for _ in range(count):
        try:
            member.offer(b"")
        except OSError:
            raised += 1
    before = len(member.applied)
    for _ in range(5):
        await member.settle()
    done = len(member.applied) - before
    require(done == count - raised, f"{raised} of {count} raised, and {done} were done")
