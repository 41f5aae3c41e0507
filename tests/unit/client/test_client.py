from __future__ import annotations

import pytest

from coordinator_client import InvalidArgument, SessionNotFound, Unavailable, aio
from tests.unit.client.stage import Stage


async def test_connecting_both_ways(stage: Stage) -> None:
    client = await aio.connect(stage.endpoints)
    await client.put("/a", "1")
    await client.close()
    async with aio.connect(stage.addresses) as other:
        assert await other.get("/a") is not None
        assert other.endpoints == tuple(stage.endpoints)
        assert other.endpoint in stage.endpoints


async def test_status_and_members(stage: Stage, client: aio.Client) -> None:
    statuses = [await client.status(endpoint) for endpoint in stage.endpoints]
    assert [status.name for status in statuses] == ["a", "b", "c"]
    assert [status.role for status in statuses] == ["leader", "follower", "follower"]
    assert {status.leader_name for status in statuses} == {"a"}
    assert [status.endpoint for status in statuses] == stage.endpoints
    assert not statuses[0].digest
    assert (await client.status(digest=True)).digest
    assert [(member.name, member.leader) for member in await client.members()] == [
        ("a", True), ("b", False), ("c", False),
    ]  # fmt: skip
    await stage.stop_front(1)
    with pytest.raises(Unavailable):
        await client.status(stage.endpoints[1])
    with pytest.raises(InvalidArgument):
        await client.status("nowhere")


async def test_sessions_from_outside(client: aio.Client) -> None:
    async with client.session(5, id=7, metadata={"who": "me"}) as mine, client.session(6) as other:
        await mine.put("/e/a")
        # The third is the one that numbers the writes of this client.
        records = [r for r in await client.sessions() if "purpose" not in r.metadata]
        assert [record.id for record in records] == [7, other.id]
        assert (records[0].ttl_s, records[0].metadata) == (5.0, {"who": "me"})
        record = await client.get_session(7)
        assert (record.keys, record.key_count, record.disconnect_grace_s) == ((b"/e/a",), 1, None)
        assert await client.close_session(7) == 1
        with pytest.raises(SessionNotFound):
            await client.get_session(7)
        with pytest.raises(SessionNotFound):
            await client.close_session(7)


async def test_services_and_their_instances_at_one_moment(client: aio.Client) -> None:
    assert await client.services() == ()
    assert await client.instances("pay") == ()
    async with (
        client.register("pay", "127.0.0.1", 2, id="z"),
        client.register("pay", "127.0.0.1", 1, id="a", metadata={"k": "v"}),
        client.register("mail", "::1", 25, tags=["fast"], weight=3, zone="x", version="1"),
    ):
        assert await client.services() == ("mail", "pay")
        assert [instance.id for instance in await client.instances("pay")] == ["z", "a"]
        (mail,) = await client.instances("mail")
        assert (mail.endpoint, mail.tags, mail.weight) == ("[::1]:25", ("fast",), 3)
        assert mail.id.startswith("mail-")
    assert await client.services() == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"numbered_writes": "no"},
        {"request_window": 0},
        {"request_window": 1025},
        {"request_window": 1.5},
        {"request_ttl_s": 0},
        {"request_ttl_s": float("inf")},
    ],
)
async def test_how_writes_are_numbered_is_checked_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        aio.connect("127.0.0.1:1", **wrong)  # type: ignore[arg-type]  # the mistakes under test


@pytest.mark.parametrize("wrong", ["Pay", "", "a/b"])
async def test_names_are_checked_before_anything_is_sent(client: aio.Client, wrong: str) -> None:
    with pytest.raises(InvalidArgument):
        client.discover(wrong)
    with pytest.raises(InvalidArgument):
        client.register(wrong, "127.0.0.1", 1)
    with pytest.raises(InvalidArgument):
        client.session(-1)
