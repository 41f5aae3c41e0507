"""Changes of the members, transfer of leadership, and what a new member asks: part of `coordinator.v1.Cluster`."""

from __future__ import annotations

import contextlib
import secrets

from coordinator.api import render
from coordinator.consensus.interface import AddLearner, MemberChange, Move, Promote, Remove
from coordinator.errors import RequestError, Status
from coordinator.naming import check_name, split_address
from coordinator.node.interface import MemberStatus, Node
from coordinator.rpc import Call, Unary, deadline_of, invalid
from coordinator_client.pb import cluster_pb2 as pb
from coordinator_client.pb import common_pb2


def member_message(member: MemberStatus, lag: int | None = None) -> pb.Member:
    """Returns the message of a member."""
    return pb.Member(
        id=member.peer.id,
        name=member.peer.name,
        peer_address=member.peer.address,
        client_address=member.client_address,
        leader=member.leader,
        connected=member.connected,
        voter=member.peer.voter,
        lag=lag,
    )


class MembershipMethods:
    """The methods of the Cluster service that change it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def methods(self) -> tuple[Unary, ...]:
        """Returns the methods for the service."""
        return (
            Unary("MemberAdd", pb.MemberAddRequest, pb.MemberAddResponse, self.add),
            Unary("MemberPromote", pb.MemberPromoteRequest, pb.MemberPromoteResponse, self.promote),
            Unary("MemberRemove", pb.MemberRemoveRequest, pb.MemberRemoveResponse, self.remove),
            Unary(
                "MemberUpdateAddress",
                pb.MemberUpdateAddressRequest,
                pb.MemberUpdateAddressResponse,
                self.update_address,
            ),
            Unary(
                "TransferLeadership",
                pb.TransferLeadershipRequest,
                pb.TransferLeadershipResponse,
                self.transfer,
            ),
            Unary("Join", pb.JoinRequest, pb.JoinResponse, self.join),
        )

    async def add(self, call: Call, request: pb.MemberAddRequest) -> pb.MemberAddResponse:
        """Adds a learner under a new id."""
        _check_name(request.name)
        _check_address(request.peer_address)
        # Never an id that was there before: who is removed does not come back under it.
        id = secrets.randbits(63) or 1
        change = AddLearner(id, request.name, request.peer_address)
        member = await self._change(call, change, id)
        return pb.MemberAddResponse(header=self._header(), member=member)

    async def promote(
        self, call: Call, request: pb.MemberPromoteRequest
    ) -> pb.MemberPromoteResponse:
        """Lets a learner vote."""
        _check_id("id", request.id)
        member = await self._change(call, Promote(request.id), request.id)
        return pb.MemberPromoteResponse(header=self._header(), member=member)

    async def remove(self, call: Call, request: pb.MemberRemoveRequest) -> pb.MemberRemoveResponse:
        """Removes a member."""
        _check_id("id", request.id)
        deadline = self._deadline(call)
        await self._node.change_members(Remove(request.id), force=request.force, deadline=deadline)
        return pb.MemberRemoveResponse(header=self._header())

    async def update_address(
        self, call: Call, request: pb.MemberUpdateAddressRequest
    ) -> pb.MemberUpdateAddressResponse:
        """Tells where a member listens."""
        _check_id("id", request.id)
        _check_address(request.peer_address)
        member = await self._change(call, Move(request.id, request.peer_address), request.id)
        return pb.MemberUpdateAddressResponse(header=self._header(), member=member)

    async def transfer(
        self, call: Call, request: pb.TransferLeadershipRequest
    ) -> pb.TransferLeadershipResponse:
        """Lets another member lead."""
        target = None
        if request.HasField("target_id"):
            _check_id("target_id", request.target_id)
            target = request.target_id
        leader = await self._node.transfer_leadership(target, self._deadline(call))
        names = {m.peer.id: m.peer.name for m in self._node.members()}
        return pb.TransferLeadershipResponse(
            header=self._header(), leader_id=leader, leader_name=names.get(leader, "")
        )

    async def join(self, call: Call, request: pb.JoinRequest) -> pb.JoinResponse:
        """Tells a new member what it has to know."""
        _check_name(request.name)
        # It may have been added a moment ago, through another member.
        await self._node.read(local=False, min_revision=0, deadline=self._deadline(call))
        members = self._node.members()
        found = next((m for m in members if m.peer.name == request.name), None)
        if found is None:
            raise RequestError(
                Status.NOT_FOUND,
                "MEMBER_NOT_FOUND",
                f"there is no member {request.name}: add it first",
            )
        if found.peer.voter:
            raise RequestError(
                Status.FAILED_PRECONDITION,
                "MEMBER_VOTES",
                f"member {request.name} votes already; if it lost its data, remove it and add it again",
            )
        if found.client_address:
            # It was connected once. Nobody may come back under its id without what it acknowledged then.
            raise RequestError(
                Status.FAILED_PRECONDITION,
                "MEMBER_RAN",
                f"member {request.name} ran already; if it lost its data, remove it and add it again",
            )
        return pb.JoinResponse(
            header=self._header(),
            member_id=found.peer.id,
            cluster_key=self._node.cluster_key,
            members=[member_message(m) for m in members],
        )

    async def _change(self, call: Call, change: MemberChange, id: int) -> pb.Member:
        """Makes a change; returns the member as it is afterwards."""
        deadline = self._deadline(call)
        await self._node.change_members(change, force=False, deadline=deadline)
        # The change is made, on the leader for one: this member may hear of it only now.
        with contextlib.suppress(RequestError):
            await self._node.read(local=False, min_revision=0, deadline=deadline)
        found = next((m for m in self._node.members() if m.peer.id == id), None)
        return pb.Member(id=id) if found is None else member_message(found)

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    def _header(self) -> common_pb2.ResponseHeader:
        return render.header(self._node)


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise invalid("name", str(error)) from None


def _check_address(address: str) -> None:
    try:
        split_address(address)
    except ValueError as error:
        raise invalid("peer_address", str(error)) from None


def _check_id(field: str, id: int) -> None:
    if not 0 < id < 1 << 63:
        raise invalid(field, "is not the id of a member")
