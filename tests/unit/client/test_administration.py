"""What operators ask of the cluster, through the client library."""

from __future__ import annotations

import pytest

from coordinator import errors
from coordinator.errors import RequestError, Status
from coordinator_client import (
    AlreadyExists,
    Client,
    Closed,
    InvalidArgument,
    Member,
    NotFound,
    OutcomeUnknown,
    RequestRefused,
    aio,
)
from coordinator_client.membership import named
from tests.unit.client.stage import Stage

MEMBERS = (Member(1, "n1", "p:1", "", True, True), Member(2, "1", "p:2", "", False, True))


async def test_the_life_of_a_member(stage: Stage, client: aio.Client) -> None:
    added = await client.add_member("n9", "n9:1")
    assert (added.name, added.peer_address, added.voter) == ("n9", "n9:1", False)
    with pytest.raises(AlreadyExists):
        await client.add_member("n9", "n9:1")
    assert (await client.update_member_address("n9", "n9:7")).peer_address == "n9:7"
    assert (await client.promote_member(added.id)).voter
    listed = await client.members(linearizable=True, lag=True)
    assert [(m.name, m.voter, m.lag) for m in listed] == [
        ("a", True, 0), ("b", True, 0), ("c", True, 0), ("n9", True, None),
    ]  # fmt: skip
    await client.remove_member(str(added.id), force=True)
    assert stage.bus.changes[-1][2]
    with pytest.raises(NotFound):
        await client.remove_member("n9")
    assert [m.lag for m in await client.members()] == [None] * 3


async def test_promoting_waits_only_when_told_to(stage: Stage, client: aio.Client) -> None:
    await client.add_member("n9", "n9:1")
    behind = 2

    async def lag() -> None:
        nonlocal behind
        behind -= 1
        if behind >= 0:
            raise RequestError(Status.FAILED_PRECONDITION, "LEARNER_BEHIND", "far behind")

    stage.bus.before_change = lag
    with pytest.raises(RequestRefused) as caught:
        await client.promote_member("n9")
    assert (caught.value.reason, behind) == ("LEARNER_BEHIND", 1)
    assert (await client.promote_member("n9", wait=True)).voter
    assert behind == -1


async def test_waiting_for_a_learner_ends(stage: Stage, client: aio.Client) -> None:
    await client.add_member("n9", "n9:1")

    async def lag() -> None:
        raise RequestError(Status.FAILED_PRECONDITION, "LEARNER_BEHIND", "far behind")

    stage.bus.before_change = lag
    with pytest.raises(RequestRefused, match="far behind"):
        await client.promote_member("n9", wait=True, timeout_s=0.5)


async def test_an_unknown_outcome_is_told(stage: Stage, client: aio.Client) -> None:
    async def lost() -> None:
        raise errors.OutcomeUnknown("lost")

    stage.bus.before_change = lost
    with pytest.raises(OutcomeUnknown):
        await client.add_member("n9", "n9:1")


async def test_moving_the_leader(stage: Stage, client: aio.Client) -> None:
    assert await client.transfer_leadership() == "b"
    assert await client.transfer_leadership("c") == "c"
    assert await client.transfer_leadership(1) == "a"
    assert stage.bus.leader == 1
    with pytest.raises(NotFound):
        await client.transfer_leadership("nobody")


def test_the_blocking_face_has_them_too(blocking: Client) -> None:
    added = blocking.add_member("n9", "n9:1")
    assert blocking.promote_member("n9", wait=True).voter
    assert blocking.transfer_leadership("b") == "b"
    blocking.remove_member(added.id)
    blocking.close()
    with pytest.raises(Closed):
        blocking.remove_member(1)


def test_members_are_named_by_name_first_and_then_by_id() -> None:
    assert named(MEMBERS, "n1").id == 1
    assert named(MEMBERS, "1").id == 2
    assert named(MEMBERS, 1).id == 1
    assert named(MEMBERS, "2").id == 2
    for absent in ("n3", "3", 3, -1, "9" * 30, ""):
        with pytest.raises(NotFound):
            named(MEMBERS, absent)
    for wrong in (True, None, 1.5):
        with pytest.raises(InvalidArgument):
            named(MEMBERS, wrong)  # type: ignore[arg-type]  # what a program without types may do
