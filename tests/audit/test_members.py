"""Audit k: changes of the membership."""

from __future__ import annotations

from tests.audit.scenario import Bench, require, scenario


@scenario
async def test_k_restart_config(bench: Bench) -> None:
    """A new member that is committed is a member after a restart, at once."""
    member = await bench.member()
    await member.establish()
    await member.add_member(4)
    await member.hear_ack(member.last_index, 2, 3)
    assert member.commit_index == member.last_index and 4 in member.voters
    await member.kill()
    await member.start()
    await member.settle()
    require(4 in member.voters, f"it works with {sorted(member.voters)}")


@scenario
async def test_k_snapshot_future_config(bench: Bench) -> None:
    """A snapshot holds the members as of its index, not a change that is not committed."""
    member = await bench.member()
    await member.establish()
    await member.propose(b"a", b"b")
    await member.hear_ack(member.last_index, 2, 3)
    await member.add_member(4)
    assert 4 in member.voters and member.commit_index < member.last_index
    await member.compact()
    members = member.members_in_snapshot
    require(members == {1, 2, 3}, f"it holds {sorted(members)}")


@scenario
async def test_k_two_at_once(bench: Bench) -> None:
    """A second change is refused while the first is not committed."""
    member = await bench.member()
    await member.establish()
    await member.add_member(4)
    assert member.voters == {1, 2, 3, 4}
    await member.add_member(5)
    require(5 not in member.voters, "two changes are under way")


@scenario
async def test_k_removed_reply(bench: Bench) -> None:
    """A late answer of a member that was removed does no harm."""
    member = await bench.member()
    await member.establish()
    await member.remove_member(3)
    await member.hear_ack(member.last_index, 2)
    assert member.voters == {1, 2} and member.commit_index == member.last_index
    await member.hear_ack(member.last_index, 3)
    require(not member.errors, f"it raised {member.errors!r}")
