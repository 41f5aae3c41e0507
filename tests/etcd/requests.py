"""Requests of etcd's API, written shortly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coordinator.gateways.etcd.pb import kv_pb2


@dataclass(frozen=True)
class Call:
    """One call, under a name of its own."""

    name: str
    method: str
    request: Any
    metadata: tuple[tuple[str, str], ...] = ()


def put(key: bytes, value: bytes = b"", **more: Any) -> kv_pb2.PutRequest:
    return kv_pb2.PutRequest(key=key, value=value, **more)


def get(key: bytes, range_end: bytes = b"", **more: Any) -> kv_pb2.RangeRequest:
    return kv_pb2.RangeRequest(key=key, range_end=range_end, **more)


def delete(key: bytes, range_end: bytes = b"", **more: Any) -> kv_pb2.DeleteRangeRequest:
    return kv_pb2.DeleteRangeRequest(key=key, range_end=range_end, **more)


def op(request: Any) -> kv_pb2.RequestOp:
    """Returns an operation of a transaction."""
    names = {
        kv_pb2.RangeRequest: "request_range",
        kv_pb2.PutRequest: "request_put",
        kv_pb2.DeleteRangeRequest: "request_delete_range",
        kv_pb2.TxnRequest: "request_txn",
    }
    return kv_pb2.RequestOp(**{names[type(request)]: request})


def txn(
    compares: tuple[kv_pb2.Compare, ...] = (),
    success: tuple[Any, ...] = (),
    failure: tuple[Any, ...] = (),
) -> kv_pb2.TxnRequest:
    return kv_pb2.TxnRequest(compare=compares, success=map(op, success), failure=map(op, failure))


def compare(key: bytes, target: str, result: str, **operand: Any) -> kv_pb2.Compare:
    return kv_pb2.Compare(key=key, target=target, result=result, **operand)
