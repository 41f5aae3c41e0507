"""Changes of the members and transfers of leadership, through a real gRPC server."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from coordinator.errors import RequestError, Status
from coordinator_client.pb import cluster_pb2 as pb
from tests.unit.api.conftest import Face, error_of


async def add(face: Face, name: str = "n9", address: str = "n9:1") -> pb.Member:
    request = pb.MemberAddRequest(name=name, peer_address=address)
    response = await face.call("Cluster/MemberAdd", request, pb.MemberAddResponse)
    assert isinstance(response, pb.MemberAddResponse)
    return response.member


async def refused(face: Face, method: str, request: Any, response: Any) -> tuple[Any, str, Any]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await face.call(f"Cluster/{method}", request, response)
    return error_of(caught.value)


async def test_a_member_is_added_moved_promoted_and_removed(face: Face) -> None:
    added = await add(face)
    assert (added.name, added.peer_address, added.voter) == ("n9", "n9:1", False)
    assert 0 < added.id < 1 << 63
    moved = await face.call(
        "Cluster/MemberUpdateAddress",
        pb.MemberUpdateAddressRequest(id=added.id, peer_address="[::1]:7"),
        pb.MemberUpdateAddressResponse,
    )
    assert (moved.member.id, moved.member.peer_address) == (added.id, "[::1]:7")
    promoted = await face.call(
        "Cluster/MemberPromote", pb.MemberPromoteRequest(id=added.id), pb.MemberPromoteResponse
    )
    assert promoted.member.voter
    removed = await face.call(
        "Cluster/MemberRemove",
        pb.MemberRemoveRequest(id=added.id, force=True),
        pb.MemberRemoveResponse,
    )
    assert removed.header.member_id == 2
    assert face.bus.changes[-1][2]
    assert [member.name for member in face.bus.configuration.members] == ["a", "b"]


async def test_an_id_is_never_given_twice(face: Face) -> None:
    ids = set()
    for _ in range(3):
        member = await add(face)
        ids.add(member.id)
        await face.call(
            "Cluster/MemberRemove", pb.MemberRemoveRequest(id=member.id), pb.MemberRemoveResponse
        )
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("method", "request_", "response", "field"),
    [
        ("MemberAdd", pb.MemberAddRequest(name="a b", peer_address="h:1"), pb.MemberAddResponse, "name"),
        ("MemberAdd", pb.MemberAddRequest(peer_address="h:1"), pb.MemberAddResponse, "name"),
        ("MemberAdd", pb.MemberAddRequest(name="n9"), pb.MemberAddResponse, "peer_address"),
        ("MemberAdd", pb.MemberAddRequest(name="n9", peer_address="h:0"), pb.MemberAddResponse, "peer_address"),
        ("MemberPromote", pb.MemberPromoteRequest(), pb.MemberPromoteResponse, "id"),
        ("MemberRemove", pb.MemberRemoveRequest(id=(1 << 64) - 1), pb.MemberRemoveResponse, "id"),
        ("MemberUpdateAddress", pb.MemberUpdateAddressRequest(peer_address="h:1"),
         pb.MemberUpdateAddressResponse, "id"),
        ("MemberUpdateAddress", pb.MemberUpdateAddressRequest(id=1, peer_address="h"),
         pb.MemberUpdateAddressResponse, "peer_address"),
        ("TransferLeadership", pb.TransferLeadershipRequest(target_id=0), pb.TransferLeadershipResponse,
         "target_id"),
        ("Join", pb.JoinRequest(name="n" * 64), pb.JoinResponse, "name"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(
    face: Face, method: str, request_: Any, response: Any, field: str
) -> None:
    code, reason, details = await refused(face, method, request_, response)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert details == {"field": field}
    assert not face.bus.changes


async def test_refusals_of_the_leader_are_told(face: Face) -> None:
    request = pb.MemberAddRequest(name="a", peer_address="h:1")
    code, reason, details = await refused(face, "MemberAdd", request, pb.MemberAddResponse)
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "MEMBER_EXISTS")
    assert details == {"applied": "no"}

    async def behind() -> None:
        raise RequestError(Status.FAILED_PRECONDITION, "LEARNER_BEHIND", "9 entries behind")

    face.bus.before_change = behind
    code, reason, _ = await refused(
        face, "MemberPromote", pb.MemberPromoteRequest(id=5), pb.MemberPromoteResponse
    )
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LEARNER_BEHIND")


async def test_leadership_moves(face: Face) -> None:
    response = await face.call(
        "Cluster/TransferLeadership", pb.TransferLeadershipRequest(), pb.TransferLeadershipResponse
    )
    assert (response.leader_id, response.leader_name, face.bus.leader) == (2, "b", 2)
    response = await face.call(
        "Cluster/TransferLeadership",
        pb.TransferLeadershipRequest(target_id=1),
        pb.TransferLeadershipResponse,
    )
    assert (response.leader_id, response.leader_name, face.bus.leader) == (1, "a", 1)


async def test_a_new_member_is_told_what_it_has_to_know(face: Face) -> None:
    added = await add(face)
    response = await face.call("Cluster/Join", pb.JoinRequest(name="n9"), pb.JoinResponse)
    assert response.member_id == added.id
    assert response.cluster_key == face.node.cluster_key
    assert [(m.name, m.voter) for m in response.members] == [
        ("a", True),
        ("b", True),
        ("n9", False),
    ]


async def test_who_was_not_added_can_not_join(face: Face) -> None:
    code, reason, _ = await refused(face, "Join", pb.JoinRequest(name="n9"), pb.JoinResponse)
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")


async def test_who_may_have_forgotten_something_can_not_join(face: Face) -> None:
    _, reason, _ = await refused(face, "Join", pb.JoinRequest(name="a"), pb.JoinResponse)
    assert reason == "MEMBER_VOTES"
    added = await add(face)
    face.bus.addresses[added.id] = "n9:2"
    _, reason, _ = await refused(face, "Join", pb.JoinRequest(name="n9"), pb.JoinResponse)
    assert reason == "MEMBER_RAN"


async def test_the_list_tells_how_far_members_are(face: Face) -> None:
    face.bus.behind = {1}
    face.bus.append(b"\x90")
    await face.bus.settle()
    await add(face)
    request = pb.MemberListRequest(lag=True, linearizable=True)
    response = await face.call("Cluster/MemberList", request, pb.MemberListResponse)
    assert not response.header.local
    lags = {m.name: m.lag if m.HasField("lag") else None for m in response.members}
    assert lags == {"a": 1, "b": 0, "n9": None}
    plain = await face.call("Cluster/MemberList", pb.MemberListRequest(), pb.MemberListResponse)
    assert plain.header.local
    assert not any(m.HasField("lag") for m in plain.members)
