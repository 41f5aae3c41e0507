"""Which transactions change a key twice."""

from __future__ import annotations

import pytest

from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.intervals import check_changes
from coordinator.gateways.etcd.pb import kv_pb2 as pb


def put(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key))


def delete(key: bytes, end: bytes = b"") -> pb.RequestOp:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=end))


def txn(success: list[pb.RequestOp], failure: list[pb.RequestOp] | None = None) -> pb.RequestOp:
    return pb.RequestOp(request_txn=pb.TxnRequest(success=success, failure=failure or []))


@pytest.mark.parametrize(
    "ops",
    [
        [put(b"a"), put(b"b")],
        [delete(b"a", b"c"), delete(b"b", b"d")],
        [delete(b"b", b"c"), put(b"a"), put(b"c")],
        [txn([put(b"a")], [put(b"a")])],
        [put(b"a"), txn([], [put(b"b")])],
    ],
)
def test_what_is_allowed(ops: list[pb.RequestOp]) -> None:
    check_changes(pb.TxnRequest(success=ops, failure=ops))


@pytest.mark.parametrize(
    "ops",
    [
        [put(b"a"), put(b"a")],
        [put(b"b"), delete(b"a", b"c")],
        [delete(b"a"), put(b"a")],
        [put(b"z"), delete(b"a", b"\0")],
        [put(b"a"), txn([], [put(b"a")])],
        [txn([put(b"a")]), txn([put(b"a")])],
        [delete(b"a"), txn([put(b"a")])],
        [put(b"a"), txn([delete(b"a")])],
    ],
)
def test_what_is_refused(ops: list[pb.RequestOp]) -> None:
    for request in (pb.TxnRequest(success=ops), pb.TxnRequest(failure=ops)):
        with pytest.raises(EtcdError, match="duplicate key given in txn request"):
            check_changes(request)
