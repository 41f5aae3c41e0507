"""Who belongs to the cluster: a value that stands in the log, in snapshots and beside the journal.

Each change touches one member, so that any majority of one configuration meets any majority of the next (Ongaro 2014,
section 4.1). A member that was removed is remembered for a while: it can be told.
"""

from __future__ import annotations

import msgspec

from coordinator.consensus.codec import Id
from coordinator.consensus.interface import Peer
from coordinator.errors import RequestError, Status

REMOVED_MAX = 64
"""Members that are remembered as removed."""
MEMBERS_MAX = 64


class Member(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One member."""

    id: Id
    name: str
    address: str
    voter: bool = True


class Configuration(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The members in ascending order of the name, and those that were removed, in the order of their removal."""

    members: tuple[Member, ...]
    removed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # Checked here so that it is checked wherever one is read: in the log, in a snapshot, in the folder's identity.
        if not self.voters:
            raise ValueError("a configuration has no voter")

    @property
    def peers(self) -> tuple[Peer, ...]:
        return tuple(Peer(m.id, m.name, m.address, m.voter) for m in self.members)

    @property
    def voters(self) -> frozenset[int]:
        return frozenset(member.id for member in self.members if member.voter)

    def get(self, id: int) -> Member | None:
        return next((member for member in self.members if member.id == id), None)


def configuration_of(peers: tuple[Peer, ...], removed: tuple[int, ...] = ()) -> Configuration:
    """The configuration of these members."""
    members = (Member(peer.id, peer.name, peer.address, peer.voter) for peer in peers)
    return Configuration(tuple(sorted(members, key=lambda member: member.name)), removed)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Configuration)


def encode_configuration(configuration: Configuration) -> bytes:
    return _encoder.encode(configuration)


def decode_configuration(content: bytes) -> Configuration:
    """Raises ValueError or RecursionError if the bytes hold none."""
    return _decoder.decode(content)


# Changes. Each returns the next configuration or raises RequestError.


def with_learner(configuration: Configuration, peer: Peer) -> Configuration:
    """Adds a member that does not vote yet."""
    if peer.id in configuration.removed or configuration.get(peer.id) is not None:
        raise _refused(Status.ALREADY_EXISTS, "MEMBER_EXISTS", f"member {peer.id} exists already")
    for member in configuration.members:
        if member.name == peer.name:
            raise _refused(
                Status.ALREADY_EXISTS, "MEMBER_EXISTS", f"a member {peer.name} exists already"
            )
        if member.address == peer.address:
            raise _refused(
                Status.ALREADY_EXISTS,
                "MEMBER_EXISTS",
                f"member {member.name} has the address {peer.address} already",
            )
    if len(configuration.members) >= MEMBERS_MAX:
        raise _refused(
            Status.RESOURCE_EXHAUSTED, "TOO_MANY_MEMBERS", f"{MEMBERS_MAX} members are the most"
        )
    learner = Peer(peer.id, peer.name, peer.address, voter=False)
    return configuration_of((*configuration.peers, learner), configuration.removed)


def promoted(configuration: Configuration, id: int) -> Configuration:
    """Lets a learner vote."""
    member = _find(configuration, id)
    if member.voter:
        raise _refused(
            Status.FAILED_PRECONDITION, "MEMBER_VOTES", f"member {member.name} votes already"
        )
    return _replaced(configuration, Member(id, member.name, member.address))


def without(configuration: Configuration, id: int) -> Configuration:
    """Removes a member."""
    member = _find(configuration, id)
    if configuration.voters == {id}:
        raise _refused(
            Status.FAILED_PRECONDITION,
            "LAST_VOTER",
            f"member {member.name} is the only one that votes",
        )
    left = tuple(peer for peer in configuration.peers if peer.id != id)
    return configuration_of(left, (*configuration.removed, id)[-REMOVED_MAX:])


def moved(configuration: Configuration, id: int, address: str) -> Configuration:
    """Gives a member another address."""
    member = _find(configuration, id)
    for other in configuration.members:
        if other.address == address and other.id != id:
            raise _refused(
                Status.ALREADY_EXISTS,
                "MEMBER_EXISTS",
                f"member {other.name} has the address {address} already",
            )
    return _replaced(configuration, Member(id, member.name, address, member.voter))


def _find(configuration: Configuration, id: int) -> Member:
    member = configuration.get(id)
    if member is None:
        raise _refused(Status.NOT_FOUND, "MEMBER_NOT_FOUND", f"there is no member {id}")
    return member


def _replaced(configuration: Configuration, member: Member) -> Configuration:
    members = tuple(member if m.id == member.id else m for m in configuration.members)
    return Configuration(members, configuration.removed)


def _refused(status: Status, reason: str, message: str) -> RequestError:
    return RequestError(status, reason, message)
