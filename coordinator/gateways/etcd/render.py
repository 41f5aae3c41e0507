"""From results of the state machine to messages of etcd's API."""

from __future__ import annotations

from coordinator.gateways.etcd.pb import kv_pb2, mvcc_pb2
from coordinator.node.interface import Node
from coordinator.state.model import Event, KeyValue
from coordinator.state.results import DeleteResult, PutResult, RangeResult


def header(node: Node, revision: int | None = None) -> mvcc_pb2.ResponseHeader:
    """Returns the header of a reply; `revision` None: the store's current one."""
    return mvcc_pb2.ResponseHeader(
        cluster_id=node.state.cluster_id,
        member_id=node.member.id,
        revision=node.state.revision if revision is None else revision,
        raft_term=node.term,
    )


def key_value(kv: KeyValue) -> mvcc_pb2.KeyValue:
    """Returns the message of a key."""
    return mvcc_pb2.KeyValue(
        key=kv.key,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        value=kv.value,
        lease=kv.session,
    )


def range_response(result: RangeResult) -> kv_pb2.RangeResponse:
    """Returns the message of a range, without header."""
    return kv_pb2.RangeResponse(
        kvs=[key_value(kv) for kv in result.kvs], more=result.more, count=result.count
    )


def put_response(result: PutResult) -> kv_pb2.PutResponse:
    """Returns the message of a put, without header."""
    return kv_pb2.PutResponse(prev_kv=None if result.prev is None else key_value(result.prev))


def delete_response(result: DeleteResult) -> kv_pb2.DeleteRangeResponse:
    """Returns the message of a delete, without header."""
    return kv_pb2.DeleteRangeResponse(
        deleted=result.deleted, prev_kvs=[key_value(kv) for kv in result.prevs]
    )


def event(event: Event, revision: int, prev_kv: bool) -> mvcc_pb2.Event:
    """Returns the message of an event of `revision`."""
    prev = key_value(event.prev) if prev_kv and event.prev is not None else None
    if event.kv is not None:
        return mvcc_pb2.Event(type=mvcc_pb2.Event.PUT, kv=key_value(event.kv), prev_kv=prev)
    gone = mvcc_pb2.KeyValue(key=event.key, mod_revision=revision)
    return mvcc_pb2.Event(type=mvcc_pb2.Event.DELETE, kv=gone, prev_kv=prev)
