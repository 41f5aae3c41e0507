"""What is written into the target, and where two stores differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coordinator.gateways.etcd.pb import kv_pb2, mvcc_pb2

OPS_MAX = 100
"""Of one transaction; etcd's own limit is 128."""
SIZE_BYTES_MAX = 1024 * 1024
"""Of the keys and values of one transaction; etcd's own limit for a request is 1.5 MiB."""
OVERHEAD_BYTES = 64


def bounds(prefix: bytes) -> tuple[bytes, bytes]:
    """Returns key and range_end of all keys that start with a prefix."""
    stem = prefix.rstrip(b"\xff")
    if not stem:
        return prefix or b"\0", b"\0"
    return prefix, stem[:-1] + bytes((stem[-1] + 1,))


def put_of(kv: mvcc_pb2.KeyValue) -> kv_pb2.RequestOp:
    """Returns the operation that makes a key what it is."""
    put = kv_pb2.PutRequest(key=kv.key, value=kv.value, lease=kv.lease)
    return kv_pb2.RequestOp(request_put=put)


def op_of(event: mvcc_pb2.Event) -> kv_pb2.RequestOp:
    """Returns the operation that does what an event tells."""
    if event.type == mvcc_pb2.Event.PUT:
        return put_of(event.kv)
    return kv_pb2.RequestOp(request_delete_range=kv_pb2.DeleteRangeRequest(key=event.kv.key))


def key_of(op: kv_pb2.RequestOp) -> bytes:
    """Returns the key that an operation changes."""
    return op.request_put.key or op.request_delete_range.key


def transactions(ops: Sequence[kv_pb2.RequestOp]) -> Iterator[list[kv_pb2.RequestOp]]:
    """Yields operations in groups that fit one transaction each; no key stands in a group twice."""
    group: list[kv_pb2.RequestOp] = []
    keys: set[bytes] = set()
    size = 0
    for op in ops:
        key, op_size = key_of(op), op.ByteSize() + OVERHEAD_BYTES
        if group and (len(group) == OPS_MAX or size + op_size > SIZE_BYTES_MAX or key in keys):
            yield group
            group, keys, size = [], set(), 0
        group.append(op)
        keys.add(key)
        size += op_size
    if group:
        yield group


@dataclass(frozen=True)
class Difference:
    """A key that is not in both stores what it is in one."""

    key: bytes
    what: str

    def __str__(self) -> str:
        return f"{self.key!r} {self.what}"


def compare(
    source: mvcc_pb2.KeyValue | None, target: mvcc_pb2.KeyValue | None
) -> Difference | None:
    """Returns how a key differs, if it does; None: it is missing there."""
    if source is None or target is None:
        found = source or target
        assert found is not None
        return Difference(found.key, "is missing" if target is None else "should not be there")
    if source.value != target.value:
        return Difference(source.key, "has another value")
    if bool(source.lease) != bool(target.lease):
        return Difference(source.key, "has a lease in one of them only")
    return None
