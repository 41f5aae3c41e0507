"""Which member of which cluster this node is: from its data folder, from the configuration, or asked of the cluster.

A data folder that was used before decides alone: its identity says how the member began, and who belongs to the
cluster by now is told by the log. An empty folder makes a first member, of the cluster that the configuration lists, or
one that joins a cluster that runs and to which it was added.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog

from coordinator.config import Config, Member
from coordinator.consensus.folder import Identity, read_identity
from coordinator.consensus.interface import Peer
from coordinator.errors import ConfigError
from coordinator_client.pb import cluster_pb2

ASK_TIMEOUT_S = 5.0
PAUSE_S = 0.3

log = structlog.get_logger()


@dataclass(frozen=True)
class Origin:
    """How a member began: as one of the first, or by joining."""

    cluster_key: int
    name: str
    peers: tuple[Peer, ...]
    """All there were, this one included."""

    @property
    def this(self) -> Peer:
        return next(peer for peer in self.peers if peer.name == self.name)

    @property
    def joined(self) -> bool:
        """Whether the cluster was there before this member."""
        return not self.this.voter


def member_id(token: str, name: str) -> int:
    """Returns the id of a first member: the same on all members and in every run, and never 0."""
    digest = hashlib.sha256(f"member\0{token}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def cluster_key(token: str, names: tuple[str, ...]) -> int:
    """Returns a number by which members of one cluster know each other, from the names of its first members."""
    text = "\0".join(("cluster", token, *sorted(names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


async def find_origin(config: Config) -> Origin:
    """Returns how this member began, or begins now.

    Raises ConfigError if it can't begin like this, or the folder is another member's; DamageError.
    """
    identity = read_identity(Path(config.data_dir))
    if identity is not None:
        return _remembered(identity, config)
    return await join(config) if config.join else found(config)


def found(config: Config) -> Origin:
    """The origin of a first member."""
    members = config.cluster or (Member(config.name, config.peer_address),)
    first = (
        Peer(member_id(config.cluster_token, m.name), m.name, m.peer_address)
        for m in sorted(members, key=lambda m: m.name)
    )
    key = cluster_key(config.cluster_token, tuple(m.name for m in members))
    return Origin(key, config.name, tuple(first))


def _remembered(identity: Identity, config: Config) -> Origin:
    folder = config.data_dir
    if identity.name != config.name:
        raise ConfigError(
            f"the data folder {folder} belongs to member {identity.name!r}, not {config.name!r}: "
            "name the folder of this member"
        )
    origin = Origin(identity.cluster_key, identity.name, identity.configuration.peers)
    names = tuple(peer.name for peer in origin.peers)
    # The key of a cluster that was made from what another one left follows from nothing that is configured.
    token_counts = not origin.joined and not identity.reborn
    if token_counts and cluster_key(config.cluster_token, names) != origin.cluster_key:
        raise ConfigError(
            f"the data folder {folder} belongs to another cluster: check the cluster token, or name "
            "another folder"
        )
    if config.join or (config.cluster and {m.name for m in config.cluster} != set(names)):
        log.info(
            "the data folder was used before: who belongs to the cluster is known from there, and not "
            "from the setting cluster or join",
            data_dir=folder,
        )
    return origin


# The cluster.


async def join(config: Config) -> Origin:
    """The origin of a member that was added to a running cluster, as its members tell it. Raises ConfigError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + config.timing.join_ms / 1_000
    told = False
    while True:
        for address in config.join:
            reply = await _ask(address, config)
            leader = next((m for m in reply.members if m.leader), None) if reply else None
            if leader is not None and leader.client_address and leader.id != _answered_by(reply):
                # It alone knows for sure whether a member of this id ran before.
                reply = await _ask(leader.client_address, config) or reply
            if reply is not None:
                return _joined(config, reply)
        if loop.time() > deadline:
            raise ConfigError(
                f"join: no member of the cluster could answer at {', '.join(config.join)} within "
                f"{config.timing.join_ms / 1_000:g} seconds"
            )
        if not told:
            told = True
            log.info("waiting for a member of the cluster to answer", addresses=config.join)
        await asyncio.sleep(PAUSE_S)


def _answered_by(reply: cluster_pb2.JoinResponse | None) -> int:
    return 0 if reply is None else reply.header.member_id


async def _ask(address: str, config: Config) -> cluster_pb2.JoinResponse | None:
    """Asks one member; None if it can't answer now. Raises ConfigError if the cluster says no."""
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(
            "/coordinator.v1.Cluster/Join",
            request_serializer=cluster_pb2.JoinRequest.SerializeToString,
            response_deserializer=cluster_pb2.JoinResponse.FromString,
        )
        request = cluster_pb2.JoinRequest(name=config.name)
        try:
            reply: cluster_pb2.JoinResponse = await call(request, timeout=ASK_TIMEOUT_S)
            return reply
        except grpc.aio.AioRpcError as error:
            code, message = error.code(), error.details() or error.code().name
    if code is grpc.StatusCode.NOT_FOUND:
        raise ConfigError(
            f"join: the cluster at {address} has no member {config.name}: add it first, with "
            f"`coordctl member add {config.name} {config.peer_address}`"
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        raise ConfigError(f"join: what answers at {address} is no member of such a cluster")
    if code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT):
        raise ConfigError(f"join: the cluster at {address} refuses: {message}")
    log.debug("no answer", address=address, error=message)
    return None


def _joined(config: Config, reply: cluster_pb2.JoinResponse) -> Origin:
    peers = tuple(Peer(m.id, m.name, m.peer_address, m.voter) for m in reply.members)
    own = next((p for p in peers if (p.id, p.name) == (reply.member_id, config.name)), None)
    if own is None or own.voter:
        raise ConfigError("join: the cluster's answer does not name this member")
    if own.address != config.peer_address:
        log.warning(
            "the other members were told another address of this one; `coordctl member update-address` "
            "corrects it",
            told=own.address,
            peer_address=config.peer_address,
        )
    return Origin(reply.cluster_key, config.name, peers)
