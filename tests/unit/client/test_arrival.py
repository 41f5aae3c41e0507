from __future__ import annotations

import asyncio

import pytest

from coordinator_client import Closed, EventBatch, InvalidArgument, aio
from coordinator_client._async.arrival import await_change, deadline_of
from tests.unit.client.stage import Stage

WAIT_S = 10


def any_event(batch: EventBatch) -> bool:
    return bool(batch.events)


async def test_it_sees_what_came_after_the_revision_and_is_wanted(client: aio.Client) -> None:
    before = (await client.put("/a/0")).revision
    await client.put("/a/1")
    for key, prefix, found in [("/a/", True, True), ("/a/1", False, True), ("/a/0", False, False)]:
        deadline_s = deadline_of(0.05 if not found else WAIT_S)
        assert (
            await await_change(client, key, before, deadline_s, any_event, prefix=prefix) == found
        )
    later = (await client.put("/a/2")).revision
    waiting = asyncio.create_task(
        await_change(
            client,
            "/a/",
            later,
            deadline_of(WAIT_S),
            lambda batch: any(event.kv.name == "/a/4" for event in batch.events),
        )
    )
    await client.put("/a/3")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await client.put("/a/4")
    assert await waiting


async def test_a_deadline_that_is_over_asks_nobody() -> None:
    async with aio.connect("127.0.0.1:1") as client:
        assert not await await_change(client, "/a", 1, deadline_of(0), any_event)
    with pytest.raises(InvalidArgument, match="timeout_s"):
        deadline_of(-1)
    assert deadline_of(None) is None


async def test_history_that_is_gone_is_worth_a_look(client: aio.Client) -> None:
    first = (await client.put("/x")).revision
    await client.put("/x")
    await client.compact((await client.put("/x")).revision)
    assert await await_change(client, "/a", first, deadline_of(WAIT_S), any_event)


async def test_it_waits_while_no_node_is_there(stage: Stage, client: aio.Client) -> None:
    revision = (await client.put("/x")).revision
    for node in range(3):
        await stage.stop_front(node)
    assert not await await_change(client, "/a", revision, deadline_of(0.2), any_event)
    waiting = asyncio.create_task(
        await_change(client, "/a", revision, deadline_of(WAIT_S), any_event)
    )
    await asyncio.sleep(0.1)
    for node in range(3):
        await stage.start_front(node)
    await client.put("/a")
    assert await waiting


async def test_closing_the_client_ends_it(stage: Stage) -> None:
    client = await aio.connect(stage.addresses)
    waiting = asyncio.create_task(await_change(client, "/a", 1, None, any_event))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(Closed):
        await asyncio.wait_for(waiting, WAIT_S)
