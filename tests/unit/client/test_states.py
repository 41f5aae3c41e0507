from __future__ import annotations

import asyncio

import pytest

from coordinator_client import aio
from coordinator_client.errors import InvalidArgument, NotFound
from coordinator_client.instances import InstanceState

DEFINITION, STATE = "/services/pay/instances/i-1", "/services/pay/state/i-1"


async def status_of(client: aio.Client) -> str:
    (instance,) = await client.instances("pay")
    return instance.state.status


async def test_an_operator_sets_the_state_under_the_session_of_the_instance(
    client: aio.Client,
) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1") as mine:
        await client.set_instance_state("pay", "i-1", "maintenance", "new disk")
        (instance,) = await client.instances("pay")
        assert (instance.state.status, instance.state.note) == ("maintenance", "new disk")
        kv = await client.get(STATE)
        assert kv is not None and mine.session is not None
        assert kv.session == mine.session.id
        await client.set_instance_state("pay", "i-1", "passing")
        assert await status_of(client) == "passing"
    assert await client.get(STATE) is None


async def test_an_instance_without_a_session_has_a_state_for_good(client: aio.Client) -> None:
    await client.put("/services/pay/instances/i-1", '{"address": "db", "port": 5432}')
    await client.set_instance_state("pay", "i-1", "draining")
    assert await status_of(client) == "draining"


async def test_an_instance_that_is_kept_stays_marked(client: aio.Client) -> None:
    await client.put(DEFINITION, '{"address":"127.0.0.1","port":80}')
    await client.put(STATE, '{"state":"critical","guarded":true}')
    await client.set_instance_state("pay", "i-1", "maintenance", "looking")
    (found,) = await client.instances("pay")
    assert found.state == InstanceState("maintenance", "looking", guarded=True)


async def test_there_must_be_such_an_instance(client: aio.Client) -> None:
    with pytest.raises(NotFound, match="no instance i-1"):
        await client.set_instance_state("pay", "i-1", "draining")
    with pytest.raises(InvalidArgument, match="busy"):
        await client.set_instance_state("pay", "i-1", "busy")
    assert (await client.range("/services/", prefix=True)).count == 0


async def test_a_state_is_never_left_behind_by_an_instance_that_goes(client: aio.Client) -> None:
    """Many operators, and an instance that comes and goes all the time."""

    async def operate() -> None:
        for _ in range(20):
            try:
                await client.set_instance_state("pay", "i-1", "draining")
            except (NotFound, aio.Unavailable):
                await asyncio.sleep(0)

    async def come_and_go() -> None:
        for _ in range(5):
            async with client.register("pay", "127.0.0.1", 80, id="i-1"):
                await asyncio.sleep(0)

    await asyncio.gather(come_and_go(), *(operate() for _ in range(3)))
    assert (await client.range("/services/", prefix=True)).count == 0


async def test_an_instance_drains_before_it_goes(client: aio.Client) -> None:
    async with client.discover("pay") as view:
        changes = view.changes()
        async with client.register("pay", "127.0.0.1", 80, id="i-1", drain=0.3):
            assert (await changes.next(10)).type.value == "added"
            left_at = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - left_at >= 0.29
        async for change in changes:
            assert change.instance.state.status == "draining"
            if change.type.value == "removed":
                break


async def test_draining_ends_with_the_registration(client: aio.Client) -> None:
    async with client.discover("pay") as view:
        changes = view.changes()
        mine = await client.register("pay", "127.0.0.1", 80, id="i-1", drain=60).open()
        with pytest.raises(InvalidArgument, match="drain_s"):
            await mine.close(drain_s=-1)
        closing = asyncio.create_task(mine.close())
        assert (await changes.next(10)).type.value == "added"
        assert (await changes.next(10)).instance.state.status == "draining"
        assert mine.session is not None
        await client.close_session(mine.session.id)
        await asyncio.wait_for(closing, 20)
    assert await client.instances("pay") == ()


async def test_an_operator_deregisters_an_instance_and_everyone_is_told_why(
    client: aio.Client,
) -> None:
    async with (
        client.discover("pay") as view,
        client.register("pay", "h", 80, id="i-1", ttl=1.0) as mine,
    ):
        changes = view.changes()
        assert (await changes.next(10)).type.value == "added"
        await client.deregister("pay", "i-1")
        change = await changes.next(10)
        assert (change.type.value, change.cause) == ("removed", aio.Cause.DEREGISTERED)
        assert mine.registered, "its program keeps its session"
        with pytest.raises(NotFound, match="no instance i-1") as caught:
            await client.deregister("pay", "i-1")
        assert caught.value.reason == "INSTANCE_NOT_FOUND"
        with pytest.raises(InvalidArgument):
            await client.deregister("pay", "a/b")
        # Only once it loses its session does it come back.
        assert mine.session is not None
        await client.close_session(mine.session.id)
        change = await changes.next(20)
        assert (change.type.value, change.instance.id) == ("added", "i-1")
