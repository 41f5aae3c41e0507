"""The Lease service of etcd, through a real gRPC server."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.gateways.etcd.pb import lease_pb2 as pb
from tests.unit.gateways.etcd.conftest import Etcd


async def lease(etcd: Etcd, method: str, request: Any) -> Any:
    response = getattr(pb, type(request).__name__.replace("Request", "Response"))
    return await etcd.call(f"etcdserverpb.Lease/{method}", request, response)


async def keep_alive(etcd: Etcd, *ids: int) -> list[int]:
    """Returns the TTLs of the answers."""
    call = etcd.stream("etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
    answers = []
    for id in ids:
        await call.write(pb.LeaseKeepAliveRequest(ID=id))
        answers.append((await call.read()).TTL)
    await call.done_writing()
    assert (await call.code()).name == "OK"
    return answers


@pytest.mark.parametrize(("asked", "granted"), [(-3, 2), (0, 2), (1, 2), (2, 2), (60, 60)])
async def test_short_leases_are_lengthened(etcd: Etcd, asked: int, granted: int) -> None:
    found = await lease(etcd, "LeaseGrant", pb.LeaseGrantRequest(TTL=asked, ID=5))
    assert (found.TTL, found.ID, found.error, found.header.revision) == (granted, 5, "", 1)


async def test_the_life_of_a_lease(etcd: Etcd) -> None:
    granted = await lease(etcd, "LeaseGrant", pb.LeaseGrantRequest(TTL=60))
    assert granted.ID > 0
    for key in (b"b", b"a"):
        await etcd.put(key, lease=granted.ID)
    question = pb.LeaseTimeToLiveRequest(ID=granted.ID, keys=True)
    found = await lease(etcd, "LeaseTimeToLive", question)
    assert found.grantedTTL == 60 and 55 <= found.TTL <= 60 and sorted(found.keys) == [b"a", b"b"]
    assert await keep_alive(etcd, granted.ID, 404) == [60, 0]
    listed = await lease(etcd, "LeaseLeases", pb.LeaseLeasesRequest())
    assert [each.ID for each in listed.leases] == [granted.ID]
    revoked = await lease(etcd, "LeaseRevoke", pb.LeaseRevokeRequest(ID=granted.ID))
    assert revoked.header.revision == 4
    assert (await etcd.range(b"a", b"c")).count == 0
    gone = await lease(etcd, "LeaseTimeToLive", question)
    assert (gone.TTL, gone.grantedTTL, list(gone.keys)) == (-1, 0, [])
    again = etcd.refused(lease(etcd, "LeaseRevoke", pb.LeaseRevokeRequest(ID=granted.ID)))
    assert await again == ("NOT_FOUND", "etcdserver: requested lease not found")


async def test_asking_what_is_left_renews_nothing(etcd: Etcd) -> None:
    granted = await lease(etcd, "LeaseGrant", pb.LeaseGrantRequest(TTL=60))
    leader = etcd.bus.nodes[0]
    expirer = leader._expirer if leader._expirer.open_term else etcd.node._expirer
    before = dict(expirer._deadlines)
    await lease(etcd, "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=granted.ID))
    assert expirer._deadlines == before and granted.ID in before
    await keep_alive(etcd, granted.ID)
    assert expirer._deadlines[granted.ID] > before[granted.ID]


async def test_what_is_refused(small_etcd: Etcd) -> None:
    etcd = small_etcd

    async def refused(**fields: int) -> tuple[str, str]:
        return await etcd.refused(lease(etcd, "LeaseGrant", pb.LeaseGrantRequest(**fields)))

    large = ("OUT_OF_RANGE", "etcdserver: too large lease TTL")
    assert await refused(TTL=9_000_000_001) == large
    await lease(etcd, "LeaseGrant", pb.LeaseGrantRequest(TTL=9_000_000_000, ID=1))
    assert await refused(TTL=5, ID=1) == (
        "FAILED_PRECONDITION",
        "etcdserver: lease already exists",
    )
    assert (await refused(TTL=5, ID=-1))[0] == "INVALID_ARGUMENT"
    await lease(etcd, "LeaseGrant", pb.LeaseGrantRequest(TTL=5))
    assert await refused(TTL=5) == ("RESOURCE_EXHAUSTED", "etcdserver: too many requests")
