from __future__ import annotations

import asyncio

import grpc
import pytest

from coordinator.config import Limits
from coordinator.state.commands import Put, Write
from coordinator_client import (
    Cause,
    Closed,
    ClusterMismatch,
    Compacted,
    DeadlineExceeded,
    EventType,
    InvalidArgument,
    Unavailable,
    aio,
    calls,
)
from coordinator_client.pb import common_pb2, watch_pb2
from tests.unit.client.scripted import Context, scripted
from tests.unit.client.stage import Stage

WAIT_S = 10


async def texts(watch: aio.Watch, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        found += [event.kv.text for event in (await watch.next(WAIT_S)).events]
    return found


async def test_every_change_after_the_block_was_entered_is_seen(client: aio.Client) -> None:
    await client.put("/w/0", "before")
    async with client.watch("/w/", prefix=True, prev=True) as watch:
        await client.put("/w/1", "a")
        await client.put("/other", "x")
        revision = (await client.put("/w/1", "b")).revision
        await client.delete("/w/", prefix=True)
        put, change, delete = [await watch.next(WAIT_S) for _ in range(3)]
    assert [event.kv.text for event in put.events] == ["a"]
    assert (change.revision, watch.next_revision) == (revision, delete.revision + 1)
    assert change.events[0].prev is not None and change.events[0].prev.text == "a"
    assert [(event.type, event.cause, event.kv.name) for event in delete.events] == [
        (EventType.DELETE, Cause.DELETED, "/w/0"), (EventType.DELETE, Cause.DELETED, "/w/1"),
    ]  # fmt: skip


async def test_filters(client: aio.Client) -> None:
    async with client.watch("/f", puts=False) as deletes, client.watch("/f", deletes=False) as puts:
        await client.put("/f", "1")
        await client.delete("/f")
        await client.put("/f", "2")
        assert await texts(puts, 2) == ["1", "2"]
        assert not (await deletes.next(WAIT_S)).events[0].is_put


async def test_from_a_revision(client: aio.Client) -> None:
    first = (await client.put("/h", "1")).revision
    await client.put("/h", "2")
    async with client.watch("/h", start_revision=first) as watch:
        assert await texts(watch, 2) == ["1", "2"]


async def test_a_snapshot_and_then_every_change(client: aio.Client) -> None:
    await client.put("/s/1", "a")
    await client.put("/s/2", "b")
    async with client.watch("/s/", prefix=True, snapshot=True) as watch:
        await client.put("/s/1", "c")
        first = await watch.next(WAIT_S)
        assert first.snapshot and not first.events
        assert [kv.text for kv in first.kvs] == ["a", "b"]
        assert await texts(watch, 1) == ["c"]


async def test_it_goes_on_where_it_was_after_every_lost_node(
    stage: Stage, client: aio.Client
) -> None:
    expected, seen = [], []
    nodes = set()
    async with client.watch("/n/", prefix=True) as watch:
        for round_ in range(6):
            for number in range(5):
                expected.append(f"{round_}.{number}")
                await write(stage, expected[-1])
            seen += await texts(watch, 3)
            assert watch.endpoint is not None
            nodes.add(lost := watch.endpoint)
            await stage.stop_front(lost)
            expected.append(f"{round_}.last")
            await write(stage, expected[-1])
            seen += await texts(watch, len(expected) - len(seen))
            await stage.start_front(lost)
    assert seen == expected
    assert len(nodes) > 1


async def write(stage: Stage, text: str) -> None:
    """Writes without any client, so that the watch alone finds out about lost nodes."""
    deadline = asyncio.get_running_loop().time() + WAIT_S
    await stage.bus.nodes[0].propose(Write(Put(b"/n/x", text.encode())), deadline)


async def test_a_resume_after_compaction_is_an_error_that_says_so(
    stage: Stage, client: aio.Client
) -> None:
    async with client.watch("/c") as watch:
        await client.put("/c", "1")
        assert await texts(watch, 1) == ["1"]
        assert watch.endpoint is not None
        lost = watch.endpoint
        await stage.stop_front(lost)
        for number in range(3):
            await client.put("/c", str(number))
        revision = (await client.put("/c", "x")).revision
        await client.compact(revision)
        with pytest.raises(Compacted) as caught:
            while True:
                await watch.next(WAIT_S)
        assert caught.value.compacted_revision == revision
        with pytest.raises(Closed):
            await watch.next()


async def test_a_snapshot_watch_outlives_compaction_with_another_snapshot(
    stage: Stage, client: aio.Client
) -> None:
    async with client.watch("/c", snapshot=True) as watch:
        assert (await watch.next(WAIT_S)).kvs == ()
        assert watch.endpoint is not None
        await stage.stop_front(watch.endpoint)
        await client.put("/c", "1")
        await client.compact((await client.put("/c", "2")).revision)
        again = await watch.next(WAIT_S)
        assert again.snapshot
        assert [kv.text for kv in again.kvs] == ["2"]
        await client.put("/c", "3")
        assert await texts(watch, 1) == ["3"]


async def test_progress_is_told_on_request() -> None:
    # Asked for at the node's own pace, which is too slow for a test: the message is scripted.
    async def serve(context: Context) -> None:
        request = await context.read()
        assert request.create.progress_notify
        about = watch_pb2.WatchResponse(watch_id=request.create.watch_id)
        about.header.cluster_id = 7
        created = watch_pb2.WatchResponse(created=watch_pb2.WatchCreated(start_revision=5))
        created.MergeFrom(about)
        await context.write(created)
        progressed = watch_pb2.WatchResponse(progressed=watch_pb2.WatchProgressed(revision=9))
        progressed.MergeFrom(about)
        await context.write(progressed)
        await context.read()

    async with scripted() as server, aio.connect(server.endpoint) as client:
        server.on_stream(calls.WATCH, serve)
        async with client.watch("/p", progress=True) as watch:
            batch = await watch.next(WAIT_S)
            assert (batch.progress, batch.revision, watch.next_revision) == (True, 9, 10)


async def test_another_cluster_is_not_taken_for_the_old_one(stage: Stage) -> None:
    async with Stage() as other:
        endpoints = [stage.endpoints[0], other.endpoints[0]]
        async with aio.connect(endpoints, shuffle=False) as client, client.watch("/x") as watch:
            await stage.stop_front(0)
            with pytest.raises(ClusterMismatch):
                await watch.next(WAIT_S)


async def test_refusals_come_when_the_block_is_entered(client: aio.Client) -> None:
    with pytest.raises(InvalidArgument):
        client.watch("/a", snapshot=True, start_revision=5)
    await client.put("/a")
    await client.compact((await client.put("/a")).revision)
    watch = client.watch("/a", start_revision=1)
    with pytest.raises(Compacted):
        async with watch:
            await watch.next(WAIT_S)


async def test_without_a_node_it_can_not_begin() -> None:
    async with aio.connect("127.0.0.1:1", timeout_s=0.3) as client:
        with pytest.raises(Unavailable):
            await client.watch("/a").open()


async def test_waiting_has_a_timeout_and_loses_nothing(client: aio.Client) -> None:
    async with client.watch("/t") as watch:
        with pytest.raises(DeadlineExceeded):
            await watch.next(0.05)
        await client.put("/t", "1")
        assert await texts(watch, 1) == ["1"]


async def test_close_ends_iteration(client: aio.Client) -> None:
    seen = []
    watch = await client.watch("/e").open()

    async def read() -> None:
        async for batch in watch:
            seen.append(batch)

    reader = asyncio.create_task(read())
    await client.put("/e")
    while not seen:
        await asyncio.sleep(0)
    await watch.close()
    await asyncio.wait_for(reader, WAIT_S)
    with pytest.raises(Closed):
        await watch.next()


async def test_a_stream_that_a_node_ends_is_opened_elsewhere() -> None:
    streams = 0

    async def serve(context: Context) -> None:
        nonlocal streams
        streams += 1
        request = await context.read()
        start = request.create.start_revision or 5
        number = request.create.watch_id
        created = watch_pb2.WatchCreated(start_revision=start)
        await context.write(watch_pb2.WatchResponse(watch_id=number, created=created))
        batch = common_pb2.EventBatch(revision=start, events=[common_pb2.Event()])
        events = watch_pb2.WatchEvents(batches=[batch])
        await context.write(watch_pb2.WatchResponse(watch_id=number, events=events))
        if streams == 1:
            await context.abort(grpc.StatusCode.INTERNAL, "oh")

    async with scripted() as server, aio.connect(server.endpoint) as client:
        server.on_stream(calls.WATCH, serve)
        async with client.watch("/b") as watch:
            assert [(await watch.next(WAIT_S)).revision for _ in range(3)] == [5, 6, 7]
    assert streams >= 2


async def test_large_revisions_are_put_together() -> None:
    limits = Limits(watch_message_size_bytes_max=64 * 1024)
    async with (
        Stage(limits) as stage,
        aio.connect(stage.addresses) as client,
        client.watch("/g/", prefix=True) as watch,
    ):
        txn = client.txn()
        for number in range(50):
            txn.then(aio.Put(f"/g/{number:02}", b"x" * 10_000))
        await txn.commit()
        assert len((await watch.next(WAIT_S)).events) == 50


async def test_it_says_whether_a_node_serves_it(stage: Stage, client: aio.Client) -> None:
    watch = client.watch("/w/", prefix=True)
    assert not watch.served
    async with watch:
        assert watch.served
        reading = asyncio.create_task(watch.next())
        for node in range(3):
            await stage.stop_front(node)
        async with asyncio.timeout(WAIT_S):
            while watch.served:
                await asyncio.sleep(0.01)
        # Nobody is there to be asked, which does no harm.
        await watch.request_progress()
        for node in range(3):
            await stage.start_front(node)
        await client.put("/w/1")
        await reading
        assert watch.served
    assert not watch.served


async def test_progress_comes_when_it_is_asked_for(client: aio.Client) -> None:
    async with client.watch("/w/", prefix=True, progress=True) as watch:
        other = await client.put("/other")
        await watch.request_progress()
        batch = await watch.next(WAIT_S)
        assert batch.progress and batch.revision == other.revision
