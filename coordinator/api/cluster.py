"""The service `coordinator.v1.Cluster`."""

from __future__ import annotations

from coordinator import __version__
from coordinator.api import render
from coordinator.api.membership import MembershipMethods, member_message
from coordinator.api.saving import SavingMethod
from coordinator.consensus.interface import ConsensusStatus, Role
from coordinator.node.interface import AlarmKind, Node
from coordinator.rpc import Call, Service, Unary, deadline_of
from coordinator_client.pb import cluster_pb2

PROGRESS_TIMEOUT_S = 0.25
"""How long a list of members waits for members that do not tell how far they are."""

_ROLES = {
    Role.FOLLOWER: cluster_pb2.StatusResponse.FOLLOWER,
    Role.CANDIDATE: cluster_pb2.StatusResponse.CANDIDATE,
    Role.LEADER: cluster_pb2.StatusResponse.LEADER,
    Role.LEARNER: cluster_pb2.StatusResponse.LEARNER,
}

_ALARMS = {
    AlarmKind.DIVERGED: cluster_pb2.Alarm.DIVERGED,
    AlarmKind.DISAGREEMENT: cluster_pb2.Alarm.DISAGREEMENT,
    AlarmKind.SPACE_QUOTA: cluster_pb2.Alarm.SPACE_QUOTA,
    AlarmKind.DISK: cluster_pb2.Alarm.DISK,
}


class ClusterService:
    """What operators ask of a member."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        pb = cluster_pb2
        return Service(
            "coordinator.v1.Cluster",
            (
                Unary("Status", pb.StatusRequest, pb.StatusResponse, self.status),
                Unary("MemberList", pb.MemberListRequest, pb.MemberListResponse, self.members),
                *MembershipMethods(self._node).methods(),
                SavingMethod(self._node).method(),
            ),
        )

    async def status(
        self, call: Call, request: cluster_pb2.StatusRequest
    ) -> cluster_pb2.StatusResponse:
        """Describes this member."""
        node, status, state = self._node, self._node.consensus_status, self._node.state
        leader = [m.peer.name for m in node.members() if m.leader]
        described = self._describe(status, leader[0] if leader else "")
        if request.digest:
            described.digest = state.digest()
        return described

    def _describe(self, status: ConsensusStatus, leader_name: str) -> cluster_pb2.StatusResponse:
        node, state = self._node, self._node.state
        return cluster_pb2.StatusResponse(
            header=render.header(node, local=True),
            name=node.member.name,
            version=__version__,
            role=_ROLES[status.role],
            leader_id=status.leader or 0,
            leader_name=leader_name,
            term=status.term,
            commit_index=status.commit_index,
            applied_index=status.applied_index,
            revision=state.revision,
            compacted_revision=state.compacted_revision,
            snapshot_index=status.snapshot_index,
            journal_size_bytes=status.journal_size_bytes,
            snapshot_size_bytes=status.snapshot_size_bytes,
            key_count=state.key_count,
            session_count=state.session_count,
            watch_count=node.watch_count,
            uptime_s=node.uptime_s,
            state_size_bytes=state.size_bytes,
            history_size_bytes=state.history_size_bytes,
            state_size_bytes_max=node.limits.state_size_bytes_max,
            disk_free_bytes=node.disk_free_bytes,
            alarms=[
                cluster_pb2.Alarm(
                    kind=_ALARMS[alarm.kind], member_id=alarm.member, message=alarm.message
                )
                for alarm in node.alarms()
            ],
        )

    async def members(
        self, call: Call, request: cluster_pb2.MemberListRequest
    ) -> cluster_pb2.MemberListResponse:
        """Lists the members."""
        node = self._node
        if request.linearizable:
            deadline = deadline_of(call, node.timing.request_timeout_ms_default / 1000)
            await node.read(local=False, min_revision=0, deadline=deadline)
        lags: dict[int, int] = {}
        if request.lag:
            progress = await node.progress(PROGRESS_TIMEOUT_S)
            commit_index = node.consensus_status.commit_index
            lags = {member: max(0, commit_index - index) for member, index in progress.items()}
        return cluster_pb2.MemberListResponse(
            header=render.header(node, local=not request.linearizable),
            members=[member_message(m, lags.get(m.peer.id)) for m in node.members()],
        )
