"""The Watch service of etcd, through a real gRPC server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coordinator.config import Limits, Timing
from coordinator.gateways.etcd import notices, render
from coordinator.gateways.etcd.pb import kv_pb2, mvcc_pb2
from tests.unit.gateways.etcd.conftest import Etcd, Watch


async def test_created_then_events(etcd: Etcd) -> None:
    await etcd.put(b"a", b"1")
    watch = Watch(etcd)
    await watch.create(b"a", prev_kv=True)
    created = await watch.next()
    assert created.created and created.watch_id == 0 and created.header.revision == 2
    await etcd.put(b"a", b"2")
    told = await watch.next()
    (event,) = told.events
    assert (event.type, event.kv.value, event.prev_kv.value) == (0, b"2", b"1")
    assert told.watch_id == 0 and told.header.revision == 3 and not told.created
    await etcd.kv("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"a"))
    (event,) = (await watch.next()).events
    assert event.type == mvcc_pb2.Event.DELETE
    assert event.kv == mvcc_pb2.KeyValue(key=b"a", mod_revision=4)


async def test_ids_and_refusals(small_etcd: Etcd) -> None:
    watch = Watch(small_etcd)
    await watch.create(b"a", watch_id=7)
    assert (await watch.next()).watch_id == 7
    await watch.create(b"b", watch_id=7)
    refused = await watch.next()
    assert refused.created and refused.canceled and refused.watch_id == -1
    assert refused.cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"
    await watch.create(b"b", range_end=b"b")
    assert (await watch.next()).cancel_reason == "mvcc: watcher range is empty"
    await watch.create(b"b", range_end=b"\0")
    assert (await watch.next()).watch_id == 0
    await watch.create(b"b")
    assert (await watch.next()).cancel_reason == "etcdserver: too many requests"
    await watch.cancel(99)
    await watch.cancel(7)
    canceled = await watch.next()
    assert canceled.canceled and canceled.watch_id == 7 and not canceled.cancel_reason
    await watch.create(b"b")
    assert (await watch.next()).watch_id == 1


async def test_filters_and_the_past(etcd: Etcd) -> None:
    await etcd.put(b"a", b"1")
    await etcd.kv("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"a"))
    await etcd.put(b"b", b"2")
    watch = Watch(etcd)
    await watch.create(b"", range_end=b"\0", start_revision=2, filters=[1])
    await watch.next()
    told = await watch.next()
    assert [event.kv.key for event in told.events] == [b"a", b"b"]
    await watch.create(b"a", start_revision=2, filters=[0])
    await watch.next()
    assert [event.kv.mod_revision for event in (await watch.next()).events] == [3]


async def test_compacted_is_told_after_created(etcd: Etcd) -> None:
    for value in (b"1", b"2", b"3"):
        await etcd.put(b"a", value)
    await etcd.kv("Compact", kv_pb2.CompactionRequest(revision=3))
    watch = Watch(etcd)
    await watch.create(b"a", start_revision=2)
    created, ended = await watch.next(), await watch.next()
    assert created.created and not created.canceled
    assert ended.canceled and ended.compact_revision == 4 and not ended.created
    # From there a watch is whole.
    await watch.create(b"a", start_revision=ended.compact_revision)
    await watch.next()
    assert (await watch.next()).events[0].kv.value == b"3"


async def test_progress_is_told_when_nothing_is_left_to_tell(etcd: Etcd) -> None:
    watch = Watch(etcd)
    await watch.create(b"a")
    await watch.next()
    await etcd.put(b"a")
    await etcd.put(b"b")
    await watch.ask_progress()
    seen = [await watch.next()]
    while seen[-1].watch_id != -1:
        seen.append(await watch.next())
    assert seen[-1].header.revision == 3 and not seen[-1].events
    assert sum(len(message.events) for message in seen) == 1


async def test_large_revisions_come_in_fragments_to_those_who_take_them(
    etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "EVENTS_SIZE_BYTES_MAX", 1_000)
    monkeypatch.setattr("coordinator.gateways.etcd.watch.EVENTS_SIZE_BYTES_MAX", 1_000)
    whole, parts = Watch(etcd), Watch(etcd)
    await whole.create(b"k", range_end=b"l")
    await parts.create(b"k", range_end=b"l", fragment=True)
    await whole.next()
    await parts.next()
    puts = [kv_pb2.PutRequest(key=b"k%d" % n, value=b"v" * 400) for n in range(5)]
    ops = [kv_pb2.RequestOp(request_put=put) for put in puts]
    await etcd.kv("Txn", kv_pb2.TxnRequest(success=ops))
    together = await whole.next()
    assert len(together.events) == 5 and not together.fragment
    pieces = [await parts.next()]
    while pieces[-1].fragment:
        pieces.append(await parts.next())
    assert len(pieces) == 3
    assert [e for piece in pieces for e in piece.events] == list(together.events)


async def test_the_bytes_of_events_are_made_once(
    etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    plain = render.event

    def count(*arguments: Any) -> mvcc_pb2.Event:
        nonlocal made
        made += 1
        return plain(*arguments)

    watches = [Watch(etcd) for _ in range(3)]
    for watch in watches:
        await watch.create(b"a")
        await watch.next()
    monkeypatch.setattr(render, "event", count)
    await etcd.put(b"a")
    for watch in watches:
        assert (await watch.next()).events[0].kv.key == b"a"
    assert made == 1


async def test_a_client_that_says_no_more_is_told_on(etcd: Etcd) -> None:
    watch = Watch(etcd)
    await watch.create(b"a")
    await watch.next()
    await watch.call.done_writing()
    await etcd.put(b"a")
    assert (await watch.next()).events[0].kv.key == b"a"
    watch.call.cancel()
    async with asyncio.timeout(5):
        while etcd.node.watch_count:
            await asyncio.sleep(0.01)


async def test_idle_watches_are_told_their_progress(etcd: Etcd) -> None:
    etcd.node.timing = Timing(etcd_progress_ms=30)
    watch = Watch(etcd)
    await watch.create(b"a", progress_notify=True, watch_id=5)
    await watch.create(b"a", watch_id=6)
    for _ in range(2):
        assert (await watch.next()).created
    await etcd.put(b"b")
    while (told := await watch.next()).header.revision < 2:
        assert told.watch_id == 5
    assert told.watch_id == 5 and not told.events
    watch.call.cancel()


def test_limits_of_fragments_are_those_of_a_request() -> None:
    assert Limits().request_size_bytes_max <= notices.EVENTS_SIZE_BYTES_MAX
