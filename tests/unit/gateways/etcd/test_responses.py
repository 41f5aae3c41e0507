"""Responses to transactions."""

from __future__ import annotations

from coordinator.gateways.etcd.pb import kv_pb2 as pb
from coordinator.gateways.etcd.responses import TxnResponses
from coordinator.state.results import DeleteResult, PutResult, RangeResult, TxnResult

READ = pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))
PUT = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
DELETE = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a"))


def test_revisions_of_parts() -> None:
    inner = pb.RequestOp(request_txn=pb.TxnRequest(failure=[READ, PUT, READ]))
    request = pb.TxnRequest(success=[READ, DELETE, inner, READ])
    inner_result = TxnResult(False, (RangeResult(()), PutResult(b"a"), RangeResult(())))
    result = TxnResult(True, (RangeResult(()), DeleteResult(0), inner_result, RangeResult(())))
    first, second, third, fourth = TxnResponses(9).txn(request, result).responses
    assert first.response_range.header.revision == 8
    assert second.response_delete_range.header.revision == 8
    parts = third.response_txn.responses
    assert parts[0].response_range.header.revision == 8
    assert parts[1].response_put.header.revision == 9
    assert parts[2].response_range.header.revision == 9
    assert third.response_txn.HasField("header") and not third.response_txn.header.revision
    assert fourth.response_range.header.revision == 9


def test_nothing_written() -> None:
    result = TxnResult(True, (DeleteResult(0), RangeResult(())))
    done = TxnResponses(9).txn(pb.TxnRequest(success=[DELETE, READ]), result)
    assert done.responses[0].response_delete_range.header.revision == 9
    assert done.responses[1].response_range.header.revision == 9
