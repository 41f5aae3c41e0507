"""From requests of the native API to commands and queries of the state machine, with everything
checked on the way."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.config import Limits
from coordinator.rpc import Message, invalid, too_large
from coordinator.state.commands import (
    Compare,
    DeleteRange,
    Op,
    Operator,
    Put,
    Range,
    RequestId,
    Selector,
    Target,
    Txn,
)
from coordinator.state.view import with_prefix
from coordinator_client.pb import common_pb2, kv_pb2

SEQUENCE_DIGITS = 10
INT64_MAX = (1 << 63) - 1
NO_UPPER_END = b"\x00"
"""As a `range_end`: every key from `key` on."""


class Converter:
    """Turns messages into commands; every method raises RequestError for what can't be served."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def check_size(self, request: Message) -> None:
        """Refuses a request that is too large as a whole."""
        size = request.ByteSize()
        if size > self._limits.request_size_bytes_max:
            raise too_large(
                "the request's size in bytes", size, self._limits.request_size_bytes_max
            )

    def _check_key(self, field: str, key: bytes, extra: int = 0) -> None:
        if len(key) + extra > self._limits.key_size_bytes_max:
            raise too_large(
                f"{field}: the key's size in bytes",
                len(key) + extra,
                self._limits.key_size_bytes_max,
            )

    def selector(self, field: str, selector: common_pb2.Selector) -> Selector:
        """Returns the range that a selector names."""
        self._check_key(f"{field}.key", selector.key)
        self._check_key(f"{field}.range_end", selector.range_end)
        if selector.prefix:
            if selector.range_end:
                raise invalid(field, "prefix and range_end exclude each other")
            return with_prefix(selector.key)
        if selector.range_end:
            end = b"" if selector.range_end == NO_UPPER_END else selector.range_end
            return Selector(selector.key, end)
        if not selector.key:
            raise invalid(f"{field}.key", "is empty; set prefix to name all keys")
        return Selector(selector.key)

    def range(self, request: kv_pb2.RangeRequest) -> Range:
        """Returns the query of a range request; `local` and `min_revision` are the caller's business."""
        for field in ("revision", "limit", "min_revision"):
            if getattr(request, field) < 0:
                raise invalid(field, "is negative")
        if request.delimiter and not request.selector.prefix:
            raise invalid("delimiter", "needs a prefix")
        self._check_key("delimiter", request.delimiter)
        self._check_key("start_after", request.start_after)
        return Range(
            selector=self.selector("selector", request.selector),
            revision=request.revision,
            limit=request.limit,
            keys_only=request.keys_only,
            count_only=request.count_only,
            delimiter=request.delimiter,
            start_after=request.start_after,
        )

    def put(self, request: kv_pb2.PutRequest) -> Put:
        """Returns the operation of a put."""
        if not request.key:
            raise invalid("key", "is empty")
        self._check_key("key", request.key, SEQUENCE_DIGITS if request.sequence else 0)
        if request.session < 0:
            raise invalid("session", "is negative")
        return Put(
            key=request.key,
            value=request.value,
            session=request.session,
            prev_kv=request.prev_kv,
            sequence=request.sequence,
        )

    def delete(self, request: kv_pb2.DeleteRangeRequest) -> DeleteRange:
        """Returns the operation of a delete."""
        return DeleteRange(self.selector("selector", request.selector), request.prev_kv)

    def request_id(self, message: Message, request: common_pb2.RequestId) -> RequestId | None:
        """Returns the number that makes the write apply once; None if it carries none."""
        if not message.HasField("request"):  # type: ignore[attr-defined]  # every write has the field
            return None
        if request.session <= 0:
            raise invalid("request.session", "must be positive")
        if not 0 < request.sequence <= INT64_MAX:
            raise invalid("request.sequence", "must be between 1 and 2^63 - 1")
        if request.acknowledged_below > request.sequence:
            raise invalid("request.acknowledged_below", "is beyond request.sequence")
        return RequestId(request.session, request.sequence, request.acknowledged_below)

    # --- transactions -------------------------------------------------------------------------------

    def txn(self, request: kv_pb2.TxnRequest) -> Txn:
        """Returns the operation of a transaction."""
        count = _count(request, self._limits.txn_depth_max)
        if count > self._limits.txn_ops_max:
            raise too_large(
                "the number of compares and operations", count, self._limits.txn_ops_max
            )
        return self._txn(request)

    def _txn(self, request: kv_pb2.TxnRequest) -> Txn:
        return Txn(
            compares=tuple(self._compare(c) for c in request.compares),
            success=tuple(self._ops("success", request.success)),
            failure=tuple(self._ops("failure", request.failure)),
        )

    def _ops(self, field: str, ops: Iterable[kv_pb2.RequestOp]) -> Iterable[Op]:
        for op in ops:
            kind = op.WhichOneof("request")
            if kind == "range":
                if op.range.local or op.range.min_revision:
                    raise invalid(field, "local and min_revision are not allowed in a transaction")
                yield self.range(op.range)
            elif kind == "put":
                _refuse_request_id(field, op.put.HasField("request"))
                yield self.put(op.put)
            elif kind == "delete_range":
                _refuse_request_id(field, op.delete_range.HasField("request"))
                yield self.delete(op.delete_range)
            elif kind == "txn":
                _refuse_request_id(field, op.txn.HasField("request"))
                yield self._txn(op.txn)
            else:
                raise invalid(field, "holds an operation without a request")

    def _compare(self, compare: kv_pb2.Compare) -> Compare:
        kind = compare.WhichOneof("target")
        if kind is None:
            raise invalid("compares", "one has no target")
        try:
            operator = Operator(compare.operator)
        except ValueError:
            raise invalid("compares", f"unknown operator {compare.operator}") from None
        if kind == "exists" and operator not in (Operator.EQUAL, Operator.NOT_EQUAL):
            raise invalid("compares", "exists takes only EQUAL and NOT_EQUAL")
        operand = getattr(compare, kind)
        return Compare(
            selector=self.selector("compares.selector", compare.selector),
            operator=operator,
            target=Target[kind.upper()],
            operand=operand if kind == "value" else int(operand),
        )


def writes(txn: Txn) -> bool:
    """Whether a transaction holds an operation that may change something."""
    return any(
        writes(op) if isinstance(op, Txn) else not isinstance(op, Range)
        for op in (*txn.success, *txn.failure)
    )


def _refuse_request_id(field: str, present: bool) -> None:
    if present:
        raise invalid(field, "request is allowed only on the outermost transaction")


def _count(request: kv_pb2.TxnRequest, depth_left: int) -> int:
    if depth_left < 1:
        raise invalid("txn", "transactions are nested too deep")
    count = len(request.compares)
    for op in (*request.success, *request.failure):
        count += 1
        if op.WhichOneof("request") == "txn":
            count += _count(op.txn, depth_left - 1)
    return count
