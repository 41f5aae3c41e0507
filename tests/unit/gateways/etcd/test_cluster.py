"""The Cluster service of etcd, through a real gRPC server."""

from __future__ import annotations

import pytest

from coordinator.gateways.etcd.cluster import address_of, name_of
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import cluster_pb2 as pb
from tests.unit.gateways.etcd.conftest import Etcd

CLUSTER = "etcdserverpb.Cluster"


async def test_members_come_and_go(etcd: Etcd) -> None:
    listed = await etcd.ask(f"{CLUSTER}/MemberList", pb.MemberListRequest(linearizable=True))
    assert len(listed.members) == 2 and not any(m.isLearner for m in listed.members)
    assert all(m.peerURLs[0].startswith("http://") for m in listed.members)
    adding = pb.MemberAddRequest(peerURLs=["http://127.0.0.1:4242"], isLearner=True)
    added = await etcd.ask(f"{CLUSTER}/MemberAdd", adding)
    assert added.member.isLearner and list(added.member.peerURLs) == ["http://127.0.0.1:4242"]
    assert not added.member.name and len(added.members) == 3
    again = etcd.refused(etcd.ask(f"{CLUSTER}/MemberAdd", adding))
    assert await again == ("FAILED_PRECONDITION", "etcdserver: Peer URLs already exists")
    moving = pb.MemberUpdateRequest(ID=added.member.ID, peerURLs=["http://127.0.0.1:4343"])
    moved = await etcd.ask(f"{CLUSTER}/MemberUpdate", moving)
    (found,) = (m for m in moved.members if m.ID == added.member.ID)
    assert list(found.peerURLs) == ["http://127.0.0.1:4343"]
    removing = pb.MemberRemoveRequest(ID=added.member.ID)
    removed = await etcd.ask(f"{CLUSTER}/MemberRemove", removing)
    assert len(removed.members) == 2
    missing = ("NOT_FOUND", "etcdserver: member not found")
    assert await etcd.refused(etcd.ask(f"{CLUSTER}/MemberRemove", removing)) == missing
    promoting = pb.MemberPromoteRequest(ID=added.member.ID)
    assert await etcd.refused(etcd.ask(f"{CLUSTER}/MemberPromote", promoting)) == missing
    voter = pb.MemberPromoteRequest(ID=listed.members[0].ID)
    refused = await etcd.refused(etcd.ask(f"{CLUSTER}/MemberPromote", voter))
    assert refused[1] == "etcdserver: can only promote a learner member"
    none = pb.MemberRemoveRequest(ID=(1 << 64) - 1)
    assert await etcd.refused(etcd.ask(f"{CLUSTER}/MemberRemove", none)) == missing


@pytest.mark.parametrize(
    "urls",
    [
        [],
        ["http://a:1", "http://b:1"],
        ["127.0.0.1:4242"],
        ["ftp://a:1"],
        ["http://a"],
        ["http://a:1/path"],
        ["http://a:99999"],
        ["http://[::1:1"],
        ["http://user@a:1?x"],
    ],
)
def test_urls_that_are_refused(urls: list[str]) -> None:
    with pytest.raises(EtcdError, match="given member URLs are invalid"):
        address_of(urls)


def test_addresses_and_names() -> None:
    assert address_of(["http://10.0.0.1:2380"]) == "10.0.0.1:2380"
    assert address_of(["https://[::1]:2380/"]) == "[::1]:2380"
    assert name_of("10.0.0.1:2380") == "m-10-0-0-1-2380"
    assert len(name_of("h" * 200 + ":1")) <= 63
