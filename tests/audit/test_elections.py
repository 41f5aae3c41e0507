"""Audit e, f and m: who leads, and what a leader may read."""

from __future__ import annotations

from coordinator.consensus.codec import RequestVote, Vote
from tests.audit.cluster import Cluster
from tests.audit.member import ELECTION_S_MAX
from tests.audit.scenario import Bench, require, scenario


@scenario
async def test_e_rejoin(bench: Bench) -> None:
    """A follower that heard nobody for a while comes back without ending a leadership that works."""
    cluster = await Cluster.start(bench)
    leader = await cluster.elect(1)
    for _ in range(20):
        await cluster.step()
    term = leader.term
    cluster.isolate(3)
    for _ in range(4 * ELECTION_S_MAX):
        await cluster.step()
    assert leader.leads and leader.term == term
    cluster.mend(3)
    deposed = await cluster.happens(lambda: leader.term != term or not leader.leads, 300)
    require(not deposed, f"term {term} -> {leader.term}")


@scenario
async def test_e_disruption(bench: Bench) -> None:
    """A follower that hears the others but not the leader does not disturb them."""
    cluster = await Cluster.start(bench)
    leader = await cluster.elect(1)
    for _ in range(20):
        await cluster.step()
    term = leader.term
    cluster.silent.add(frozenset({1, 3}))
    for _ in range(6 * ELECTION_S_MAX):
        await cluster.step()
    newest = max(member.term for member in cluster.members.values())
    require(newest == term, f"{newest - term} more terms, member 1 leads: {leader.leads}")


@scenario
async def test_e_uninvited(bench: Bench) -> None:
    """A candidate of a newer term, however it came to it, does not end a leadership that a quorum follows."""
    member = await bench.member()
    term = await member.establish()
    await member.hear(3, RequestVote(term + 1, member.last_index, term))
    require(member.leads and member.term == term, f"term {term} -> {member.term}")


@scenario
async def test_f_stale_read(bench: Bench) -> None:
    """A leader that was replaced and does not know it gives no old answer to a read that must be linearizable."""
    cluster = await Cluster.start(bench)
    old = await cluster.elect(1)
    cluster.isolate(1)
    await cluster.run(lambda: any(cluster.members[number].leads for number in (2, 3)))
    new = next(cluster.members[number] for number in (2, 3) if cluster.members[number].leads)
    (written,) = await new.propose(b"new")
    await cluster.run(lambda: written.outcome == "done")
    seen = await old.read()
    require(seen is None or b"new" in seen, "a write that was acknowledged before is not seen")


@scenario
async def test_f_lonely_leader(bench: Bench) -> None:
    """A leader whom no quorum answers for an election timeout stops leading."""
    member = await bench.member()
    await member.establish()
    await member.pass_time(2 * ELECTION_S_MAX)
    require(not member.leads, "it leads on")


@scenario
async def test_m_lost_vote(bench: Bench) -> None:
    """A vote that was lost on its way is given again to the same candidate, so that its term is not wasted."""
    member = await bench.member()
    for _ in range(2):
        await member.hear(2, RequestVote(1, 1, 0))
    require(member.said(Vote) == [Vote(1)] * 2, "the second request was not answered")
