"""The calls that change who belongs to the cluster and who leads it."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator_client import model, validation
from coordinator_client.calls import Method
from coordinator_client.errors import InvalidArgument, NotFound, RequestRefused
from coordinator_client.pb import cluster_pb2 as pb

MEMBER_ADD = Method("/coordinator.v1.Cluster/MemberAdd", pb.MemberAddRequest, pb.MemberAddResponse)
MEMBER_PROMOTE = Method(
    "/coordinator.v1.Cluster/MemberPromote", pb.MemberPromoteRequest, pb.MemberPromoteResponse
)
MEMBER_REMOVE = Method(
    "/coordinator.v1.Cluster/MemberRemove", pb.MemberRemoveRequest, pb.MemberRemoveResponse
)
MEMBER_UPDATE_ADDRESS = Method(
    "/coordinator.v1.Cluster/MemberUpdateAddress",
    pb.MemberUpdateAddressRequest,
    pb.MemberUpdateAddressResponse,
)
TRANSFER_LEADERSHIP = Method(
    "/coordinator.v1.Cluster/TransferLeadership",
    pb.TransferLeadershipRequest,
    pb.TransferLeadershipResponse,
)

PROMOTE_PAUSE_S = 0.2
"""Between two attempts to promote a learner that is behind."""


def named(members: Sequence[model.Member], member: int | str) -> model.Member:
    """Returns the member with a name, or with an id, be it a number or written out; raises NotFound."""
    if isinstance(member, str):
        for found in members:
            if found.name == member:
                return found
        if not (member.isascii() and member.isdigit() and len(member) < 20):
            raise _absent(validation.text(member, "member"))
        member = int(member)
    elif isinstance(member, bool) or not isinstance(member, int):
        raise InvalidArgument(
            f"member is {validation.shown(member)}, neither the name nor the id of one"
        )
    for found in members:
        if found.id == member:
            return found
    raise _absent(str(member))


def _absent(member: str) -> NotFound:
    return NotFound(f"there is no member {member}", "MEMBER_NOT_FOUND")


def is_behind(error: RequestRefused) -> bool:
    """Whether a learner was not promoted because it has not caught up yet."""
    return error.reason == "LEARNER_BEHIND"
