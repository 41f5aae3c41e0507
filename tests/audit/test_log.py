"""Audit b, c and the log's part of n: when entries count as committed, and which may be cut."""

from __future__ import annotations

from coordinator.consensus.codec import Append, AppendAck, Vote
from tests.audit.cluster import Cluster
from tests.audit.member import Member
from tests.audit.scenario import Bench, require, scenario


class Promises:
    """Watches that no member cuts what it acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self.acknowledged: dict[int, int] = {}
        self.broken: list[str] = []
        self._cluster = cluster
        cluster.observe = self.look

    def look(self, member: Member) -> None:
        for _, native in member.outbox:
            message = member.from_native(native)
            if isinstance(message, AppendAck) and not message.rejected:
                known = self.acknowledged.get(member.number, 0)
                self.acknowledged[member.number] = max(known, message.index)
        promised = self.acknowledged.get(member.number, 0)
        if not member.leads and member.last_index < promised:
            self.broken.append(
                f"member {member.number} acknowledged {promised} and then ended at {member.last_index}"
            )

    def check(self) -> None:
        stopped = [error for member in self._cluster.members.values() for error in member.errors]
        require(not stopped, f"stopped: {stopped!r}")
        require(not self.broken, f"{len(self.broken)} times, first: {self.broken[:1]}")


@scenario
async def test_b_stale_reply(bench: Bench) -> None:
    """An acknowledgement that was given to an earlier leadership of a member does not count in its present one."""
    member = await bench.member(count=5)
    first = await member.establish()
    await member.propose(*[b"old"] * 3)
    await member.pass_time(11)
    late = AppendAck(first, False, 0, member.last_index)
    prev = (2, first)
    await member.hear_entries(3, first + 1, prev, 2, (first + 1, b"other"))
    await member.pass_time(130)
    second = await member.lead()
    assert second > first + 1
    (proposal,) = await member.propose(b"new")
    await member.pass_time(11)
    before = member.commit_index
    assert member.last_index == late.index
    await member.hear(4, late)
    await member.hear(5, late)
    require(member.commit_index == before, "committed although only this member holds the entry")
    assert proposal.outcome is None


@scenario
async def test_c_healthy(bench: Bench) -> None:
    """Without any fault, under load, on a slow network: no follower cuts what it acknowledged."""
    cluster = await Cluster.start(bench, batch_bytes=400)
    leader = await cluster.elect(1)
    cluster.delay_s = {(one, two): 6.0 for one in (1, 2, 3) for two in (1, 2, 3)}
    promises = Promises(cluster)
    made = []
    for _ in range(60):
        made += await leader.propose(*[b"x" * 20] * 10)
        await cluster.step()
    await cluster.run(lambda: all(proposal.outcome == "done" for proposal in made))
    promises.check()


@scenario
async def test_c_truncation(bench: Bench) -> None:
    """A connection that is reset while many messages are on their way: the follower keeps what it acknowledged."""
    cluster = await Cluster.start(bench, batch_bytes=120)
    leader = await cluster.elect(1)
    cluster.isolate(3)
    cluster.delay_s = {(1, 2): 12.0, (2, 1): 12.0}
    promises = Promises(cluster)
    made = await leader.propose(*(b"%d" % number for number in range(24)))
    for _ in range(11):
        await cluster.step()
    cluster.reset(1, 2)
    await cluster.run(lambda: all(proposal.outcome == "done" for proposal in made))
    for _ in range(60):
        await cluster.step()
    promises.check()


@scenario
async def test_c_reorder(bench: Bench) -> None:
    """A heartbeat or an entry that comes late or twice cuts nothing."""
    member = await bench.member()
    await member.hear_entries(2, 1, (1, 0), 2, (1, b"a"), (1, b"b"), (1, b"c"))
    assert member.said(AppendAck)[-1].index == 4
    await member.hear_entries(2, 1, (2, 1), 2)
    require(member.last_index == 4, "a late heartbeat cut acknowledged entries")
    await member.hear_entries(2, 1, (2, 1), 2, (1, b"b"))
    require(member.last_index == 4, "a late copy of an entry cut those after it")
    require(not member.errors, f"it raised {member.errors!r}")


@scenario
async def test_n_double_vote_count(bench: Bench) -> None:
    """A vote that arrives twice is one vote."""
    member = await bench.member(count=5)
    term = await member.campaign()
    await member.hear(2, Vote(term), Vote(term))
    require(not member.leads, "leads with two votes of five")


@scenario
async def test_n_forged_member(bench: Bench) -> None:
    """The vote of one who is not a member does not count."""
    member = await bench.member()
    term = await member.campaign()
    member.connect(9)
    await member.hear(9, Vote(term))
    require(not member.leads, "leads by the vote of a stranger")


@scenario
async def test_n_flow_control(bench: Bench) -> None:
    """What is on its way to a follower that does not answer is bounded."""
    member = await bench.member()
    await member.establish()
    await member.propose(*[b"x" * 50_000] * 240)
    await member.pass_time(11)
    assert member.leads
    sent = sum(
        len(content)
        for message in member.said(Append)
        for _, content in message.entries
        if message.prev_index >= 2
    )
    to_each = sent / len(member.others)
    require(to_each < 8_000_000, f"{to_each:.0f} bytes are under way to each follower")
