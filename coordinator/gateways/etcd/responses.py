"""The response to a transaction: each part of it says what the store's revision was for it."""

from __future__ import annotations

from coordinator.gateways.etcd import render
from coordinator.gateways.etcd.pb import kv_pb2 as pb
from coordinator.gateways.etcd.pb import mvcc_pb2
from coordinator.state.results import DeleteResult, PutResult, RangeResult, TxnResult


class TxnResponses:
    """Renders the results of one transaction, in the order in which its operations ran."""

    def __init__(self, revision: int) -> None:
        """`revision`: the store's after the transaction."""
        self._revision = revision
        self._before = revision
        self._written = False

    def txn(self, request: pb.TxnRequest, result: TxnResult) -> pb.TxnResponse:
        """Returns the message of a transaction, without header."""
        # Before its first write the store was one revision back, if there is a write at all.
        self._before = self._revision - 1 if _wrote(result) else self._revision
        return self._txn(request, result)

    def _txn(self, request: pb.TxnRequest, result: TxnResult) -> pb.TxnResponse:
        ops = request.success if result.succeeded else request.failure
        responses = [
            self._response(op, inner) for op, inner in zip(ops, result.responses, strict=True)
        ]
        return pb.TxnResponse(succeeded=result.succeeded, responses=responses)

    def _response(
        self, op: pb.RequestOp, result: RangeResult | PutResult | DeleteResult | TxnResult
    ) -> pb.ResponseOp:
        if isinstance(result, TxnResult):
            inner = self._txn(op.request_txn, result)
            inner.header.SetInParent()
            return pb.ResponseOp(response_txn=inner)
        self._written = self._written or _wrote(result)
        header = mvcc_pb2.ResponseHeader(revision=self._revision if self._written else self._before)
        if isinstance(result, RangeResult):
            range_ = render.range_response(result)
            range_.header.CopyFrom(header)
            return pb.ResponseOp(response_range=range_)
        if isinstance(result, PutResult):
            put = render.put_response(result)
            put.header.CopyFrom(header)
            return pb.ResponseOp(response_put=put)
        delete = render.delete_response(result)
        delete.header.CopyFrom(header)
        return pb.ResponseOp(response_delete_range=delete)


def _wrote(result: RangeResult | PutResult | DeleteResult | TxnResult) -> bool:
    if isinstance(result, TxnResult):
        return any(map(_wrote, result.responses))
    if isinstance(result, DeleteResult):
        return result.deleted > 0
    return isinstance(result, PutResult)
