"""The Lock service of etcd, through a real gRPC server."""

from __future__ import annotations

import asyncio
from typing import Any

from coordinator.gateways.etcd.pb import concurrency_pb2 as pb
from coordinator.gateways.etcd.pb import lease_pb2
from tests.unit.gateways.etcd.conftest import Etcd


async def grant(etcd: Etcd, id: int) -> None:
    await etcd.ask("etcdserverpb.Lease/LeaseGrant", lease_pb2.LeaseGrantRequest(TTL=60, ID=id))


def lock(etcd: Etcd, lease: int) -> asyncio.Task[Any]:
    request = pb.LockRequest(name=b"l", lease=lease)
    return asyncio.create_task(etcd.ask("v3lockpb.Lock/Lock", request))


async def in_line(etcd: Etcd, count: int) -> None:
    """Waits until so many callers have their key."""
    async with asyncio.timeout(5):
        while (await etcd.range(b"l/", b"l0")).count != count:
            await asyncio.sleep(0.01)


async def test_one_after_the_other(etcd: Etcd) -> None:
    for id in (10, 11, 12):
        await grant(etcd, id)
    first = await lock(etcd, 10)
    assert first.key == b"l/a"
    assert (await lock(etcd, 10)).key == b"l/a", "who holds it gets it again"
    second = lock(etcd, 11)
    await in_line(etcd, 2)
    third = lock(etcd, 12)
    await in_line(etcd, 3)
    assert not second.done() and not third.done()
    await etcd.ask("v3lockpb.Lock/Unlock", pb.UnlockRequest(key=first.key))
    assert (await second).key == b"l/b" and not third.done()
    await etcd.ask("etcdserverpb.Lease/LeaseRevoke", lease_pb2.LeaseRevokeRequest(ID=11))
    assert (await third).key == b"l/c"


async def test_who_goes_away_leaves_the_line(etcd: Etcd) -> None:
    for id in (10, 11, 12):
        await grant(etcd, id)
    first = await lock(etcd, 10)
    second = lock(etcd, 11)
    await in_line(etcd, 2)
    third = lock(etcd, 12)
    await in_line(etcd, 3)
    second.cancel()
    await in_line(etcd, 2)
    await etcd.ask("v3lockpb.Lock/Unlock", pb.UnlockRequest(key=first.key))
    assert (await third).key == b"l/c"


async def test_a_lease_that_ends_in_line_gets_no_lock(etcd: Etcd) -> None:
    await grant(etcd, 10)
    await grant(etcd, 11)
    first = await lock(etcd, 10)
    second = lock(etcd, 11)
    await in_line(etcd, 2)
    await etcd.ask("etcdserverpb.Lease/LeaseRevoke", lease_pb2.LeaseRevokeRequest(ID=11))
    await etcd.ask("v3lockpb.Lock/Unlock", pb.UnlockRequest(key=first.key))
    assert await etcd.refused(second) == ("UNKNOWN", "etcdserver: requested lease not found")


async def test_without_a_lease_the_server_grants_one(etcd: Etcd) -> None:
    held = await lock(etcd, 0)
    (kv,) = (await etcd.range(held.key)).kvs
    assert held.key == b"l/%x" % kv.lease
    record = etcd.node.state.session(kv.lease)
    assert record is not None and record.ttl_ms == 60_000
    missing = ("UNKNOWN", "etcdserver: requested lease not found")
    assert await etcd.refused(lock(etcd, 404)) == missing
