from __future__ import annotations

import asyncio

import pytest

from coordinator_client import Cause, ChangeType, Closed, DeadlineExceeded, Unavailable, aio
from tests.unit.client.stage import Stage

WAIT_S = 10


def ids(view: aio.ServiceView) -> list[str]:
    return [instance.id for instance in view.instances()]


async def test_a_view_is_full_when_it_is_entered_and_current_later(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 1, id="z"):
        async with client.discover("pay") as view:
            assert (view.service, ids(view)) == ("pay", ["z"])
            async with client.register("pay", "127.0.0.1", 2, id="a") as second:
                assert [i.id for i in await view.wait_for(2, WAIT_S)] == ["z", "a"]
                changes = view.changes()
                added = [await changes.next(WAIT_S) for _ in range(2)]
                assert [(c.type, c.instance.id) for c in added] == [
                    (ChangeType.ADDED, "z"), (ChangeType.ADDED, "a"),
                ]  # fmt: skip
                await second.set_state("warning")
                changed = await changes.next(WAIT_S)
                assert (changed.type, changed.instance.state.status) == (
                    ChangeType.CHANGED,
                    "warning",
                )
            removed = await changes.next(WAIT_S)
            assert (removed.type, removed.cause) == (ChangeType.REMOVED, Cause.SESSION_CLOSED)
            assert view.revision == removed.revision
            assert ids(view) == ["z"]
        assert ids(view) == ["z"]


async def test_all_clients_see_the_same_order(stage: Stage, client: aio.Client) -> None:
    names = ["m", "c", "x", "a", "q"]
    for name in names:
        await client.register("pay", "127.0.0.1", 1, id=name).open()
    for endpoint in stage.endpoints:
        async with aio.connect(endpoint) as other, other.discover("pay") as view:
            assert ids(view) == names


async def test_it_follows_through_lost_nodes_and_compaction(
    stage: Stage, client: aio.Client
) -> None:
    async with aio.connect(stage.addresses) as other, client.discover("pay") as view:
        changes = view.changes()
        first = await other.register("pay", "127.0.0.1", 1, id="a").open()
        assert (await changes.next(WAIT_S)).instance.id == "a"
        for node in range(3):
            await stage.stop_front(node)
        for node in range(3):
            await stage.start_front(node)
        second = await other.register("pay", "127.0.0.1", 1, id="b").open()
        await other.compact((await other.put("/x")).revision)
        assert (await changes.next(WAIT_S)).instance.id == "b"
        await first.close()
        removed = await changes.next(WAIT_S)
        assert (removed.type, removed.instance.id) == (ChangeType.REMOVED, "a")
        await second.close()


async def test_waiting_for_instances(client: aio.Client) -> None:
    async with client.discover("pay") as view:
        assert await view.wait_for(0) == ()
        with pytest.raises(DeadlineExceeded, match="0 instances"):
            await view.wait_for(1, 0.05)
        with pytest.raises(DeadlineExceeded):
            await view.changes().next(0.05)
        waiting = [asyncio.create_task(view.wait_for(2, WAIT_S)) for _ in range(3)]
        async with (
            client.register("pay", "127.0.0.1", 1),
            client.register("pay", "127.0.0.1", 2),
        ):
            for task in waiting:
                assert len(await task) == 2


async def test_closing_a_view_ends_what_waits_on_it(client: aio.Client) -> None:
    view = await client.discover("pay").open()

    async def read() -> list[aio.Change]:
        return [change async for change in view]

    reader, waiter = asyncio.create_task(read()), asyncio.create_task(view.wait_for(1))
    await asyncio.sleep(0)
    await view.close()
    await view.close()
    assert await asyncio.wait_for(reader, WAIT_S) == []
    with pytest.raises(Closed):
        await waiter


async def test_closing_one_reader_leaves_the_view(client: aio.Client) -> None:
    async with client.discover("pay") as view:
        changes = view.changes()
        waiting = asyncio.create_task(changes.next())
        await asyncio.sleep(0)
        await changes.close()
        with pytest.raises(Closed):
            await waiting
        async with client.register("pay", "127.0.0.1", 1):
            assert len(await view.wait_for(1, WAIT_S)) == 1


async def test_closing_the_client_ends_the_view(stage: Stage) -> None:
    client = await aio.connect(stage.addresses)
    view = await client.discover("pay").open()
    waiting = asyncio.create_task(view.wait_for(1))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(Closed):
        await asyncio.wait_for(waiting, WAIT_S)
    await view.close()


async def test_without_a_node_there_is_no_view() -> None:
    async with aio.connect("127.0.0.1:1", timeout_s=0.2) as client:
        with pytest.raises(Unavailable):
            await client.discover("pay").open()


async def test_a_view_of_those_that_suit(client: aio.Client) -> None:
    async with (
        client.discover("pay", healthy=True, tag="new", zone="a") as view,
        client.register("pay", "10.0.0.1", 80, id="old", zone="a"),
        client.register("pay", "10.0.0.2", 80, id="far", zone="b", tags=["new"]),
        client.register("pay", "10.0.0.3", 80, id="new", zone="a", tags=["new"]) as new,
    ):
        changes = view.changes()
        assert (await changes.next(10)).instance.id == "new"
        assert [instance.id for instance in view.instances()] == ["new"]
        assert view.balancer().pick().endpoint == "10.0.0.3:80"
        await new.set_state("draining")
        gone = await changes.next(10)
        assert (gone.type, gone.cause) == (aio.ChangeType.REMOVED, aio.Cause.UNSPECIFIED)
        with pytest.raises(aio.NoInstance):
            view.balancer().pick()
        await new.set_state("warning")
        assert (await changes.next(10)).type is aio.ChangeType.ADDED
        with pytest.raises(aio.InvalidArgument):
            client.discover("pay", healthy=3)  # type: ignore[arg-type]  # on purpose


async def test_a_view_says_that_it_is_stale(stage: Stage, client: aio.Client) -> None:
    async with (
        client.register("pay", "10.0.0.1", 80, id="i-1"),
        client.discover("pay") as view,
    ):
        await view.wait_for(1, 10)
        assert not view.stale
        for node in range(3):
            await stage.stop_front(node)
        async with asyncio.timeout(10):
            while not view.stale:
                await asyncio.sleep(0.01)
        assert view.balancer().pick().instance.id == "i-1"
        for node in range(3):
            await stage.start_front(node)
        async with asyncio.timeout(20):
            while view.stale:
                await asyncio.sleep(0.01)
