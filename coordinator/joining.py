"""Which member of which cluster this node is: from its data folder, from the configuration, or asked of the cluster.

A data folder that was used before decides alone: the file `origin.json` keeps how the member began, and who belongs to
the cluster by now is told by the log. An empty folder makes a first member, of the cluster that the configuration
lists, or one that joins a cluster that runs and to which it was added.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
import structlog

from coordinator.config import Config, Member
from coordinator.consensus.disk import WAY_OUT
from coordinator.consensus.folder import IDENTITY, MemberFolder
from coordinator.consensus.interface import Peer
from coordinator.errors import ConfigError, DamageError
from coordinator_client.pb import cluster_pb2

ORIGIN = "origin.json"
FORMAT_VERSION = 1
ASK_TIMEOUT_S = 5.0
PAUSE_S = 0.3

log = structlog.get_logger()


class FirstMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member as it was when this one began."""

    id: int
    name: str
    address: str
    voter: bool


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a member began: as one of the first, or by joining."""

    format: int
    joined: bool
    cluster_key: int
    name: str
    members: tuple[FirstMember, ...]
    """All there were, this one included."""

    @property
    def peers(self) -> tuple[Peer, ...]:
        return tuple(Peer(m.id, m.name, m.address, m.voter) for m in self.members)

    @property
    def this(self) -> Peer:
        return next(peer for peer in self.peers if peer.name == self.name)


def member_id(token: str, name: str) -> int:
    """Returns the id of a first member: the same on all members and in every run, and never 0."""
    digest = hashlib.sha256(f"member\0{token}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def cluster_key(token: str, names: tuple[str, ...]) -> int:
    """Returns a number by which members of one cluster know each other, from the names of its first members."""
    text = "\0".join(("cluster", token, *sorted(names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


async def find_origin(config: Config) -> Origin:
    """Returns how this member began, or begins now, and keeps it in its data folder.

    Raises ConfigError if it can't begin like this, or the folder is another member's; DamageError.
    """
    path = Path(config.data_dir)
    folder = MemberFolder(path)
    try:
        if IDENTITY in folder.disk.names():
            return _read(folder, config) or found(config)
        origin = await join(config) if config.join else found(config)
        _write(folder, origin)
        return origin
    except OSError as error:
        raise ConfigError(f"can't use the data folder {path}: {error}") from error
    finally:
        folder.release()


def found(config: Config) -> Origin:
    """The origin of a first member."""
    members = config.cluster or (Member(config.name, config.peer_address),)
    first = (
        FirstMember(member_id(config.cluster_token, m.name), m.name, m.peer_address, True)
        for m in sorted(members, key=lambda m: m.name)
    )
    key = cluster_key(config.cluster_token, tuple(m.name for m in members))
    return Origin(FORMAT_VERSION, False, key, config.name, tuple(first))


# The data folder.


def _read(folder: MemberFolder, config: Config) -> Origin | None:
    """Returns what a folder that was used before says; None: it was written before there was such a file."""
    if ORIGIN not in folder.disk.names():
        return None
    path = folder.path / ORIGIN
    try:
        origin = msgspec.json.decode(folder.disk.read(ORIGIN), type=Origin)
        _ = origin.this
    except (ValueError, RecursionError, StopIteration) as error:
        raise DamageError(f"{path} can't be read: {error}. {WAY_OUT}") from None
    if origin.format != FORMAT_VERSION:
        raise ConfigError(f"{path} has format {origin.format}; this program knows {FORMAT_VERSION}")
    if origin.name != config.name:
        raise ConfigError(
            f"the data folder {folder.path} belongs to member {origin.name!r}, not {config.name!r}: "
            "name the folder of this member"
        )
    names = tuple(member.name for member in origin.members)
    if not origin.joined and cluster_key(config.cluster_token, names) != origin.cluster_key:
        raise ConfigError(
            f"the data folder {folder.path} belongs to another cluster: check the cluster token, or "
            "name another folder"
        )
    if config.join or (config.cluster and {m.name for m in config.cluster} != set(names)):
        log.info(
            "the data folder was used before: who belongs to the cluster is known from there, and not "
            "from the setting cluster or join",
            data_dir=config.data_dir,
        )
    return origin


def _write(folder: MemberFolder, origin: Origin) -> None:
    disk, aside = folder.disk, ORIGIN + ".new"
    if aside in disk.names():
        disk.remove(aside)
    disk.append(aside, msgspec.json.encode(origin) + b"\n")
    disk.sync(aside)
    disk.close(aside)
    disk.rename(aside, ORIGIN)
    disk.sync_folder()


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
    members = tuple(FirstMember(m.id, m.name, m.peer_address, m.voter) for m in reply.members)
    own = next((m for m in members if (m.id, m.name) == (reply.member_id, config.name)), None)
    if own is None:
        raise ConfigError("join: the cluster's answer does not name this member")
    if own.address != config.peer_address:
        log.warning(
            "the other members were told another address of this one; `coordctl member update-address` "
            "corrects it",
            told=own.address,
            peer_address=config.peer_address,
        )
    return Origin(FORMAT_VERSION, True, reply.cluster_key, config.name, members)
