"""From results and records of the state machine to messages of the native API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from coordinator.api.framing import field, varint_field
from coordinator.errors import OutcomeUnknown, RequestError, Status
from coordinator.node.interface import Node
from coordinator.pieces import Pieced
from coordinator.state.model import Event, KeyValue, Session
from coordinator.state.results import (
    Code,
    DeleteResult,
    Failure,
    PutResult,
    RangeResult,
    TxnResult,
)
from coordinator_client.pb import common_pb2, kv_pb2, session_pb2

_STATUS = {
    Code.COMPACTED: (Status.OUT_OF_RANGE, "compacted_revision"),
    Code.FUTURE_REVISION: (Status.OUT_OF_RANGE, "revision"),
    Code.SESSION_NOT_FOUND: (Status.NOT_FOUND, "session"),
    Code.SESSION_EXISTS: (Status.ALREADY_EXISTS, "session"),
    Code.DUPLICATE_KEY: (Status.INVALID_ARGUMENT, ""),
    Code.SEQUENCE_EXHAUSTED: (Status.RESOURCE_EXHAUSTED, ""),
    Code.REQUEST_WINDOW: (Status.RESOURCE_EXHAUSTED, ""),
    Code.TOO_MUCH_WORK: (Status.RESOURCE_EXHAUSTED, ""),
    Code.KEY_NOT_FOUND: (Status.NOT_FOUND, ""),
    Code.UNDECODABLE: (Status.INTERNAL, ""),
}


def error(failure: Failure) -> RequestError:
    """Returns the exception for a failure that the state machine answered with."""
    if failure.code is Code.REQUEST_FORGOTTEN:
        # Tells a client that its session ended from a write that may still be under way, for which to ask again.
        return OutcomeUnknown(failure.message, {"session": str(failure.value)})
    status, name = _STATUS[failure.code]
    details = {name: str(failure.value)} if name else {}
    return RequestError(status, failure.code.name, failure.message, details)


def header(
    node: Node, revision: int | None = None, *, local: bool = False
) -> common_pb2.ResponseHeader:
    """Returns the header of a reply; `revision` None: the store's current one."""
    return common_pb2.ResponseHeader(
        cluster_id=node.state.cluster_id,
        member_id=node.member.id,
        revision=node.state.revision if revision is None else revision,
        term=node.term,
        local=local,
    )


@lru_cache(maxsize=16)
def _constant_parts(cluster_id: int, member_id: int, term: int) -> bytes:
    """Returns what is the same in the headers of most replies, encoded."""
    message = common_pb2.ResponseHeader(cluster_id=cluster_id, member_id=member_id, term=term)
    return message.SerializeToString()


def encoded_header(node: Node, revision: int) -> bytes:
    """Returns a header as it stands in field 1 of every reply."""
    constant = _constant_parts(node.state.cluster_id, node.member.id, node.term)
    return field(1, constant + varint_field(3, revision))


def encoded_put_response(result: PutResult, header: bytes) -> Pieced:
    """Returns the message of a put, with its encoded header; one is asked for more often than for any other."""
    encoded = header + field(2, result.key)
    if result.prev is not None:
        encoded += field(3, key_value(result.prev).SerializeToString())
    return Pieced(_NOTHING, (encoded,))


_NOTHING = kv_pb2.PutResponse()


def key_value(kv: KeyValue) -> common_pb2.KeyValue:
    """Returns the message of a key."""
    return common_pb2.KeyValue(
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        session=kv.session,
    )


def range_response(
    result: RangeResult, header: common_pb2.ResponseHeader | None = None
) -> kv_pb2.RangeResponse:
    """Returns the message of a range."""
    response = kv_pb2.RangeResponse(
        header=header, children=result.children, more=result.more, count=result.count
    )
    # Made in their place: messages that are copied there take twice as long.
    add = response.kvs.add
    for kv in result.kvs:
        add(
            key=kv.key,
            value=kv.value,
            create_revision=kv.create_revision,
            mod_revision=kv.mod_revision,
            version=kv.version,
            session=kv.session,
        )
    return response


def put_response(
    result: PutResult, header: common_pb2.ResponseHeader | None = None
) -> kv_pb2.PutResponse:
    """Returns the message of a put."""
    prev = None if result.prev is None else key_value(result.prev)
    return kv_pb2.PutResponse(header=header, key=result.key, prev_kv=prev)


def delete_response(
    result: DeleteResult, header: common_pb2.ResponseHeader | None = None
) -> kv_pb2.DeleteRangeResponse:
    """Returns the message of a delete."""
    prevs = [key_value(kv) for kv in result.prevs]
    return kv_pb2.DeleteRangeResponse(header=header, deleted=result.deleted, prev_kvs=prevs)


def txn_response(
    result: TxnResult, header: common_pb2.ResponseHeader | None = None
) -> kv_pb2.TxnResponse:
    """Returns the message of a transaction."""
    responses = [_response_op(r) for r in result.responses]
    return kv_pb2.TxnResponse(header=header, succeeded=result.succeeded, responses=responses)


def _response_op(result: RangeResult | PutResult | DeleteResult | TxnResult) -> kv_pb2.ResponseOp:
    if isinstance(result, RangeResult):
        return kv_pb2.ResponseOp(range=range_response(result))
    if isinstance(result, PutResult):
        return kv_pb2.ResponseOp(put=put_response(result))
    if isinstance(result, DeleteResult):
        return kv_pb2.ResponseOp(delete_range=delete_response(result))
    return kv_pb2.ResponseOp(txn=txn_response(result))


def event(event: Event, revision: int, prev_kv: bool) -> common_pb2.Event:
    """Returns the message of an event of `revision`."""
    prev = key_value(event.prev) if prev_kv and event.prev is not None else None
    if event.kv is not None:
        return common_pb2.Event(type=common_pb2.Event.PUT, kv=key_value(event.kv), prev_kv=prev)
    return common_pb2.Event(
        type=common_pb2.Event.DELETE,
        kv=common_pb2.KeyValue(key=event.key, mod_revision=revision),
        prev_kv=prev,
        cause=common_pb2.Cause.Name(int(event.cause)),
    )


def event_batches(
    events: Iterable[Event], revision: int, prev_kv: bool, size_bytes_max: int
) -> list[common_pb2.EventBatch]:
    """Returns the events of one revision as one batch, or as several partial ones of about the size."""
    parts = list(_parts((event(e, revision, prev_kv) for e in events), size_bytes_max))
    return [
        common_pb2.EventBatch(revision=revision, events=part, partial=i + 1 < len(parts))
        for i, part in enumerate(parts)
    ]


def _parts(
    events: Iterable[common_pb2.Event], size_bytes_max: int
) -> Iterator[list[common_pb2.Event]]:
    part: list[common_pb2.Event] = []
    size = 0
    for message in events:
        part.append(message)
        size += message.ByteSize()
        if size >= size_bytes_max:
            yield part
            part, size = [], 0
    if part:
        yield part


def session(record: Session, key_count: int) -> session_pb2.SessionRecord:
    """Returns the message of a session."""
    return session_pb2.SessionRecord(
        id=record.id,
        ttl_ms=record.ttl_ms,
        disconnect_grace_ms=record.disconnect_grace_ms,
        metadata=dict(record.metadata),
        key_count=key_count,
        open_revision=record.open_revision,
    )
