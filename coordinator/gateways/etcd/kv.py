"""The service `etcdserverpb.KV`."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.errors import Status
from coordinator.gateways.etcd import convert, errors, ranges, render
from coordinator.gateways.etcd.convert import Converter
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import kv_pb2 as pb
from coordinator.gateways.etcd.responses import TxnResponses
from coordinator.node.interface import Node
from coordinator.pieces import Pieced
from coordinator.rpc import Call, Service, Unary, deadline_of
from coordinator.state.commands import Command, Compact, Write
from coordinator.state.model import KeyValue
from coordinator.state.results import (
    DeleteResult,
    Failure,
    Outcome,
    PutResult,
    RangeResult,
    TxnResult,
)


class KVService:
    """Reads and writes of keys."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._convert = Converter(node.limits)

    def service(self) -> Service:
        """Returns the methods for a host."""
        return Service(
            "etcdserverpb.KV",
            (
                Unary("Range", pb.RangeRequest, pb.RangeResponse, self.range),
                Unary("Put", pb.PutRequest, pb.PutResponse, self.put),
                Unary("DeleteRange", pb.DeleteRangeRequest, pb.DeleteRangeResponse, self.delete),
                Unary("Txn", pb.TxnRequest, pb.TxnResponse, self.txn),
                Unary("Compact", pb.CompactionRequest, pb.CompactionResponse, self.compact),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    async def range(self, call: Call, request: pb.RangeRequest) -> Pieced:
        """Reads one key or many."""
        query = convert.range_query(request)
        await self._read(call, local=request.serializable)
        result, revision = await ranges.read(self._node, query)
        head = pb.RangeResponse(
            header=render.header(self._node, revision), more=result.more, count=result.count
        )
        return Pieced(head, await ranges.encode(result))

    async def put(self, call: Call, request: pb.PutRequest) -> pb.PutResponse:
        """Writes one key."""
        op = convert.put(request)
        self._convert.check_size(request)
        self._convert.check_key(op.key)
        outcome = await self._propose(call, Write(op))
        assert isinstance(outcome.result, PutResult)
        response = render.put_response(outcome.result)
        response.header.CopyFrom(render.header(self._node, outcome.revision))
        return response

    async def delete(self, call: Call, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
        """Deletes one key or many."""
        op = convert.delete(request)
        self._convert.check_size(request)
        outcome = await self._propose(call, Write(op))
        assert isinstance(outcome.result, DeleteResult)
        self._check_reply(outcome.result)
        response = render.delete_response(outcome.result)
        response.header.CopyFrom(render.header(self._node, outcome.revision))
        return response

    async def txn(self, call: Call, request: pb.TxnRequest) -> pb.TxnResponse:
        """Runs a transaction; one that only reads does not go through the log."""
        txn = self._convert.txn(request)
        self._convert.check_size(request)
        if _writes(request):
            outcome = await self._propose(call, Write(txn))
            result, revision = outcome.result, outcome.revision
        else:
            await self._read(call, local=_serializable(request))
            result, revision = self._node.state.evaluate(txn), self._node.state.revision
        if isinstance(result, Failure):
            raise errors.error(result)
        assert isinstance(result, TxnResult)
        self._check_reply(result)
        response = TxnResponses(revision).txn(request, result)
        response.header.CopyFrom(render.header(self._node, revision))
        return response

    async def compact(self, call: Call, request: pb.CompactionRequest) -> pb.CompactionResponse:
        """Forgets history. Memory is freed bit by bit, so there is nothing `physical` to wait for."""
        outcome = await self._propose(call, Compact(request.revision))
        return pb.CompactionResponse(header=render.header(self._node, outcome.revision))

    async def _read(self, call: Call, *, local: bool) -> None:
        await self._node.read(local=local, min_revision=0, deadline=self._deadline(call))

    async def _propose(self, call: Call, command: Command) -> Outcome:
        outcome = await self._node.propose(command, self._deadline(call))
        if isinstance(outcome.result, Failure):
            raise errors.error(outcome.result)
        return outcome

    def _check_reply(self, result: TxnResult | DeleteResult) -> None:
        size_max = self._node.limits.txn_reply_size_bytes_max
        if sum(len(kv.key) + len(kv.value) + 32 for kv in _keys(result)) > size_max:
            raise EtcdError(
                Status.RESOURCE_EXHAUSTED,
                f"the request was carried out, but its reply is larger than {size_max} bytes",
                "REPLY_TOO_LARGE",
            )


def _keys(result: TxnResult | RangeResult | PutResult | DeleteResult) -> Iterator[KeyValue]:
    """Yields the keys that a result holds."""
    if isinstance(result, TxnResult):
        for inner in result.responses:
            yield from _keys(inner)
    elif isinstance(result, RangeResult):
        yield from result.kvs
    elif isinstance(result, DeleteResult):
        yield from result.prevs
    elif result.prev is not None:
        yield result.prev


def _writes(request: pb.TxnRequest) -> bool:
    """Returns whether any branch of a transaction may write."""
    return any(
        _writes(op.request_txn)
        if op.WhichOneof("request") == "request_txn"
        else op.WhichOneof("request") != "request_range"
        for op in (*request.success, *request.failure)
    )


def _serializable(request: pb.TxnRequest) -> bool:
    """Returns whether all ranges of a transaction, at least one, may be answered from this member alone."""
    ops = [*request.success, *request.failure]
    return bool(ops) and all(
        op.WhichOneof("request") == "request_range" and op.request_range.serializable for op in ops
    )
