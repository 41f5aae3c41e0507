"""The service `etcdserverpb.Cluster`."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from coordinator.consensus.interface import AddLearner, MemberChange, Move, Promote, Remove
from coordinator.errors import RequestError, Status
from coordinator.gateways.etcd import render
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import cluster_pb2 as pb
from coordinator.naming import check_name, split_address
from coordinator.node.interface import Node
from coordinator.rpc import Call, Service, Unary, deadline_of

_REASONS = {
    "MEMBER_NOT_FOUND": (Status.NOT_FOUND, "member not found"),
    "MEMBER_EXISTS": (Status.FAILED_PRECONDITION, "Peer URLs already exists"),
    "MEMBER_VOTES": (Status.FAILED_PRECONDITION, "can only promote a learner member"),
    "LEARNER_BEHIND": (
        Status.FAILED_PRECONDITION,
        "can only promote a learner member which is in sync with leader",
    ),
    "QUORUM_AT_RISK": (
        Status.FAILED_PRECONDITION,
        "re-configuration failed due to not enough started members",
    ),
}
"""What an etcd says for a reason of ours."""
NAME_LENGTH_MAX = 63


class ClusterService:
    """Who the members are, and changes of them."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        return Service(
            "etcdserverpb.Cluster",
            (
                Unary("MemberAdd", pb.MemberAddRequest, pb.MemberAddResponse, self.add),
                Unary("MemberRemove", pb.MemberRemoveRequest, pb.MemberRemoveResponse, self.remove),
                Unary("MemberUpdate", pb.MemberUpdateRequest, pb.MemberUpdateResponse, self.update),
                Unary("MemberList", pb.MemberListRequest, pb.MemberListResponse, self.list),
                Unary(
                    "MemberPromote", pb.MemberPromoteRequest, pb.MemberPromoteResponse, self.promote
                ),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    async def list(self, call: Call, request: pb.MemberListRequest) -> pb.MemberListResponse:
        """Lists the members."""
        if request.linearizable:
            await self._node.read(local=False, min_revision=0, deadline=self._deadline(call))
        return pb.MemberListResponse(header=render.header(self._node), members=self._members())

    async def add(self, call: Call, request: pb.MemberAddRequest) -> pb.MemberAddResponse:
        """Adds a learner, as every new member begins as one; it is promoted by who wants it to vote."""
        address = address_of(request.peerURLs)
        # Never an id that was there before: who is removed does not come back under it.
        id = secrets.randbits(63) or 1
        await self._change(call, AddLearner(id, name_of(address), address))
        members = self._members()
        added = next((m for m in members if id == m.ID), pb.Member(ID=id, isLearner=True))
        return pb.MemberAddResponse(header=render.header(self._node), member=added, members=members)

    async def remove(self, call: Call, request: pb.MemberRemoveRequest) -> pb.MemberRemoveResponse:
        """Removes a member."""
        await self._change(call, Remove(_id(request.ID)))
        return pb.MemberRemoveResponse(header=render.header(self._node), members=self._members())

    async def update(self, call: Call, request: pb.MemberUpdateRequest) -> pb.MemberUpdateResponse:
        """Tells where a member listens for the others."""
        await self._change(call, Move(_id(request.ID), address_of(request.peerURLs)))
        return pb.MemberUpdateResponse(header=render.header(self._node), members=self._members())

    async def promote(
        self, call: Call, request: pb.MemberPromoteRequest
    ) -> pb.MemberPromoteResponse:
        """Lets a learner vote."""
        await self._change(call, Promote(_id(request.ID)))
        return pb.MemberPromoteResponse(header=render.header(self._node), members=self._members())

    async def _change(self, call: Call, change: MemberChange) -> None:
        deadline = self._deadline(call)
        try:
            await self._node.change_members(change, force=False, deadline=deadline)
        except RequestError as error:
            status, text = _REASONS.get(error.reason, (None, ""))
            if status is None:
                raise
            raise EtcdError(status, text, error.reason) from None
        # The change is made, on the leader for one: this member may hear of it only now.
        with contextlib.suppress(RequestError):
            await self._node.read(local=False, min_revision=0, deadline=deadline)

    def _members(self) -> Sequence[pb.Member]:
        return [
            pb.Member(
                ID=member.peer.id,
                # A member that never ran has no name for an etcd's client.
                name=member.peer.name if member.client_address else "",
                peerURLs=[f"http://{member.peer.address}"],
                clientURLs=[f"http://{member.client_address}"] if member.client_address else [],
                isLearner=not member.peer.voter,
            )
            for member in self._node.members()
        ]


def address_of(urls: Iterable[str]) -> str:
    """Returns the host:port of the one URL of a member. Raises EtcdError."""
    invalid = EtcdError(Status.INVALID_ARGUMENT, "given member URLs are invalid")
    urls = list(urls)
    if len(urls) != 1:
        raise invalid
    try:
        parts = urlsplit(urls[0])
        split_address(parts.netloc)
    except ValueError:
        raise invalid from None
    if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or parts.query:
        raise invalid
    return parts.netloc


def name_of(address: str) -> str:
    """Returns the name of a member that is added by its address: that with dashes for what a name can't have."""
    letters = (letter if letter.isascii() and letter.isalnum() else "-" for letter in address)
    name = f"m-{''.join(letters)}"[-NAME_LENGTH_MAX:].lstrip("-")
    check_name(name)
    return name


def _id(id: int) -> int:
    if not 0 < id < 1 << 63:
        raise EtcdError(Status.NOT_FOUND, "member not found")
    return id
