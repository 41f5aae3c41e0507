"""A store at several endpoints."""

from __future__ import annotations

import pytest

from coordinator.gateways.etcd.pb import kv_pb2, mvcc_pb2
from coordinator.migration import store as module
from coordinator.migration.plans import bounds, put_of
from coordinator.migration.store import Compacted, Store, StoreError, by_revision
from tests.unit.gateways.etcd.conftest import Etcd

NOBODY = "127.0.0.1:1"
ALL = bounds(b"")


async def test_another_endpoint_is_asked_when_one_fails(
    stores: tuple[Etcd, Etcd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    store = Store("it", [NOBODY, stores[0].address])
    await store.write([put_of(mvcc_pb2.KeyValue(key=b"a", value=b"1"))])
    assert await store.count(*ALL) == (1, 2)
    async for events in Store("it", [NOBODY, stores[0].address]).follow(*ALL, 2):
        assert events[0].kv.key == b"a"
        break
    await store.close()


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    store = Store("the etcd", [NOBODY])
    with pytest.raises(StoreError, match="the etcd: KV/Range"):
        await store.count(*ALL)
    await store.close()


async def test_pages_leases_and_history(
    stores: tuple[Etcd, Etcd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_KEYS", 2)
    etcd, store = stores[0], Store("it", [stores[0].address])
    for number in range(5):
        await etcd.put(b"k%d" % number)
    pages = [[kv.key for kv in page] async for page in store.pages(*ALL, 5)]
    assert pages == [[b"k0", b"k1"], [b"k2", b"k3"]]
    await store.grant(7, 600)
    await store.grant(7, 600)
    assert 590 < await store.time_left(7) <= 600 and await store.time_left(8) < 0
    await store.keep_alive([7, 8])
    await etcd.kv("Compact", kv_pb2.CompactionRequest(revision=5))
    with pytest.raises(Compacted):
        async for _ in store.pages(*ALL, 3):
            pass
    with pytest.raises(Compacted):
        async for _ in store.follow(*ALL, 3):
            pass
    with pytest.raises(StoreError, match="key is not provided"):
        await store.write([put_of(mvcc_pb2.KeyValue())])
    await store.close()


def test_events_of_one_revision_stay_together() -> None:
    events = [mvcc_pb2.Event(kv=mvcc_pb2.KeyValue(mod_revision=r)) for r in (3, 3, 4, 6, 6)]
    assert [len(group) for group in by_revision(events)] == [2, 1, 2]
    assert by_revision([]) == []
