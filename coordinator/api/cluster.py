"""The service `coordinator.v1.Cluster`."""

from __future__ import annotations

import asyncio

from coordinator import __version__
from coordinator.api import render
from coordinator.consensus.interface import ConsensusStatus, Role
from coordinator.node.interface import Node
from coordinator.rpc import Call, Service, Unary
from coordinator_client.pb import cluster_pb2

_ROLES = {
    Role.FOLLOWER: cluster_pb2.StatusResponse.FOLLOWER,
    Role.CANDIDATE: cluster_pb2.StatusResponse.CANDIDATE,
    Role.LEADER: cluster_pb2.StatusResponse.LEADER,
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
            ),
        )

    async def status(
        self, call: Call, request: cluster_pb2.StatusRequest
    ) -> cluster_pb2.StatusResponse:
        """Describes this member."""
        node, status, state = self._node, self._node.consensus_status, self._node.state
        leader = [m.peer.name for m in node.members() if m.leader]
        # Taken before the await: everything in the reply is of one applied index.
        described = self._describe(status, leader[0] if leader else "")
        if request.digest:
            described.digest = await asyncio.to_thread(state.capture().digest)
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
        )

    async def members(
        self, call: Call, request: cluster_pb2.MemberListRequest
    ) -> cluster_pb2.MemberListResponse:
        """Lists the members."""
        return cluster_pb2.MemberListResponse(
            header=render.header(self._node, local=True),
            members=[
                cluster_pb2.Member(
                    id=m.peer.id,
                    name=m.peer.name,
                    peer_address=m.peer.address,
                    client_address=m.client_address,
                    leader=m.leader,
                    connected=m.connected,
                )
                for m in self._node.members()
            ],
        )
