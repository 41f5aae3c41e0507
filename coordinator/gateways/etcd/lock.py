"""The service `v3lockpb.Lock`: the server stands in line for the client."""

from __future__ import annotations

from coordinator.gateways.etcd import errors, render
from coordinator.gateways.etcd.lines import (
    as_from_a_client,
    leave,
    leaving_on_failure,
    stand_in_line,
    wait_for_turn,
)
from coordinator.gateways.etcd.pb import concurrency_pb2 as pb
from coordinator.node.interface import Node
from coordinator.rpc import Call, Service, Unary, deadline_of


class LockService:
    """Locks that are keys: the oldest one under a name holds it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        return as_from_a_client(
            "v3lockpb.Lock",
            (
                Unary("Lock", pb.LockRequest, pb.LockResponse, self.lock),
                Unary("Unlock", pb.UnlockRequest, pb.UnlockResponse, self.unlock),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    async def lock(self, call: Call, request: pb.LockRequest) -> pb.LockResponse:
        """Returns when the caller holds the lock, which it does as long as the key exists that it is told."""
        node = self._node
        deadline = self._deadline(call)
        kv, _, _ = await stand_in_line(node, request.name, request.lease, b"", deadline)
        async with leaving_on_failure(node, kv):
            held = await wait_for_turn(node, request.name, kv)
        if not held:
            # Its lease ended while it stood in line.
            raise errors.lease_not_found()
        return pb.LockResponse(header=render.header(node), key=kv.key)

    async def unlock(self, call: Call, request: pb.UnlockRequest) -> pb.UnlockResponse:
        """Deletes the key of a lock."""
        if not request.key:
            raise errors.empty_key()
        outcome = await leave(self._node, request.key, None, self._deadline(call))
        return pb.UnlockResponse(header=render.header(self._node, outcome.revision))
