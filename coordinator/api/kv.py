"""The service `coordinator.v1.KV`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from coordinator.api import render
from coordinator.api.begun import Begun
from coordinator.api.convert import Converter, writes
from coordinator.api.encodings import Encodings
from coordinator.api.window import check_window
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.pieces import Pieced
from coordinator.rpc import Call, Message, Service, Unary, deadline_of, invalid, too_large
from coordinator.state.commands import Compact, Put, Range, Txn, Write
from coordinator.state.results import (
    DeleteResult,
    Failure,
    Outcome,
    PutResult,
    RangeResult,
    Result,
    TxnResult,
)
from coordinator_client.pb import kv_pb2
from coordinator_client.pb.common_pb2 import ResponseHeader

PAGE_KEYS = 500
"""Keys of a reply that are encoded before others have their turn: about a millisecond."""

KEPT_KEYS_MIN = 2
"""A single key is encoded anew, for the same time: reads of those do not drive out what ranges come back to."""


QueryT = TypeVar("QueryT", Range, Txn)


@dataclass(frozen=True)
class _Read(Generic[QueryT]):
    """What is read once the state may be, and the request that asks for it."""

    query: QueryT
    request: Any


class KVService:
    """Reads and writes of keys."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._convert = Converter(node.limits)
        self._encodings = Encodings(node.limits.encodings_size_bytes_max)

    def service(self) -> Service:
        """Returns the methods for a host."""
        pb = kv_pb2
        return Service(
            "coordinator.v1.KV",
            (
                Unary(
                    "Range",
                    pb.RangeRequest,
                    pb.RangeResponse,
                    Begun(self._begin_range, self._finish_range),
                ),
                Unary(
                    "Put", pb.PutRequest, pb.PutResponse, Begun(self._begin_put, self._finish_put)
                ),
                Unary(
                    "DeleteRange",
                    pb.DeleteRangeRequest,
                    pb.DeleteRangeResponse,
                    Begun(self._begin_delete, self._finish_delete),
                ),
                Unary(
                    "Txn", pb.TxnRequest, pb.TxnResponse, Begun(self._begin_txn, self._finish_txn)
                ),
                Unary("Compact", pb.CompactRequest, pb.CompactResponse, self.compact),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    def _begin_range(self, call: Call, request: kv_pb2.RangeRequest) -> Awaitable[_Read[Range]]:
        """Reads one key or many."""
        self._convert.check_size(request)
        return self._wait(call, _Read(self._convert.range(request), request))

    async def _wait(self, call: Call, read: _Read[QueryT]) -> _Read[QueryT]:
        request = read.request
        await self._node.read(
            local=request.local,
            min_revision=getattr(request, "min_revision", 0),
            deadline=self._deadline(call),
        )
        return read

    def _finish_range(self, read: _Read[Range]) -> Message | Awaitable[Message]:
        node = self._node
        size_max = node.limits.range_reply_size_bytes_max
        result = node.state.range(read.query, size_bytes_max=size_max)
        if isinstance(result, Failure):
            raise render.error(result)
        header = render.header(node, local=read.request.local)
        if len(result.kvs) < KEPT_KEYS_MIN:
            return render.range_response(result, header)
        if len(result.kvs) <= PAGE_KEYS:
            return _put_together(result, header, self._encodings.of(result.kvs))
        return self._encode_in_turns(result, header)

    async def _encode_in_turns(self, result: RangeResult, header: ResponseHeader) -> Message:
        """Returns the message of a large range, made in turns with others."""
        parts: list[bytes] = []
        for start in range(0, len(result.kvs), PAGE_KEYS):
            parts += self._encodings.of(result.kvs[start : start + PAGE_KEYS])
            await asyncio.sleep(0)
        return _put_together(result, header, parts)

    def _begin_put(self, call: Call, request: kv_pb2.PutRequest) -> Awaitable[Outcome]:
        """Writes one key."""
        self._convert.check_size(request)
        op = self._convert.put(request)
        self._check_sequences(op)
        return self._offer(call, Write(op, self._convert.request_id(request, request.request)))

    def _finish_put(self, outcome: Outcome) -> Message:
        result = _result_of(outcome)
        assert isinstance(result, PutResult)
        header = render.encoded_header(self._node, outcome.revision)
        return render.encoded_put_response(result, header)

    def _begin_delete(self, call: Call, request: kv_pb2.DeleteRangeRequest) -> Awaitable[Outcome]:
        """Deletes one key or many."""
        self._convert.check_size(request)
        op = self._convert.delete(request)
        return self._offer(call, Write(op, self._convert.request_id(request, request.request)))

    def _finish_delete(self, outcome: Outcome) -> kv_pb2.DeleteRangeResponse:
        result = _result_of(outcome)
        assert isinstance(result, DeleteResult)
        self._check_reply(result)
        return render.delete_response(result, render.header(self._node, outcome.revision))

    def _begin_txn(self, call: Call, request: kv_pb2.TxnRequest) -> Awaitable[Outcome | _Read[Txn]]:
        """Runs a transaction; one that only reads does not go through the log."""
        self._convert.check_size(request)
        txn = self._convert.txn(request)
        self._check_sequences(txn)
        request_id = self._convert.request_id(request, request.request)
        if not writes(txn) and request_id is None:
            return self._wait(call, _Read(txn, request))
        if request.local:
            raise invalid("local", "is only for transactions that do not write")
        return self._offer(call, Write(txn, request_id))

    def _finish_txn(self, ended: Outcome | _Read[Txn]) -> Message:
        node = self._node
        if isinstance(ended, Outcome):
            result = _result_of(ended)
            header = render.header(node, ended.revision)
        else:
            result = node.state.evaluate(ended.query)
            if isinstance(result, Failure):
                raise render.error(result)
            header = render.header(node, local=ended.request.local)
        assert isinstance(result, TxnResult)
        self._check_reply(result)
        return render.txn_response(result, header)

    async def compact(self, call: Call, request: kv_pb2.CompactRequest) -> kv_pb2.CompactResponse:
        """Forgets history."""
        if request.revision <= 0:
            raise invalid("revision", "must be positive")
        request_id = self._convert.request_id(request, request.request)
        outcome = await self._offer(call, Compact(request.revision, request_id))
        _result_of(outcome)
        return kv_pb2.CompactResponse(header=render.header(self._node, outcome.revision))

    def _offer(self, call: Call, command: Write | Compact) -> asyncio.Future[Outcome]:
        check_window(self._node, command.request)
        return self._node.offer(command, self._deadline(call))

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


def _put_together(result: RangeResult, header: ResponseHeader, kvs: list[bytes]) -> Message:
    """Returns the message of a range whose keys are encoded already."""
    rest = RangeResult((), result.children, result.more, result.count)
    return Pieced(render.range_response(rest, header), kvs)


def _result_of(outcome: Outcome) -> Result:
    """Returns what a command came to. Raises RequestError if that is a failure."""
    if isinstance(outcome.result, Failure):
        raise render.error(outcome.result)
    return outcome.result


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
