"""The Maintenance service of etcd, through a real gRPC server."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc

from coordinator.gateways.etcd.maintenance import MaintenanceService
from coordinator.gateways.etcd.pb import kv_pb2
from coordinator.gateways.etcd.pb import maintenance_pb2 as pb
from coordinator.gateways.etcd.versions import ETCD_VERSION
from coordinator.node.interface import Alarm, AlarmKind
from tests.unit.gateways.etcd.conftest import Etcd

MAINTENANCE = "etcdserverpb.Maintenance"


async def test_status(etcd: Etcd) -> None:
    await etcd.put(b"a", b"1")
    found = await etcd.ask(f"{MAINTENANCE}/Status", pb.StatusRequest())
    assert found.version == ETCD_VERSION and found.leader == 1 and found.raftTerm == 1
    assert found.raftIndex >= found.raftAppliedIndex > 0 and found.dbSize > 0
    assert not found.errors and not found.isLearner
    await etcd.ask(f"{MAINTENANCE}/Defragment", pb.DefragmentRequest())


async def test_alarms(etcd: Etcd) -> None:
    class Alarmed:
        """The node of the stage, with something wrong."""

        def __getattr__(self, name: str) -> Any:
            return getattr(etcd.node, name)

        def alarms(self) -> list[Alarm]:
            return [Alarm(AlarmKind.SPACE_QUOTA, 0, "full"), Alarm(AlarmKind.DIVERGED, 1, "bad")]

    service = MaintenanceService(Alarmed())

    async def alarms(**fields: Any) -> list[tuple[int, int]]:
        response = await service.alarm(None, pb.AlarmRequest(**fields))  # type: ignore[arg-type]  # no call is looked at
        return [(alarm.memberID, alarm.alarm) for alarm in response.alarms]

    assert await alarms() == [(2, pb.NOSPACE), (1, pb.CORRUPT)]
    assert await alarms(alarm=pb.CORRUPT) == [(1, pb.CORRUPT)]
    assert await alarms(memberID=2) == [(2, pb.NOSPACE)]
    assert await alarms(action=pb.AlarmRequest.DEACTIVATE) == []
    assert not (await etcd.ask(f"{MAINTENANCE}/Alarm", pb.AlarmRequest())).alarms
    setting = pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, alarm=pb.NOSPACE)
    code, text = await etcd.refused(etcd.ask(f"{MAINTENANCE}/Alarm", setting))
    assert code == "UNIMPLEMENTED" and "can't be set" in text


async def test_hashes_are_those_of_the_revision(etcd: Etcd) -> None:
    async def hash_at(revision: int) -> pb.HashKVResponse:
        response = await etcd.ask(f"{MAINTENANCE}/HashKV", pb.HashKVRequest(revision=revision))
        assert isinstance(response, pb.HashKVResponse)
        return response

    await etcd.put(b"a", b"1")
    before = await hash_at(0)
    assert before.hash_revision == 2 and before.compact_revision == 0
    await etcd.put(b"a", b"2")
    await etcd.put(b"b", b"3")
    await etcd.kv("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"a"))
    after = await hash_at(0)
    assert after.hash != before.hash and (await hash_at(2)).hash == before.hash
    assert (await hash_at(5)).hash == after.hash
    future = "etcdserver: mvcc: required revision is a future revision"
    ask = etcd.ask(f"{MAINTENANCE}/HashKV", pb.HashKVRequest(revision=9))
    assert await etcd.refused(ask) == ("OUT_OF_RANGE", future)
    await etcd.kv("Compact", kv_pb2.CompactionRequest(revision=4))
    assert (await hash_at(0)).compact_revision == 4
    gone = "etcdserver: mvcc: required revision has been compacted"
    ask = etcd.ask(f"{MAINTENANCE}/HashKV", pb.HashKVRequest(revision=3))
    assert await etcd.refused(ask) == ("OUT_OF_RANGE", gone)
    whole = await etcd.ask(f"{MAINTENANCE}/Hash", pb.HashRequest())
    assert whole.hash == int(etcd.bus.nodes[0].state.digest()[:8], 16)


async def test_a_snapshot_ends_with_the_hash_that_clients_check(etcd: Etcd) -> None:
    etcd.bus.members[1].snapshot_content = bytes(range(256)) * 3_001
    await etcd.put(b"a")
    call = etcd.stream(f"{MAINTENANCE}/Snapshot", pb.SnapshotResponse)
    await call.write(pb.SnapshotRequest())
    await call.done_writing()
    pieces = []
    while (piece := await call.read()) is not grpc.aio.EOF:
        pieces.append(piece)
    content = b"".join(piece.blob for piece in pieces)
    assert len(content) % 512 == 32 and pieces[-1].remaining_bytes == 0
    assert content.startswith(etcd.bus.members[1].snapshot_content)
    assert content[-32:] == hashlib.sha256(content[:-32]).digest()
    assert pieces[0].remaining_bytes == len(content) - 32 - len(pieces[0].blob)


async def test_only_the_leader_hands_over_and_only_to_a_voter(etcd: Etcd) -> None:
    async def refused(target: int) -> str:
        ask = etcd.ask(f"{MAINTENANCE}/MoveLeader", pb.MoveLeaderRequest(targetID=target))
        return (await etcd.refused(ask))[1]

    assert await refused(1) == "etcdserver: not leader"
    etcd.bus.elect(2)
    await etcd.bus.settle()
    assert await refused(99) == "etcdserver: bad leader transferee"
    await etcd.ask(f"{MAINTENANCE}/MoveLeader", pb.MoveLeaderRequest(targetID=2))
    assert etcd.node.consensus_status.leader == 2
    await etcd.ask(f"{MAINTENANCE}/MoveLeader", pb.MoveLeaderRequest(targetID=1))
    assert etcd.node.consensus_status.leader == 1
