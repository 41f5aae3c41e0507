"""The service `etcdserverpb.Lease`: a lease is a session, its id and its TTL are the session's."""

from __future__ import annotations

import secrets

from coordinator.errors import Status
from coordinator.gateways.etcd import errors, render
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import lease_pb2 as pb
from coordinator.node.interface import Node
from coordinator.node.messages import ONLY_LOOK
from coordinator.rpc import Bidi, Call, Service, Stream, Unary, deadline_of
from coordinator.state.commands import SessionClose, SessionOpen
from coordinator.state.results import Code, Failure, SessionResult

TTL_S_MIN = 2
"""What an etcd with its default election timeout makes of shorter ones."""
TTL_S_MAX = 9_000_000_000
ID_ATTEMPTS = 3


class LeaseService:
    """Grants, keeps and revokes leases."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        return Service(
            "etcdserverpb.Lease",
            (
                Unary("LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse, self.grant),
                Unary("LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse, self.revoke),
                Bidi(
                    "LeaseKeepAlive",
                    pb.LeaseKeepAliveRequest,
                    pb.LeaseKeepAliveResponse,
                    self.keep_alive,
                ),
                Unary(
                    "LeaseTimeToLive",
                    pb.LeaseTimeToLiveRequest,
                    pb.LeaseTimeToLiveResponse,
                    self.time_to_live,
                ),
                Unary("LeaseLeases", pb.LeaseLeasesRequest, pb.LeaseLeasesResponse, self.leases),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    async def grant(self, call: Call, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
        """Opens a session under the client's id or a random one."""
        if request.TTL > TTL_S_MAX:
            raise errors.lease_ttl_too_large()
        if request.ID < 0:
            raise EtcdError(Status.INVALID_ARGUMENT, "negative lease IDs are not supported")
        ttl_s = max(request.TTL, TTL_S_MIN)
        session, revision = await open_session(self._node, request.ID, ttl_s, self._deadline(call))
        return pb.LeaseGrantResponse(
            header=render.header(self._node, revision), ID=session, TTL=ttl_s
        )

    async def revoke(self, call: Call, request: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:
        """Ends a session, and with it its keys."""
        outcome = await self._node.propose(SessionClose(request.ID), self._deadline(call))
        if isinstance(outcome.result, Failure):
            raise errors.error(outcome.result)
        return pb.LeaseRevokeResponse(header=render.header(self._node, outcome.revision))

    async def keep_alive(
        self, stream: Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]
    ) -> None:
        """Renews sessions, one a message; a TTL of 0 tells of one that is gone."""
        node = self._node
        while (request := await stream.receive()) is not None:
            (renewal,) = await node.keep_alive([request.ID], self._deadline(stream))
            response = pb.LeaseKeepAliveResponse(
                header=render.header(node), ID=request.ID, TTL=renewal.ttl_ms // 1000
            )
            await stream.send(response)

    async def time_to_live(
        self, call: Call, request: pb.LeaseTimeToLiveRequest
    ) -> pb.LeaseTimeToLiveResponse:
        """Tells how long a session has left; -1: it does not exist."""
        node, deadline = self._node, self._deadline(call)
        (renewal,) = await node.keep_alive([request.ID], deadline, [ONLY_LOOK])
        # What the leader knows, this member may not have applied yet.
        await node.read(local=False, min_revision=0, deadline=deadline)
        session = node.state.session(request.ID)
        header = render.header(node)
        if session is None or not renewal.ttl_ms:
            return pb.LeaseTimeToLiveResponse(header=header, ID=request.ID, TTL=-1)
        return pb.LeaseTimeToLiveResponse(
            header=header,
            ID=request.ID,
            TTL=renewal.left_ms // 1000,
            grantedTTL=session.ttl_ms // 1000,
            keys=node.state.session_keys(request.ID) if request.keys else (),
        )

    async def leases(self, call: Call, request: pb.LeaseLeasesRequest) -> pb.LeaseLeasesResponse:
        """Lists all sessions, however they were opened."""
        node = self._node
        await node.read(local=False, min_revision=0, deadline=self._deadline(call))
        return pb.LeaseLeasesResponse(
            header=render.header(node),
            leases=[pb.LeaseStatus(ID=session.id) for session in node.state.sessions()],
        )


async def open_session(node: Node, id: int, ttl_s: int, deadline: float) -> tuple[int, int]:
    """Opens a session, under an id of its own for 0; returns the id and the revision. Raises EtcdError."""
    if node.state.session_count >= node.limits.sessions_max:
        raise errors.too_many_requests()
    for _ in range(1 if id else ID_ATTEMPTS):
        opening = SessionOpen(id or secrets.randbits(62) + 1, ttl_s * 1000)
        outcome = await node.propose(opening, deadline)
        result = outcome.result
        if isinstance(result, SessionResult):
            return result.session.id, outcome.revision
        assert isinstance(result, Failure)
        if result.code is not Code.SESSION_EXISTS:
            raise errors.error(result)
    raise errors.lease_exists()
