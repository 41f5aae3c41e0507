"""One store is copied into another one, which follows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coordinator.gateways.etcd.pb import kv_pb2, lease_pb2
from coordinator.migration import move as module
from coordinator.migration import store as store_module
from coordinator.migration.move import Move, Occupied, move
from coordinator.migration.store import Compacted, Store
from tests.unit.gateways.etcd.conftest import Etcd
from tests.unit.gateways.etcd.test_lock import grant


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PAGE_KEYS", 3)
    monkeypatch.setattr(store_module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "LEASES_EVERY_S", 0.05)


def opened(stores: tuple[Etcd, Etcd]) -> tuple[Store, Store]:
    return Store("source", [stores[0].address]), Store("target", [stores[1].address])


async def keys(etcd: Etcd) -> dict[bytes, tuple[bytes, bool]]:
    found = await etcd.range(b"\0", b"\0")
    return {kv.key: (kv.value, bool(kv.lease)) for kv in found.kvs}


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_a_copy_follows_until_it_is_told_to_stop(stores: tuple[Etcd, Etcd]) -> None:
    one, other = stores
    for number in range(10):
        await one.put(b"k%d" % number, b"%d" % number)
    await grant(one, 5)
    await one.put(b"leased", b"x", lease=5)
    seen: list[tuple[int, int]] = []
    stop = asyncio.Event()
    source, target = opened(stores)
    moving = asyncio.create_task(
        move(
            source,
            target,
            b"",
            lambda done, total: seen.append((done, total)),
            stop=stop,
            overwrite=False,
        )
    )

    async def same() -> bool:
        return await keys(one) == await keys(other)

    await until(same)
    assert (await keys(other))[b"leased"] == (b"x", True)
    await one.put(b"k1", b"new")
    await one.kv("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"k2", range_end=b"k5"))
    await grant(one, 6)
    await one.put(b"later", b"y", lease=6)
    await until(same)
    await one.ask("etcdserverpb.Lease/LeaseRevoke", lease_pb2.LeaseRevokeRequest(ID=5))
    await until(same)
    assert b"leased" not in await keys(other) and (await keys(other))[b"later"] == (b"y", True)
    stop.set()
    report = await moving
    assert (report.copied, report.followed, report.differences) == (11, 4, 0)
    assert report.compared == len(await keys(one))
    assert seen[0] == (0, 11) and seen[-1] == (11, 11)
    await source.close()
    await target.close()


async def test_what_is_there_is_replaced_only_on_request(stores: tuple[Etcd, Etcd]) -> None:
    one, other = stores
    await one.put(b"a/1", b"1")
    await one.put(b"b/1", b"1")
    await other.put(b"a/0", b"old")
    await other.put(b"a/1", b"old")
    await other.put(b"c", b"other")
    source, target = opened(stores)
    with pytest.raises(Occupied, match="target has 2 keys there already"):
        await move(source, target, b"a/", lambda *_: None, stop=None, overwrite=False)
    report = await move(source, target, b"a/", lambda *_: None, stop=None, overwrite=True)
    assert report.copied == 1 and not report.differences
    assert await keys(other) == {b"a/1": (b"1", False), b"c": (b"other", False)}
    await source.close()
    await target.close()


async def test_differences_are_found(stores: tuple[Etcd, Etcd]) -> None:
    one, other = stores
    for number in range(8):
        await one.put(b"k%d" % number, b"1")
    source, target = opened(stores)
    moving = Move(source, target, b"", lambda *_: None)
    await moving.copy(overwrite=False)
    await other.put(b"k1", b"2")
    await other.put(b"k33", b"2")
    await other.kv("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"k7"))
    await moving.verify()
    assert moving.report.differences == 3
    assert [str(each) for each in moving.report.shown] == [
        "b'k1' has another value",
        "b'k33' should not be there",
        "b'k7' is missing",
    ]
    await source.close()
    await target.close()


async def test_one_that_fell_behind_compaction_copies_again(stores: tuple[Etcd, Etcd]) -> None:
    one, other = stores
    await one.put(b"a", b"1")
    await one.put(b"b", b"1")
    source, target = opened(stores)
    moving = Move(source, target, b"", lambda *_: None)
    await moving.copy(overwrite=False)
    await one.kv("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"a"))
    await one.put(b"b", b"2")
    await one.kv("Compact", kv_pb2.CompactionRequest(revision=5))
    with pytest.raises(Compacted):
        await moving.follow(asyncio.Event())
    await moving.copy(overwrite=True)
    await moving.verify()
    assert not moving.report.differences and await keys(other) == {b"b": (b"2", False)}
    await source.close()
    await target.close()
