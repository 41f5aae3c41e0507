"""The Watch service, through a real gRPC server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc
import pytest

from coordinator_client.pb import common_pb2, kv_pb2, watch_pb2
from tests.unit.api.conftest import Face, error_of
from tests.unit.api.test_kv import key, prefix, put, put_op, txn


class Client:
    """A watch stream as a test drives it."""

    def __init__(self, face: Face) -> None:
        self.call: Any = face.stream("Watch/Watch", watch_pb2.WatchResponse)

    async def create(self, **fields: Any) -> None:
        create = watch_pb2.WatchCreate(**fields)
        await self.call.write(watch_pb2.WatchRequest(create=create))

    async def send(self, **fields: Any) -> None:
        await self.call.write(watch_pb2.WatchRequest(**fields))

    async def next(self) -> watch_pb2.WatchResponse:
        async with asyncio.timeout(5):
            message = await self.call.read()
        assert isinstance(message, watch_pb2.WatchResponse), await self.call.code()
        return message

    async def events(self, count: int) -> list[tuple[int, bytes]]:
        """Returns revision and key of the next `count` events."""
        found: list[tuple[int, bytes]] = []
        while len(found) < count:
            message = await self.next()
            assert message.WhichOneof("response") == "events", message
            for batch in message.events.batches:
                found += [(batch.revision, e.kv.key) for e in batch.events]
        return found

    async def closed(self) -> grpc.aio.AioRpcError:
        async with asyncio.timeout(5):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                while await self.call.read() is not grpc.aio.EOF:
                    pass
                raise AssertionError("the stream ended without an error")
        return caught.value

    async def done(self) -> None:
        """Ends all watches and then the stream."""
        self.call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.call.wait_for_connection()


async def gone(face: Face) -> None:
    """Waits until the member holds no watch."""
    async with asyncio.timeout(5):
        while face.node.watch_count:
            await asyncio.sleep(0.01)


async def test_one_stream_carries_many_watches(face: Face) -> None:
    client = Client(face)
    await client.create(watch_id=5, selector=key("/a"))
    created = await client.next()
    assert created.watch_id == 5 and created.created.start_revision == 2
    await client.create(selector=prefix("/"), prev_kv=True)
    other = (await client.next()).watch_id
    assert other not in (0, 5)
    await put(face, "/a", "1")
    await put(face, "/b", "2")
    seen: dict[int, list[bytes]] = {5: [], other: []}
    while sum(map(len, seen.values())) < 3:
        message = await client.next()
        for batch in message.events.batches:
            seen[message.watch_id] += [e.kv.key for e in batch.events]
    assert seen == {5: [b"/a"], other: [b"/a", b"/b"]}
    await client.send(cancel=watch_pb2.WatchCancel(watch_id=5))
    canceled = await client.next()
    assert canceled.watch_id == 5
    assert canceled.canceled.reason == watch_pb2.WatchCanceled.REASON_CLIENT
    await put(face, "/a", "3")
    message = await client.next()
    assert message.watch_id == other
    event = message.events.batches[0].events[0]
    assert event.prev_kv.value == b"1" and event.kv.value == b"3"
    await client.done()
    await gone(face)


async def test_a_client_with_no_more_to_say_is_told_all_the_same(face: Face) -> None:
    client = Client(face)
    await put(face, "/a")
    await client.create(selector=prefix("/"), start_revision=2)
    await client.call.done_writing()
    await client.next()
    assert await client.events(1) == [(2, b"/a")]
    await put(face, "/b")
    assert await client.events(1) == [(3, b"/b")]
    await client.done()


async def test_a_stream_with_no_more_to_say_and_no_watch_left_ends(face: Face) -> None:
    for i in range(5):
        await put(face, f"/{i}")
    compact = kv_pb2.CompactRequest(revision=4)
    await face.call("KV/Compact", compact, kv_pb2.CompactResponse)
    client = Client(face)
    await client.create(selector=prefix("/"), start_revision=3)
    await client.call.done_writing()
    await client.next()
    assert (await client.next()).canceled.compacted_revision == 4
    async with asyncio.timeout(5):
        assert await client.call.read() is grpc.aio.EOF
    empty = Client(face)
    await empty.call.done_writing()
    async with asyncio.timeout(5):
        assert await empty.call.read() is grpc.aio.EOF


async def test_a_delete_says_why(face: Face) -> None:
    client = Client(face)
    await put(face, "/a")
    await client.create(selector=key("/a"), prev_kv=True, no_put=True)
    await client.next()
    await put(face, "/a")
    request = kv_pb2.DeleteRangeRequest(selector=key("/a"))
    await face.call("KV/DeleteRange", request, kv_pb2.DeleteRangeResponse)
    (batch,) = (await client.next()).events.batches
    (event,) = batch.events
    assert event.type == common_pb2.Event.DELETE and event.cause == common_pb2.CAUSE_DELETED
    assert event.kv.key == b"/a" and event.kv.mod_revision == batch.revision == 4
    assert event.prev_kv.version == 2
    await client.done()


async def test_a_watch_from_a_revision_replays(face: Face) -> None:
    for i in range(300):
        await put(face, f"/{i}")
    client = Client(face)
    cluster_id = face.node.state.cluster_id
    await client.create(selector=prefix("/"), start_revision=2, cluster_id=cluster_id)
    await client.next()
    assert [r for r, _ in await client.events(300)] == list(range(2, 302))
    await put(face, "/more")
    assert await client.events(1) == [(302, b"/more")]
    await client.done()


async def test_a_snapshot_then_every_later_event(face: Face) -> None:
    await put(face, "/a/1")
    await put(face, "/a/2")
    client = Client(face)
    await client.create(selector=prefix("/a/"), with_snapshot=True)
    assert (await client.next()).created.start_revision == 4
    snapshot = (await client.next()).snapshot
    assert [kv.key for kv in snapshot.kvs] == [b"/a/1", b"/a/2"]
    assert snapshot.last and snapshot.revision == 3
    await put(face, "/a/3")
    assert await client.events(1) == [(4, b"/a/3")]
    await client.done()


async def test_the_snapshot_of_nothing_is_told_too(face: Face) -> None:
    client = Client(face)
    await client.create(selector=prefix("/none/"), with_snapshot=True)
    await client.next()
    snapshot = (await client.next()).snapshot
    assert snapshot.last and not snapshot.kvs
    await client.done()


async def test_a_large_revision_comes_in_parts(small_face: Face) -> None:
    client = Client(small_face)
    await client.create(selector=prefix("/"))
    await client.next()
    await txn(small_face, kv_pb2.TxnRequest(success=[put_op(f"/{i}", "x" * 1_500) for i in "abcd"]))
    parts: list[common_pb2.EventBatch] = []
    while not parts or parts[-1].partial:
        parts += (await client.next()).events.batches
    assert {p.revision for p in parts} == {2} and len(parts) >= 2
    keys = [e.kv.key for p in parts for e in p.events]
    assert keys == [b"/a", b"/b", b"/c", b"/d"]
    await client.done()


async def test_a_compacted_start_names_the_revision(face: Face) -> None:
    for i in range(5):
        await put(face, f"/{i}")
    compact = kv_pb2.CompactRequest(revision=4)
    await face.call("KV/Compact", compact, kv_pb2.CompactResponse)
    client = Client(face)
    await client.create(watch_id=1, selector=prefix("/"), start_revision=3)
    await client.next()
    canceled = (await client.next()).canceled
    assert canceled.reason == watch_pb2.WatchCanceled.REASON_COMPACTED
    assert canceled.compacted_revision == 4
    await client.create(watch_id=1, selector=prefix("/"), start_revision=5)
    await client.next()
    assert [r for r, _ in await client.events(2)] == [5, 6]
    await client.done()


async def test_another_cluster_ends_the_stream(face: Face) -> None:
    client = Client(face)
    await client.create(selector=prefix("/"), start_revision=3, cluster_id=1)
    error = await client.closed()
    assert error_of(error)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "CLUSTER_MISMATCH")


async def test_progress_is_told_when_asked_and_never_ahead_of_events(face: Face) -> None:
    client = Client(face)
    await client.create(watch_id=1, selector=key("/a"))
    await client.next()
    await put(face, "/b")
    await client.send(progress=watch_pb2.WatchProgress())
    assert (await client.next()).progressed.revision == 2
    await put(face, "/a")
    await client.send(progress=watch_pb2.WatchProgress())
    assert (await client.next()).WhichOneof("response") == "events"
    await client.done()


async def large_backlog(face: Face) -> None:
    """Makes more events than fit one message wait for a client that does not read yet."""
    for i in range(60):
        await put(face, f"/{i:02}", "x" * 100_000)


async def test_progress_is_never_told_between_the_messages_of_one_delivery(face: Face) -> None:
    client = Client(face)
    await client.create(watch_id=1, selector=prefix("/"))
    await client.next()
    await large_backlog(face)
    for _ in range(3):
        await client.send(progress=watch_pb2.WatchProgress())
    told = 1
    while told < 61:
        message = await client.next()
        if message.WhichOneof("response") == "progressed":
            assert message.progressed.revision <= told
        else:
            for batch in message.events.batches:
                assert batch.revision == told + 1
                told = batch.revision
    await client.done()


async def test_after_a_cancel_nothing_of_the_watch_is_told(face: Face) -> None:
    client = Client(face)
    await client.create(watch_id=1, selector=prefix("/"))
    await client.next()
    await large_backlog(face)
    await client.send(cancel=watch_pb2.WatchCancel(watch_id=1))
    await client.create(watch_id=1, selector=key("/new"))
    kinds: list[str | None] = []
    while "created" not in kinds:
        kinds.append((await client.next()).WhichOneof("response"))
    assert "canceled" in kinds and "events" not in kinds[kinds.index("canceled") :]
    await put(face, "/new")
    assert await client.events(1) == [(62, b"/new")]
    await client.done()


async def test_watches_that_have_not_begun_count_too(small_face: Face) -> None:
    client = Client(small_face)
    for i in range(1, 10):
        await client.create(watch_id=i, selector=key("/a"), min_revision=99)
    refused = [(await client.next()) for _ in range(6)]
    assert all(m.canceled.reason == watch_pb2.WatchCanceled.REASON_LIMIT for m in refused)
    assert [m.watch_id for m in refused] == [4, 5, 6, 7, 8, 9]
    await client.done()


async def test_a_member_that_knows_no_cluster_yet_asks_before_it_resumes(face: Face) -> None:
    await put(face, "/a")
    known = face.node.state._cluster_id
    face.node.state._cluster_id = 0

    async def learn() -> None:
        face.node.state._cluster_id = known

    face.bus.before_barrier = learn
    client = Client(face)
    await client.create(selector=prefix("/"), start_revision=2, cluster_id=known + 1)
    error = await client.closed()
    assert error_of(error)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "CLUSTER_MISMATCH")


async def test_a_watch_waits_for_its_revision(face: Face) -> None:
    client = Client(face)
    await client.create(selector=prefix("/"), with_snapshot=True, local=True, min_revision=2)
    waiting = asyncio.create_task(client.next())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await put(face, "/a")
    assert (await waiting).created.start_revision == 3
    assert (await client.next()).snapshot.kvs[0].key == b"/a"
    await client.done()


@pytest.mark.parametrize(
    "create",
    [
        {"selector": common_pb2.Selector()},
        {"selector": common_pb2.Selector(key=b"a"), "start_revision": -1},
        {"selector": common_pb2.Selector(key=b"a"), "start_revision": 5, "with_snapshot": True},
        {"selector": common_pb2.Selector(key=b"a"), "min_revision": -1},
        {"selector": common_pb2.Selector(key=b"a"), "start_revision": (1 << 63) - 1},
    ],
)
async def test_an_invalid_watch_is_canceled_alone(face: Face, create: dict[str, Any]) -> None:
    client = Client(face)
    await client.create(watch_id=1, selector=key("/a"))
    await client.next()
    await client.create(watch_id=2, **create)
    canceled = await client.next()
    assert canceled.watch_id == 2
    assert canceled.canceled.reason == watch_pb2.WatchCanceled.REASON_INVALID
    assert canceled.canceled.message
    await put(face, "/a")
    assert await client.events(1) == [(2, b"/a")]
    await client.done()


async def test_a_used_id_and_an_empty_message_end_the_stream(face: Face) -> None:
    for bad in (
        watch_pb2.WatchRequest(),
        watch_pb2.WatchRequest(create=watch_pb2.WatchCreate(watch_id=1, selector=key("/a"))),
        watch_pb2.WatchRequest(create=watch_pb2.WatchCreate(watch_id=-1, selector=key("/a"))),
    ):
        client = Client(face)
        await client.create(watch_id=1, selector=key("/a"))
        await client.next()
        await client.call.write(bad)
        assert (await client.closed()).code() == grpc.StatusCode.INVALID_ARGUMENT
    await gone(face)


async def test_too_many_watches_are_refused(small_face: Face) -> None:
    client = Client(small_face)
    for i in range(1, 4):
        await client.create(watch_id=i, selector=key("/a"))
        await client.next()
    await client.create(watch_id=4, selector=key("/a"))
    canceled = (await client.next()).canceled
    assert canceled.reason == watch_pb2.WatchCanceled.REASON_LIMIT
    await client.done()


async def test_too_many_watches_and_streams_on_a_member_are_refused(small_face: Face) -> None:
    clients = [Client(small_face) for _ in range(4)]
    for client in clients[:2]:
        for i in (1, 2):
            await client.create(watch_id=i, selector=key("/a"))
            await client.next()
    await clients[2].create(selector=key("/a"))
    await clients[2].next()
    await clients[3].create(selector=key("/a"))
    canceled = (await clients[3].next()).canceled
    assert canceled.reason == watch_pb2.WatchCanceled.REASON_LIMIT
    fifth = Client(small_face)
    assert (await fifth.closed()).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    await clients[0].done()
    async with asyncio.timeout(5):
        while small_face.node.watch_count == 5:
            await asyncio.sleep(0.01)
    await clients[3].create(selector=key("/a"))
    assert (await clients[3].next()).WhichOneof("response") == "created"
    for client in clients[1:]:
        await client.done()


async def test_a_client_that_does_not_read_holds_up_nobody(face: Face) -> None:
    slow, quick = Client(face), Client(face)
    for client in (slow, quick):
        await client.create(selector=prefix("/"))
    await quick.next()
    for i in range(2_000):
        await put(face, f"/{i % 10}", "x" * 10_000)
    assert len(await quick.events(2_000)) == 2_000
    await slow.next()
    assert [r for r, _ in await slow.events(2_000)] == list(range(2, 2_002))
    slow.call.cancel()
    await quick.done()


async def test_a_client_that_goes_away_leaves_nothing(face: Face) -> None:
    client = Client(face)
    await client.create(selector=prefix("/"))
    await client.next()
    assert face.node.watch_count == 1
    client.call.cancel()
    await gone(face)
