"""Watches of one stream that are told together, through a real gRPC server."""

from __future__ import annotations

from coordinator_client.pb import watch_pb2
from tests.unit.api.conftest import Face
from tests.unit.api.test_kv import key, prefix, put
from tests.unit.api.test_watch import Client


async def test_grouped_watches_are_told_together(face: Face) -> None:
    client = Client(face)
    for watch_id, selector in ((1, prefix("/")), (2, prefix("/")), (3, key("/a"))):
        await client.create(watch_id=watch_id, selector=selector, grouped=True)
        assert (await client.next()).created.start_revision == 2
    await put(face, "/a", "1")
    told: dict[int, list[bytes]] = {1: [], 2: [], 3: []}
    while sum(map(len, told.values())) < 3:
        message = await client.next()
        assert message.WhichOneof("response") is None and message.header.cluster_id
        for response in message.grouped:
            for watch_id in (response.watch_id, *response.watch_ids):
                told[watch_id] += [e.kv.key for b in response.events.batches for e in b.events]
    assert told == {1: [b"/a"], 2: [b"/a"], 3: [b"/a"]}
    await client.send(progress=watch_pb2.WatchProgress())
    (response,) = (await client.next()).grouped
    assert {response.watch_id, *response.watch_ids} == {1, 2, 3}
    assert response.progressed.revision == 2
    await client.send(progress=watch_pb2.WatchProgress(watch_id=3))
    (response,) = (await client.next()).grouped
    assert (response.watch_id, list(response.watch_ids)) == (3, [])
    await client.done()


async def test_grouped_watches_get_snapshots_and_history_in_order(face: Face) -> None:
    client = Client(face)
    for i in range(5):
        await put(face, f"/{i}", "x" * 100)
    await client.create(watch_id=1, selector=prefix("/"), with_snapshot=True, grouped=True)
    await client.create(watch_id=2, selector=prefix("/"), start_revision=2)
    await client.create(watch_id=3, selector=prefix("/"))
    kinds: dict[int, list[str]] = {1: [], 2: [], 3: []}
    revisions: dict[int, list[int]] = {1: [], 2: [], 3: []}
    written = False
    while [seen[-1:] for seen in revisions.values()] != [[7], [7], [7]]:
        message = await client.next()
        for response in (message, *message.grouped):
            for watch_id in (response.watch_id, *response.watch_ids):
                kind = response.WhichOneof("response")
                if kind is not None:
                    kinds[watch_id].append(kind)
                    revisions[watch_id] += [b.revision for b in response.events.batches]
        if not written and all("created" in seen for seen in kinds.values()):
            written = True
            await put(face, "/new", "y")
    assert kinds[1][:2] == ["created", "snapshot"]
    assert revisions == {1: [7], 2: [2, 3, 4, 5, 6, 7], 3: [7]}
    await client.done()


async def test_a_grouped_watch_of_another_cluster_ends_alone(face: Face) -> None:
    client = Client(face)
    await client.create(watch_id=1, selector=key("/a"), grouped=True)
    assert (await client.next()).watch_id == 1
    await client.create(watch_id=2, selector=key("/a"), cluster_id=12345, grouped=True)
    message = await client.next()
    assert message.watch_id == 2
    assert message.canceled.reason == watch_pb2.WatchCanceled.REASON_CLUSTER
    await put(face, "/a", "1")
    assert (await client.next()).grouped[0].watch_id == 1
    await client.done()
