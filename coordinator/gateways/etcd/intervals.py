"""Which keys a transaction would change twice: etcd refuses it before it looks at any key.

A branch must not put a key twice, nor put one that it deletes; what inner transactions do counts, but puts in the two
branches of one exclude each other. Deletes may overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coordinator.gateways.etcd import errors
from coordinator.gateways.etcd.pb import kv_pb2 as pb

FROM_KEY = b"\0"

Interval = tuple[bytes, bytes | None]
"""The keys [first, second); None: no upper end."""


def check_changes(request: pb.TxnRequest) -> None:
    """Raises EtcdError for a transaction that may change a key twice."""
    for branch in (request.success, request.failure):
        _changes(branch)


def _changes(ops: Sequence[pb.RequestOp]) -> tuple[set[bytes], list[Interval]]:
    """Returns the keys that a branch puts and the intervals that it deletes."""
    deleted = [
        _interval(op.request_delete_range)
        for op in ops
        if op.WhichOneof("request") == "request_delete_range"
    ]
    put: set[bytes] = set()
    for op in ops:
        if op.WhichOneof("request") != "request_txn":
            continue
        success, success_deleted = _changes(op.request_txn.success)
        failure, failure_deleted = _changes(op.request_txn.failure)
        _add(put, success, deleted)
        for key in failure:
            if key in put and key not in success:
                raise errors.duplicate_key()
            _refuse_deleted(key, deleted)
        put |= failure
        deleted += success_deleted
        deleted += failure_deleted
    for op in ops:
        if op.WhichOneof("request") == "request_put":
            _add(put, (op.request_put.key,), deleted)
    return put, deleted


def _add(put: set[bytes], keys: Iterable[bytes], deleted: list[Interval]) -> None:
    for key in keys:
        if key in put:
            raise errors.duplicate_key()
        _refuse_deleted(key, deleted)
        put.add(key)


def _refuse_deleted(key: bytes, deleted: list[Interval]) -> None:
    if any(first <= key and (end is None or key < end) for first, end in deleted):
        raise errors.duplicate_key()


def _interval(request: pb.DeleteRangeRequest) -> Interval:
    if not request.range_end:
        return request.key, request.key + b"\0"
    return request.key, None if request.range_end == FROM_KEY else request.range_end
