"""The Cluster service, through a real gRPC server."""

from __future__ import annotations

import msgspec
import pytest

from coordinator import __version__
from coordinator.consensus.interface import Role
from coordinator_client.pb import cluster_pb2 as pb
from tests.unit.api.conftest import Face
from tests.unit.api.test_kv import put


async def test_status_describes_the_member(face: Face) -> None:
    await put(face, "/a")
    status = await face.call("Cluster/Status", pb.StatusRequest(digest=True), pb.StatusResponse)
    assert status.name == "b" and status.version == __version__
    assert status.role == pb.StatusResponse.FOLLOWER
    assert (status.leader_id, status.leader_name, status.term) == (1, "a", 1)
    assert status.commit_index == status.applied_index == 2
    assert (status.revision, status.key_count, status.session_count) == (2, 1, 0)
    assert status.digest == face.bus.nodes[0].state.digest()
    assert status.uptime_s > 0
    bare = await face.call("Cluster/Status", pb.StatusRequest(), pb.StatusResponse)
    assert bare.digest == ""


async def test_status_tells_of_room_and_alarms(face: Face) -> None:
    await put(face, "/a")
    state = face.bus.nodes[1].state
    status = await face.call("Cluster/Status", pb.StatusRequest(), pb.StatusResponse)
    assert status.state_size_bytes == state.size_bytes > status.history_size_bytes > 0
    assert status.state_size_bytes_max == face.node.limits.state_size_bytes_max
    assert status.disk_free_bytes == 1 << 40 and not status.alarms
    face.bus.disk_free_bytes[1] = 77
    await face.bus.nodes[0]._space.look()
    await face.bus.settle()
    status = await face.call("Cluster/Status", pb.StatusRequest(), pb.StatusResponse)
    (alarm,) = status.alarms
    assert (alarm.kind, alarm.member_id) == (pb.Alarm.DISK, 1)
    assert "77 bytes" in alarm.message


async def test_status_needs_no_leader(face: Face) -> None:
    face.bus.elect(None)
    status = await face.call("Cluster/Status", pb.StatusRequest(), pb.StatusResponse)
    assert (status.leader_id, status.leader_name) == (0, "")


async def test_members_are_listed_by_name(face: Face) -> None:
    face.bus.cut.add((2, 1))
    answer = await face.call("Cluster/MemberList", pb.MemberListRequest(), pb.MemberListResponse)
    assert [(m.name, m.leader, m.connected) for m in answer.members] == [
        ("a", True, False),
        ("b", False, True),
    ]
    assert answer.members[1].client_address == "b:2"


async def test_a_learner_says_that_it_is_one(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = msgspec.structs.replace(face.node.consensus_status, role=Role.LEARNER)
    monkeypatch.setattr(type(face.bus.members[1]), "status", learner)
    status = await face.call("Cluster/Status", pb.StatusRequest(), pb.StatusResponse)
    assert status.role == pb.StatusResponse.LEARNER
