"""From requests of etcd's API to operations of the state machine, checked as etcd checks them, in its order."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.config import Limits
from coordinator.gateways.etcd import errors
from coordinator.gateways.etcd.intervals import check_changes
from coordinator.gateways.etcd.pb import kv_pb2 as pb
from coordinator.rpc import Message
from coordinator.state.commands import (
    Compare,
    DeleteRange,
    Op,
    Operator,
    Order,
    Put,
    Range,
    Selector,
    Target,
    Txn,
)

FROM_KEY = b"\0"
"""As a range_end: every key from `key` on."""

_OPERATORS = {
    pb.Compare.EQUAL: Operator.EQUAL,
    pb.Compare.GREATER: Operator.GREATER,
    pb.Compare.LESS: Operator.LESS,
    pb.Compare.NOT_EQUAL: Operator.NOT_EQUAL,
}
_TARGETS = {
    pb.Compare.VERSION: (Target.VERSION, "version"),
    pb.Compare.CREATE: (Target.CREATE_REVISION, "create_revision"),
    pb.Compare.MOD: (Target.MOD_REVISION, "mod_revision"),
    pb.Compare.VALUE: (Target.VALUE, "value"),
    pb.Compare.LEASE: (Target.SESSION, "lease"),
}


def selector(key: bytes, range_end: bytes) -> Selector:
    """Returns the range that a key and a range_end name."""
    if not range_end:
        return Selector(key)
    return Selector(key, b"" if range_end == FROM_KEY else range_end)


def range_query(request: pb.RangeRequest) -> Range:
    """Returns what a range reads."""
    if not request.key:
        raise errors.empty_key()
    descending = request.sort_order == pb.RangeRequest.DESCEND
    # Keys come in ascending order of the key anyhow; another property sorts, even if no order is named.
    sorts = request.sort_order != pb.RangeRequest.NONE
    return Range(
        selector=selector(request.key, request.range_end),
        revision=max(request.revision, 0),
        limit=max(request.limit, 0),
        keys_only=request.keys_only,
        count_only=request.count_only,
        min_mod_revision=request.min_mod_revision,
        max_mod_revision=request.max_mod_revision,
        min_create_revision=request.min_create_revision,
        max_create_revision=request.max_create_revision,
        order=_order(request.sort_target) if sorts or request.sort_target else Order.KEY,
        descending=descending,
    )


def _order(target: int) -> Order:
    try:
        return Order(target)  # the numbers are etcd's
    except ValueError:
        return Order.KEY


def put(request: pb.PutRequest) -> Put:
    """Returns the operation of a put."""
    if not request.key:
        raise errors.empty_key()
    if request.ignore_value and request.value:
        raise errors.value_provided()
    if request.ignore_lease and request.lease:
        raise errors.lease_provided()
    if request.lease < 0:
        raise errors.lease_not_found()
    return Put(
        key=request.key,
        value=request.value,
        session=request.lease,
        prev_kv=request.prev_kv,
        keep_value=request.ignore_value,
        keep_session=request.ignore_lease,
    )


def delete(request: pb.DeleteRangeRequest) -> DeleteRange:
    """Returns the operation of a delete."""
    if not request.key:
        raise errors.empty_key()
    return DeleteRange(selector(request.key, request.range_end), request.prev_kv)


class Converter:
    """What depends on limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def check_size(self, request: Message) -> None:
        """Refuses a request that is too large as a whole."""
        if request.ByteSize() > self._limits.request_size_bytes_max:
            raise errors.request_too_large()

    def check_key(self, key: bytes) -> None:
        """Refuses a key that is too long to be written."""
        if len(key) > self._limits.key_size_bytes_max:
            raise errors.request_too_large()

    def txn(self, request: pb.TxnRequest) -> Txn:
        """Returns the operation of a transaction."""
        self._check_txn(request, 0, self._limits.txn_depth_max)
        check_changes(request)
        return self._txn(request, outermost=True)

    def _check_txn(self, request: pb.TxnRequest, ops_before: int, depth: int) -> None:
        ops = ops_before + max(len(request.compare), len(request.success), len(request.failure))
        if ops > self._limits.txn_ops_max or not depth:
            raise errors.too_many_ops()
        if any(not compare.key for compare in request.compare):
            raise errors.empty_key()
        for op in (*request.success, *request.failure):
            kind = op.WhichOneof("request")
            if kind == "request_range":
                range_query(op.request_range)
            elif kind == "request_put":
                put(op.request_put)
                self.check_key(op.request_put.key)
            elif kind == "request_delete_range":
                delete(op.request_delete_range)
            elif kind == "request_txn":
                self._check_txn(op.request_txn, ops, depth - 1)
            else:
                raise errors.key_not_found()

    def _txn(self, request: pb.TxnRequest, *, outermost: bool = False) -> Txn:
        return Txn(
            compares=tuple(c for each in request.compare if (c := compare(each)) is not None),
            success=tuple(self._ops(request.success)),
            failure=tuple(self._ops(request.failure)),
            decided_first=outermost,
        )

    def _ops(self, ops: Iterable[pb.RequestOp]) -> Iterable[Op]:
        for op in ops:
            kind = op.WhichOneof("request")
            if kind == "request_range":
                yield range_query(op.request_range)
            elif kind == "request_put":
                yield put(op.request_put)
            elif kind == "request_delete_range":
                yield delete(op.request_delete_range)
            else:
                yield self._txn(op.request_txn)


def compare(request: pb.Compare) -> Compare | None:
    """Returns a condition; None for one that always holds.

    An etcd takes an unknown result to hold, and an unknown target to be equal to whatever is given.
    """
    operator = _OPERATORS.get(request.result)
    if operator is None:
        return None
    range_ = selector(request.key, request.range_end)
    if request.target not in _TARGETS:
        if operator is Operator.EQUAL:
            return None
        return Compare(range_, Operator.LESS, Target.VERSION, 0)  # holds for no key
    target, field = _TARGETS[request.target]
    # What is given for another target counts as nothing.
    return Compare(range_, operator, target, getattr(request, field))
