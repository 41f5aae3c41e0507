"""The service `coordinator.v1.KV`."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.api import render
from coordinator.api.convert import Converter, writes
from coordinator.api.window import check_window
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.rpc import Call, Service, Unary, deadline_of, invalid, too_large
from coordinator.state.commands import Compact, DeleteRange, Put, RequestId, Txn, Write
from coordinator.state.results import (
    DeleteResult,
    Failure,
    Outcome,
    PutResult,
    RangeResult,
    TxnResult,
)
from coordinator_client.pb import kv_pb2


class KVService:
    """Reads and writes of keys."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._convert = Converter(node.limits)

    def service(self) -> Service:
        """Returns the methods for a host."""
        pb = kv_pb2
        return Service(
            "coordinator.v1.KV",
            (
                Unary("Range", pb.RangeRequest, pb.RangeResponse, self.range),
                Unary("Put", pb.PutRequest, pb.PutResponse, self.put),
                Unary("DeleteRange", pb.DeleteRangeRequest, pb.DeleteRangeResponse, self.delete),
                Unary("Txn", pb.TxnRequest, pb.TxnResponse, self.txn),
                Unary("Compact", pb.CompactRequest, pb.CompactResponse, self.compact),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    async def range(self, call: Call, request: kv_pb2.RangeRequest) -> kv_pb2.RangeResponse:
        """Reads one key or many."""
        self._convert.check_size(request)
        query = self._convert.range(request)
        node = self._node
        await node.read(
            local=request.local, min_revision=request.min_revision, deadline=self._deadline(call)
        )
        result = node.state.range(query, size_bytes_max=node.limits.range_reply_size_bytes_max)
        if isinstance(result, Failure):
            raise render.error(result)
        response = render.range_response(result)
        response.header.CopyFrom(render.header(node, local=request.local))
        return response

    async def put(self, call: Call, request: kv_pb2.PutRequest) -> kv_pb2.PutResponse:
        """Writes one key."""
        self._convert.check_size(request)
        op = self._convert.put(request)
        self._check_sequences(op)
        outcome = await self._write(call, op, self._convert.request_id(request, request.request))
        assert isinstance(outcome.result, PutResult)
        response = render.put_response(outcome.result)
        response.header.CopyFrom(render.header(self._node, outcome.revision))
        return response

    async def delete(
        self, call: Call, request: kv_pb2.DeleteRangeRequest
    ) -> kv_pb2.DeleteRangeResponse:
        """Deletes one key or many."""
        self._convert.check_size(request)
        op = self._convert.delete(request)
        outcome = await self._write(call, op, self._convert.request_id(request, request.request))
        assert isinstance(outcome.result, DeleteResult)
        self._check_reply(outcome.result)
        response = render.delete_response(outcome.result)
        response.header.CopyFrom(render.header(self._node, outcome.revision))
        return response

    async def txn(self, call: Call, request: kv_pb2.TxnRequest) -> kv_pb2.TxnResponse:
        """Runs a transaction; one that only reads does not go through the log."""
        self._convert.check_size(request)
        txn = self._convert.txn(request)
        self._check_sequences(txn)
        node = self._node
        request_id = self._convert.request_id(request, request.request)
        if not writes(txn) and request_id is None:
            await node.read(local=request.local, min_revision=0, deadline=self._deadline(call))
            result = node.state.evaluate(txn)
            if isinstance(result, Failure):
                raise render.error(result)
            revision = node.state.revision
        else:
            if request.local:
                raise invalid("local", "is only for transactions that do not write")
            outcome = await self._write(call, txn, request_id)
            assert isinstance(outcome.result, TxnResult)
            result, revision = outcome.result, outcome.revision
        self._check_reply(result)
        response = render.txn_response(result)
        response.header.CopyFrom(render.header(node, revision, local=request.local))
        return response

    async def compact(self, call: Call, request: kv_pb2.CompactRequest) -> kv_pb2.CompactResponse:
        """Forgets history."""
        if request.revision <= 0:
            raise invalid("revision", "must be positive")
        request_id = self._convert.request_id(request, request.request)
        outcome = await self._propose(call, Compact(request.revision, request_id))
        return kv_pb2.CompactResponse(header=render.header(self._node, outcome.revision))

    async def _write(
        self, call: Call, op: Put | DeleteRange | Txn, request_id: RequestId | None
    ) -> Outcome:
        return await self._propose(call, Write(op, request_id))

    async def _propose(self, call: Call, command: Write | Compact) -> Outcome:
        check_window(self._node, command.request)
        outcome = await self._node.propose(command, self._deadline(call))
        if isinstance(outcome.result, Failure):
            raise render.error(outcome.result)
        return outcome

    def _check_sequences(self, op: Put | Txn) -> None:
        """Refuses to count for more parents; checked here and not in apply, as limits differ from node to node."""
        limit, state = self._node.limits.sequence_parents_max, self._node.state
        if state.sequence_parent_count >= limit and not all(
            state.has_sequence_parent(key) for key in _sequence_keys(op)
        ):
            raise too_large("the number of parents with sequence numbers", limit + 1, limit)

    def _check_reply(self, result: TxnResult | DeleteResult) -> None:
        """Such a reply can't end early with `more`: one that is too large to send is left out, and that is said."""
        size, size_max = _reply_size(result), self._node.limits.txn_reply_size_bytes_max
        if size > size_max:
            raise RequestError(
                Status.RESOURCE_EXHAUSTED,
                "REPLY_TOO_LARGE",
                f"the request was carried out, but its reply is {size} bytes, the limit is {size_max}",
                {"limit": str(size_max), "applied": "yes"},
            )


def _sequence_keys(op: object) -> Iterator[bytes]:
    """Yields the keys that are to get a sequence number."""
    if isinstance(op, Txn):
        for inner in (*op.success, *op.failure):
            yield from _sequence_keys(inner)
    elif isinstance(op, Put) and op.sequence:
        yield op.key


def _reply_size(result: TxnResult | RangeResult | PutResult | DeleteResult) -> int:
    if isinstance(result, TxnResult):
        return sum(_reply_size(r) for r in result.responses)
    if isinstance(result, RangeResult):
        return sum(len(kv.key) + len(kv.value) + 32 for kv in result.kvs)
    if isinstance(result, DeleteResult):
        return sum(len(kv.key) + len(kv.value) + 32 for kv in result.prevs)
    return 0 if result.prev is None else len(result.prev.key) + len(result.prev.value) + 32
