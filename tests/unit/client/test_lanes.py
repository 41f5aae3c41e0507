from __future__ import annotations

import asyncio
import threading

import grpc.aio
import pytest

from coordinator.config import Limits
from coordinator_client import Closed, ClusterMismatch, DeadlineExceeded, aio, calls, connect
from coordinator_client._async import lanes
from coordinator_client._sync import lanes as blocking_lanes
from coordinator_client.pb import common_pb2, watch_pb2
from tests.unit.client.scripted import Context, scripted
from tests.unit.client.stage import Stage, StageThread

WAIT_S = 10


async def until_watches(stage: Stage, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while sum(node.watch_count for node in stage.bus.nodes) != count:
            await asyncio.sleep(0.005)


async def test_watches_of_a_client_share_a_stream_that_ends_with_the_last() -> None:
    streams = ended = 0
    seen: list[tuple[str, int]] = []
    asked, closed = asyncio.Event(), asyncio.Event()

    async def serve(context: Context) -> None:
        nonlocal streams, ended
        streams += 1
        try:
            while (request := await context.read()) is not grpc.aio.EOF:
                kind = request.WhichOneof("request")
                watch_id = getattr(request, kind).watch_id
                seen.append((kind, watch_id))
                if kind == "progress":
                    asked.set()
                if kind == "create":
                    created = watch_pb2.WatchCreated(start_revision=3)
                    answer = watch_pb2.WatchResponse(watch_id=watch_id, created=created)
                    await context.write(answer)
        finally:
            ended += 1
            closed.set()

    async with scripted() as server, aio.connect(server.endpoint) as client:
        server.on_stream(calls.WATCH, serve)
        async with client.watch("/a"), client.watch("/b") as second:
            async with client.watch("/c"):
                pass
            await second.request_progress()
            await asyncio.wait_for(asked.wait(), WAIT_S)
            assert streams == 1
        await asyncio.wait_for(closed.wait(), WAIT_S)
        kinds = ["create", "create", "create", "cancel", "progress"]
        assert [kind for kind, _ in seen[:5]] == kinds and ended == 1
        assert [number for _, number in seen[:5]] == [1, 2, 3, 3, 2]
        async with client.watch("/a"):
            assert streams == 2


async def test_a_full_stream_is_followed_by_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LANES_MAX", 2)
    async with aio.connect(stage.endpoints[1]) as client:
        watches = [await client.watch("/f/", prefix=True).open() for _ in range(5)]
        node = stage.bus.nodes[1]
        assert node.watch_count == 5
        await client.put("/f/1", "x")
        for watch in watches:
            assert (await watch.next(WAIT_S)).events[0].kv.name == "/f/1"
        for left, watch in zip((4, 3, 2, 1, 0), watches, strict=True):
            await watch.close()
            await until_watches(stage, left)


async def test_what_is_told_alike_is_decoded_once(stage: Stage) -> None:
    async with aio.connect(stage.endpoints[0]) as client:
        watches = [await client.watch("/s/", prefix=True).open() for _ in range(3)]
        await client.put("/s/1", "x")
        first, *others = [await watch.next(WAIT_S) for watch in watches]
        assert all(batch is first for batch in others)


@pytest.mark.parametrize("bound", ["updates", "size"])
async def test_a_slow_reader_misses_nothing_and_holds_up_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    if bound == "updates":
        monkeypatch.setattr(lanes, "LANE_UPDATES_MAX", 4)
    else:
        monkeypatch.setattr(lanes, "LANE_SIZE_BYTES_MAX", 4_000)
    async with (
        aio.connect(stage.endpoints[0]) as client,
        client.watch("/s/", prefix=True) as slow,
        client.watch("/s/", prefix=True) as quick,
    ):
        for i in range(20):
            await client.put(f"/s/{i}", "x" * 1_000)
            assert (await quick.next(WAIT_S)).events[0].kv.name == f"/s/{i}"
        # The member holds nothing for who does not read, until it does again.
        await until_watches(stage, 1)
        names = [(await slow.next(WAIT_S)).events[0].kv.name for _ in range(20)]
        assert names == [f"/s/{i}" for i in range(20)]
        await client.put("/s/last")
        assert (await slow.next(WAIT_S)).events[0].kv.name == "/s/last"
        assert slow.served and slow.endpoint == quick.endpoint


async def test_a_large_snapshot_is_taken_at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LANE_UPDATES_MAX", 3)
    monkeypatch.setattr(lanes, "LANE_SIZE_BYTES_MAX", 3_000)
    limits = Limits(watch_message_size_bytes_max=1_000)
    async with Stage(limits) as stage, aio.connect(stage.endpoints[0]) as client:
        for i in range(30):
            await client.put(f"/s/{i:02}", "x" * 900)
        async with client.watch("/s/", prefix=True, snapshot=True) as watch:
            batch = await watch.next(WAIT_S)
            assert batch.snapshot and len(batch.kvs) == 30


async def test_a_reader_hears_of_the_end() -> None:
    async with Stage() as stage, aio.connect(stage.endpoints[0]) as client:
        watch = await client.watch("/a").open()
        other = await client.watch("/a").open()
        reading = asyncio.create_task(watch.next())
        await asyncio.sleep(0)
        watch.cancel()
        with pytest.raises(Closed):
            await asyncio.wait_for(reading, WAIT_S)
        await client.put("/a")
        assert (await other.next(WAIT_S)).events


async def test_another_cluster_ends_only_the_watch_that_is_not_of_it(stage: Stage) -> None:
    async with Stage() as other:
        endpoints = [stage.endpoints[0], other.endpoints[0]]
        async with aio.connect(endpoints, shuffle=False) as client:
            old = await client.watch("/x").open()
            await stage.stop_front(0)
            # The first one of all that this node is asked for is unknown to it; the next is not.
            with pytest.raises(ClusterMismatch):
                await old.next(WAIT_S)
            async with client.watch("/x") as new:
                await client.put("/x", "1")
                assert (await new.next(WAIT_S)).events[0].kv.text == "1"


async def test_a_node_that_knows_no_groups_is_understood() -> None:
    async def serve(context: Context) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            watch_id = request.create.watch_id
            created = watch_pb2.WatchCreated(start_revision=3)
            await context.write(watch_pb2.WatchResponse(watch_id=watch_id, created=created))
            kv = common_pb2.KeyValue(key=b"/%d" % watch_id)
            batch = common_pb2.EventBatch(revision=3, events=[common_pb2.Event(kv=kv)])
            events = watch_pb2.WatchEvents(batches=[batch])
            await context.write(watch_pb2.WatchResponse(watch_id=watch_id, events=events))

    async with scripted() as server, aio.connect(server.endpoint) as client:
        server.on_stream(calls.WATCH, serve)
        async with client.watch("/a") as first, client.watch("/b") as second:
            assert (await second.next(WAIT_S)).events[0].kv.name == "/2"
            assert (await first.next(WAIT_S)).events[0].kv.name == "/1"


def test_threads_each_with_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking_lanes, "LANE_UPDATES_MAX", 4)
    with StageThread() as stage, connect(stage.endpoints[0]) as client:
        found: dict[int, list[str]] = {}
        standing = threading.Barrier(5)

        def read(number: int) -> None:
            with client.watch("/t/", prefix=True) as watch:
                standing.wait(WAIT_S)
                found[number] = [watch.next(WAIT_S).events[0].kv.name for _ in range(30)]

        threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        with client.watch("/t/", prefix=True) as slow:
            standing.wait(WAIT_S)
            for i in range(30):
                client.put(f"/t/{i}")
            for thread in threads:
                thread.join(WAIT_S)
            names = [slow.next(WAIT_S).events[0].kv.name for _ in range(30)]
            with pytest.raises(DeadlineExceeded):
                slow.next(0.01)
        assert names == [f"/t/{i}" for i in range(30)]
        assert found == dict.fromkeys(range(4), names)
