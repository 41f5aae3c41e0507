"""Asks running nodes how they are, over the API that every client uses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

# A node that does not answer yet is no news worth a line on the terminal.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from coordinator_client.pb import cluster_pb2, cluster_pb2_grpc

PROBE_TIMEOUT_S = 0.5
CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)
LEADER = cluster_pb2.StatusResponse.LEADER
ROLES = {
    LEADER: "leader",
    cluster_pb2.StatusResponse.FOLLOWER: "follower",
    cluster_pb2.StatusResponse.CANDIDATE: "candidate",
    cluster_pb2.StatusResponse.LEARNER: "learner",
}


class Probe:
    """Connections to nodes by their client address, kept from one question to the next."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.Channel] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for channel in self._channels.values():
            channel.close()

    def status(
        self, address: str, digest: bool = False, timeout_s: float = PROBE_TIMEOUT_S
    ) -> cluster_pb2.StatusResponse | None:
        """Returns the status of a node, or None if it does not answer in time."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        stub = cluster_pb2_grpc.ClusterStub(channel)
        request = cluster_pb2.StatusRequest(digest=digest)
        try:
            reply: cluster_pb2.StatusResponse = stub.Status(
                request, timeout=timeout_s, wait_for_ready=False
            )
        except grpc.RpcError:
            return None
        return reply

    def leader(self, addresses: Sequence[str]) -> str | None:
        """Returns the name of the leader, once all the nodes agree on it and it says so itself."""
        replies = [self.status(address) for address in addresses]
        statuses = [reply for reply in replies if reply is not None]
        names = {status.leader_name for status in statuses}
        if len(statuses) < len(addresses) or len(names) != 1:
            return None
        (name,) = names
        leads = any(status.name == name and status.role == LEADER for status in statuses)
        return name if name and leads else None
