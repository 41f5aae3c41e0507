"""The service `etcdserverpb.Maintenance`."""

from __future__ import annotations

import hashlib

from coordinator.consensus.interface import Role
from coordinator.errors import Status
from coordinator.gateways.etcd import errors, fingerprints, render
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import maintenance_pb2 as pb
from coordinator.gateways.etcd.versions import ETCD_VERSION
from coordinator.node.interface import Alarm, AlarmKind, Node
from coordinator.rpc import Bidi, Call, Service, Stream, Unary, deadline_of, send_in_time

CHUNK_SIZE_BYTES = 256 * 1024
PAGE_SIZE_BYTES = 512
"""A saved file is a multiple of this, and the hash at its end: clients check that."""

_ALARMS = {
    AlarmKind.SPACE_QUOTA: pb.NOSPACE,
    AlarmKind.DISK: pb.NOSPACE,
    AlarmKind.DIVERGED: pb.CORRUPT,
    AlarmKind.DISAGREEMENT: pb.CORRUPT,
}

SnapshotStream = Stream[pb.SnapshotRequest, pb.SnapshotResponse]


class MaintenanceService:
    """What operators ask of a member."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        return Service(
            "etcdserverpb.Maintenance",
            (
                Unary("Alarm", pb.AlarmRequest, pb.AlarmResponse, self.alarm),
                Unary("Status", pb.StatusRequest, pb.StatusResponse, self.status),
                Unary("Defragment", pb.DefragmentRequest, pb.DefragmentResponse, self.defragment),
                Unary("Hash", pb.HashRequest, pb.HashResponse, self.hash),
                Unary("HashKV", pb.HashKVRequest, pb.HashKVResponse, self.hash_kv),
                Bidi("Snapshot", pb.SnapshotRequest, pb.SnapshotResponse, self.snapshot),
                Unary("MoveLeader", pb.MoveLeaderRequest, pb.MoveLeaderResponse, self.move_leader),
            ),
        )

    async def alarm(self, call: Call, request: pb.AlarmRequest) -> pb.AlarmResponse:
        """Lists what is wrong now. Alarms come and go by themselves: there is none to put out."""
        if request.action == pb.AlarmRequest.ACTIVATE:
            text = "alarms tell how the cluster is; they can't be set"
            raise EtcdError(Status.UNIMPLEMENTED, text, "UNSUPPORTED")
        listed = request.action == pb.AlarmRequest.GET
        return pb.AlarmResponse(
            header=render.header(self._node), alarms=self._alarms(request) if listed else ()
        )

    def _alarms(self, request: pb.AlarmRequest) -> list[pb.AlarmMember]:
        found = [self._alarm(alarm) for alarm in self._node.alarms()]
        return [
            alarm
            for alarm in found
            if request.alarm in (pb.NONE, alarm.alarm) and request.memberID in (0, alarm.memberID)
        ]

    def _alarm(self, alarm: Alarm) -> pb.AlarmMember:
        # What concerns the cluster as a whole is told of the member that is asked.
        member = alarm.member or self._node.member.id
        return pb.AlarmMember(memberID=member, alarm=_ALARMS[alarm.kind])

    async def status(self, call: Call, request: pb.StatusRequest) -> pb.StatusResponse:
        """Describes this member."""
        node, state, status = self._node, self._node.state, self._node.consensus_status
        return pb.StatusResponse(
            header=render.header(node),
            version=ETCD_VERSION,
            dbSize=state.size_bytes,
            dbSizeInUse=state.size_bytes,
            dbSizeQuota=node.limits.state_size_bytes_max,
            leader=status.leader or 0,
            raftIndex=status.commit_index,
            raftTerm=status.term,
            raftAppliedIndex=status.applied_index,
            errors=[alarm.message for alarm in node.alarms()],
            isLearner=status.role is Role.LEARNER,
        )

    async def defragment(self, call: Call, request: pb.DefragmentRequest) -> pb.DefragmentResponse:
        """Does nothing: keys are in memory, and what a snapshot leaves is deleted, so that nothing is fragmented."""
        return pb.DefragmentResponse(header=render.header(self._node))

    async def hash(self, call: Call, request: pb.HashRequest) -> pb.HashResponse:
        """Returns a hash of the whole state: equal on members that have applied as much."""
        state = self._node.state
        return pb.HashResponse(header=render.header(self._node), hash=int(state.digest()[:8], 16))

    async def hash_kv(self, call: Call, request: pb.HashKVRequest) -> pb.HashKVResponse:
        """Returns a hash of the keys at a revision: equal on all members."""
        node = self._node
        deadline = deadline_of(call, node.timing.request_timeout_ms_default / 1000)
        await node.read(local=True, min_revision=0, deadline=deadline)
        compacted = node.state.compacted_revision
        hash, revision = await fingerprints.of_keys(node, request.revision)
        return pb.HashKVResponse(
            header=render.header(node),
            hash=hash,
            compact_revision=compacted,
            hash_revision=revision,
        )

    async def snapshot(self, stream: SnapshotStream) -> None:
        """Sends a snapshot of ours, then zeros that fill the last page, then the hash of all that."""
        node = self._node
        if await stream.receive() is None:
            return
        deadline = deadline_of(stream, node.timing.request_timeout_ms_default / 1000)
        await node.read(local=False, min_revision=0, deadline=deadline)
        async with node.save() as save:
            file, sha256 = save.file, hashlib.sha256()
            size = file.size + -file.size % PAGE_SIZE_BYTES
            for offset in range(0, size, CHUNK_SIZE_BYTES):
                wanted = min(CHUNK_SIZE_BYTES, size - offset)
                blob = (await file.read(offset, wanted)).ljust(wanted, b"\0")
                sha256.update(blob)
                await self._send(stream, blob, size - offset - wanted)
            await self._send(stream, sha256.digest(), 0)

    async def _send(self, stream: SnapshotStream, blob: bytes, remaining: int) -> None:
        response = pb.SnapshotResponse(
            header=render.header(self._node),
            blob=blob,
            remaining_bytes=remaining,
            version=ETCD_VERSION,
        )
        stall_s = self._node.timing.snapshot_stall_ms / 1000
        await send_in_time(stream, response, "snapshot", stall_s)

    async def move_leader(self, call: Call, request: pb.MoveLeaderRequest) -> pb.MoveLeaderResponse:
        """Lets another member lead; only the leader is asked."""
        node, target = self._node, request.targetID
        if node.consensus_status.role is not Role.LEADER:
            raise errors.not_leader()
        if target != node.member.id:
            if not any(m.peer.id == target and m.peer.voter for m in node.members()):
                raise errors.bad_transferee()
            deadline = deadline_of(call, node.timing.request_timeout_ms_default / 1000)
            await node.transfer_leadership(target, deadline)
        return pb.MoveLeaderResponse(header=render.header(node))
