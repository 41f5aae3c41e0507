"""The Election service of etcd, through a real gRPC server."""

from __future__ import annotations

import asyncio
from typing import Any

from coordinator.gateways.etcd.pb import concurrency_pb2 as pb
from coordinator.gateways.etcd.pb import lease_pb2
from tests.unit.gateways.etcd.conftest import Etcd
from tests.unit.gateways.etcd.test_lock import grant

ELECTION = "v3electionpb.Election"


def campaign(etcd: Etcd, lease: int, value: bytes) -> asyncio.Task[Any]:
    request = pb.CampaignRequest(name=b"e", lease=lease, value=value)
    return asyncio.create_task(etcd.ask(f"{ELECTION}/Campaign", request))


async def observed(call: Any) -> bytes:
    async with asyncio.timeout(5):
        return bytes((await call.read()).kv.value)


async def test_leaders_come_one_after_the_other_and_are_observed(etcd: Etcd) -> None:
    await grant(etcd, 10)
    await grant(etcd, 11)
    question = pb.LeaderRequest(name=b"e")
    nobody = await etcd.refused(etcd.ask(f"{ELECTION}/Leader", question))
    assert nobody == ("UNKNOWN", "election: no leader")
    observer = etcd.stream(f"{ELECTION}/Observe", pb.LeaderResponse)
    await observer.write(question)
    await observer.done_writing()
    first = await campaign(etcd, 10, b"one")
    assert (first.leader.key, first.leader.lease, first.leader.rev) == (b"e/a", 10, 2)
    assert await observed(observer) == b"one"
    second = campaign(etcd, 11, b"two")
    proclaim = pb.ProclaimRequest(leader=first.leader, value=b"one again")
    await etcd.ask(f"{ELECTION}/Proclaim", proclaim)
    assert await observed(observer) == b"one again"
    assert (await etcd.ask(f"{ELECTION}/Leader", question)).kv.value == b"one again"
    await etcd.ask(f"{ELECTION}/Resign", pb.ResignRequest(leader=first.leader))
    assert (await second).leader.key == b"e/b"
    assert await observed(observer) == b"two"
    refused = await etcd.refused(etcd.ask(f"{ELECTION}/Proclaim", proclaim))
    assert refused == ("UNKNOWN", "election: not leader")
    # Who resigned long ago takes nothing from who leads now.
    await etcd.ask(f"{ELECTION}/Resign", pb.ResignRequest(leader=first.leader))
    assert (await etcd.ask(f"{ELECTION}/Leader", question)).kv.value == b"two"
    observer.cancel()


async def test_who_campaigns_again_proclaims_the_new_value(etcd: Etcd) -> None:
    await grant(etcd, 10)
    before = await campaign(etcd, 10, b"one")
    again = await campaign(etcd, 10, b"two")
    assert again.leader.key == before.leader.key and again.leader.rev == before.leader.rev
    assert (await etcd.range(b"e/a")).kvs[0].value == b"two"


async def test_a_lease_that_ends_ends_the_campaign(etcd: Etcd) -> None:
    await grant(etcd, 10)
    await grant(etcd, 11)
    await campaign(etcd, 10, b"one")
    second = campaign(etcd, 11, b"two")
    async with asyncio.timeout(5):
        while (await etcd.range(b"e/", b"e0")).count != 2:
            await asyncio.sleep(0.01)
    for id in (11, 10):
        await etcd.ask("etcdserverpb.Lease/LeaseRevoke", lease_pb2.LeaseRevokeRequest(ID=id))
    assert await etcd.refused(second) == ("UNKNOWN", "etcdserver: requested lease not found")


async def test_a_leader_must_be_named(etcd: Etcd) -> None:
    for method, request in (("Proclaim", pb.ProclaimRequest()), ("Resign", pb.ResignRequest())):
        refused = await etcd.refused(etcd.ask(f"{ELECTION}/{method}", request))
        assert refused == ("UNKNOWN", '"leader" field must be provided')
