"""The calls of the API: their names, how requests are made, and what replies become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from coordinator_client import model, validation
from coordinator_client.errors import CoordinatorError, InvalidArgument
from coordinator_client.operations import Delete, Get, Nested, Operation, Put, Range
from coordinator_client.pb import (
    cluster_pb2,
    common_pb2,
    kv_pb2,
    registry_pb2,
    session_pb2,
    watch_pb2,
)

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)

MESSAGE_SIZE_BYTES_MAX = 16 * 1024 * 1024
ENDPOINTS_MAX = 64

# How connections behave. Pings let a silently dead node be noticed in seconds, on idle connections too; each client
# has connections of its own, so that one client's back-off does not hold up another's.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_SIZE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_SIZE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 4_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # Without this one, current versions of gRPC wait a minute for the answer to a ping, whatever the line above says.
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # In spite of its name this bounds one attempt to connect.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class Method(Generic[Request, Reply]):
    """One method of the API, unary or streaming."""

    path: str
    request: type[Request]
    reply: type[Reply]
    kind: str = ""
    """The field of a pipelined call that holds the request; empty: it has none."""

    def encode(self, request: Request) -> bytes:
        """Returns the bytes of a request."""
        return request.SerializeToString()

    def decode(self, reply: bytes) -> Reply:
        """Returns the reply in the bytes; raises DecodeError if there is none."""
        return self.reply.FromString(reply)


RANGE = Method("/coordinator.v1.KV/Range", kv_pb2.RangeRequest, kv_pb2.RangeResponse, "range")
PUT = Method("/coordinator.v1.KV/Put", kv_pb2.PutRequest, kv_pb2.PutResponse, "put")
DELETE_RANGE = Method(
    "/coordinator.v1.KV/DeleteRange",
    kv_pb2.DeleteRangeRequest,
    kv_pb2.DeleteRangeResponse,
    "delete_range",
)
TXN = Method("/coordinator.v1.KV/Txn", kv_pb2.TxnRequest, kv_pb2.TxnResponse, "txn")
COMPACT = Method(
    "/coordinator.v1.KV/Compact", kv_pb2.CompactRequest, kv_pb2.CompactResponse, "compact"
)
WATCH = Method("/coordinator.v1.Watch/Watch", watch_pb2.WatchRequest, watch_pb2.WatchResponse)
SESSION_OPEN = Method(
    "/coordinator.v1.Session/Open",
    session_pb2.SessionOpenRequest,
    session_pb2.SessionOpenResponse,
    "session_open",
)
SESSION_KEEP_ALIVE = Method(
    "/coordinator.v1.Session/KeepAlive",
    session_pb2.SessionKeepAliveRequest,
    session_pb2.SessionKeepAliveResponse,
)
SESSION_CLOSE = Method(
    "/coordinator.v1.Session/Close",
    session_pb2.SessionCloseRequest,
    session_pb2.SessionCloseResponse,
    "session_close",
)
SESSION_GET = Method(
    "/coordinator.v1.Session/Get",
    session_pb2.SessionGetRequest,
    session_pb2.SessionGetResponse,
    "session_get",
)
SESSION_LIST = Method(
    "/coordinator.v1.Session/List", session_pb2.SessionListRequest, session_pb2.SessionListResponse
)
DEREGISTER = Method(
    "/coordinator.v1.Registry/Deregister",
    registry_pb2.DeregisterRequest,
    registry_pb2.DeregisterResponse,
)
STATUS = Method(
    "/coordinator.v1.Cluster/Status", cluster_pb2.StatusRequest, cluster_pb2.StatusResponse
)
MEMBER_LIST = Method(
    "/coordinator.v1.Cluster/MemberList",
    cluster_pb2.MemberListRequest,
    cluster_pb2.MemberListResponse,
)

QUESTION = kv_pb2.RangeRequest(
    selector=common_pb2.Selector(key=b"/"), local=True, keys_only=True, limit=1
)
"""Asks a node for next to nothing, to hear whether it answers, and who leads."""


def parse_endpoints(endpoints: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the addresses in `endpoints`, a sequence or a comma-separated text of host:port.

    Raises InvalidArgument if there is none, or one has no port.
    """
    listed = [endpoints] if isinstance(endpoints, str) else endpoints
    parts = ",".join(validation.texts(listed, "endpoints")).split(",")
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise InvalidArgument("no endpoint given; say host:port, or several separated by commas")
    if len(found) > ENDPOINTS_MAX:
        raise InvalidArgument(f"more than {ENDPOINTS_MAX} endpoints")
    for endpoint in found:
        host, colon, port = endpoint.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        odd = "/" in host or any(letter.isspace() or not letter.isprintable() for letter in host)
        if not colon or not host or (":" in host and not bracketed) or odd:
            raise InvalidArgument(f"endpoint {endpoint!r} is not host:port")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
            raise InvalidArgument(f"endpoint {endpoint!r} has no port between 1 and 65535")
    return found


def parse_endpoint(endpoint: str) -> str:
    """Returns the one address in `endpoint`; raises InvalidArgument."""
    found = parse_endpoints(endpoint)
    if len(found) > 1:
        raise InvalidArgument(f"endpoint {validation.shown(endpoint)} is more than one")
    return found[0]


def milliseconds(seconds: float, name: str) -> int:
    """Returns a length of time as the API wants it; raises InvalidArgument unless it is a number >= 0."""
    return round(validation.wait(seconds, name) * 1000)


# --- what replies become ------------------------------------------------------------------------


def key_value(kv: common_pb2.KeyValue) -> model.KeyValue:
    """Returns a key as the program gets it."""
    return model.KeyValue(
        kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.session
    )


def event(message: common_pb2.Event) -> model.Event:
    """Returns an event as the program gets it."""
    is_put = message.type == common_pb2.Event.PUT
    return model.Event(
        model.EventType.PUT if is_put else model.EventType.DELETE,
        key_value(message.kv),
        key_value(message.prev_kv) if message.HasField("prev_kv") else None,
        cause(message.cause),
    )


_CAUSES: dict[int, model.Cause] = {
    common_pb2.CAUSE_DELETED: model.Cause.DELETED,
    common_pb2.CAUSE_SESSION_CLOSED: model.Cause.SESSION_CLOSED,
    common_pb2.CAUSE_SESSION_EXPIRED: model.Cause.SESSION_EXPIRED,
    common_pb2.CAUSE_CONNECTION_LOST: model.Cause.CONNECTION_LOST,
    common_pb2.CAUSE_CHECK_FAILED: model.Cause.CHECK_FAILED,
    common_pb2.CAUSE_DEREGISTERED: model.Cause.DEREGISTERED,
}


def cause(number: int) -> model.Cause:
    """Returns the cause of a delete; one that this version does not know is UNSPECIFIED."""
    return _CAUSES.get(number, model.Cause.UNSPECIFIED)


def put_result(reply: kv_pb2.PutResponse, revision: int) -> model.PutResult:
    """Returns what a put did."""
    prev = key_value(reply.prev_kv) if reply.HasField("prev_kv") else None
    return model.PutResult(reply.key, revision, prev)


def delete_result(reply: kv_pb2.DeleteRangeResponse, revision: int) -> model.DeleteResult:
    """Returns what a delete did."""
    prevs = tuple(key_value(kv) for kv in reply.prev_kvs)
    return model.DeleteResult(reply.deleted, revision, prevs)


def range_result(reply: kv_pb2.RangeResponse, revision: int) -> model.RangeResult:
    """Returns what a range read."""
    kvs = tuple(key_value(kv) for kv in reply.kvs)
    return model.RangeResult(kvs, reply.count, reply.more, revision, tuple(reply.children))


def txn_result(nested: Nested, reply: kv_pb2.TxnResponse, revision: int) -> model.TxnResult:
    """Returns what a transaction did; `nested` is the transaction that was sent."""
    ran = nested.then if reply.succeeded else nested.otherwise
    if len(ran) != len(reply.responses):
        raise CoordinatorError("the reply does not fit the transaction that was sent")
    responses = tuple(
        _response(operation, response, revision)
        for operation, response in zip(ran, reply.responses, strict=True)
    )
    return model.TxnResult(reply.succeeded, revision, responses)


def _response(
    operation: Operation, reply: kv_pb2.ResponseOp, revision: int
) -> (
    model.KeyValue
    | model.RangeResult
    | model.PutResult
    | model.DeleteResult
    | model.TxnResult
    | None
):
    match operation:
        case Put():
            return put_result(reply.put, revision)
        case Get():
            return key_value(reply.range.kvs[0]) if reply.range.kvs else None
        case Range():
            return range_result(reply.range, revision)
        case Delete():
            return delete_result(reply.delete_range, revision)
        case Nested():
            return txn_result(operation, reply.txn, revision)


def session_record(
    record: session_pb2.SessionRecord, keys: Sequence[bytes] = ()
) -> model.SessionRecord:
    """Returns a session as the program gets it."""
    grace = record.disconnect_grace_ms / 1000 if record.HasField("disconnect_grace_ms") else None
    return model.SessionRecord(
        record.id,
        record.ttl_ms / 1000,
        grace,
        dict(record.metadata),
        record.key_count,
        record.open_revision,
        tuple(keys),
    )


def member(message: cluster_pb2.Member) -> model.Member:
    """Returns a member as the program gets it."""
    return model.Member(
        message.id,
        message.name,
        message.peer_address,
        message.client_address,
        message.leader,
        message.connected,
        message.voter,
        message.lag if message.HasField("lag") else None,
    )


_ROLES = {
    cluster_pb2.StatusResponse.FOLLOWER: "follower",
    cluster_pb2.StatusResponse.CANDIDATE: "candidate",
    cluster_pb2.StatusResponse.LEADER: "leader",
    cluster_pb2.StatusResponse.LEARNER: "learner",
}

_ALARMS = {
    cluster_pb2.Alarm.DIVERGED: "diverged",
    cluster_pb2.Alarm.DISAGREEMENT: "disagreement",
    cluster_pb2.Alarm.SPACE_QUOTA: "space-quota",
    cluster_pb2.Alarm.DISK: "disk",
}


def member_status(reply: cluster_pb2.StatusResponse, endpoint: str) -> model.MemberStatus:
    """Returns the state of a member as the program gets it."""
    return model.MemberStatus(
        cluster_id=reply.header.cluster_id,
        member_id=reply.header.member_id,
        name=reply.name,
        version=reply.version,
        role=_ROLES.get(reply.role, "unknown"),
        leader_id=reply.leader_id,
        leader_name=reply.leader_name,
        term=reply.term,
        commit_index=reply.commit_index,
        applied_index=reply.applied_index,
        revision=reply.revision,
        compacted_revision=reply.compacted_revision,
        snapshot_index=reply.snapshot_index,
        journal_size_bytes=reply.journal_size_bytes,
        snapshot_size_bytes=reply.snapshot_size_bytes,
        key_count=reply.key_count,
        session_count=reply.session_count,
        watch_count=reply.watch_count,
        digest=reply.digest,
        uptime_s=reply.uptime_s,
        state_size_bytes=reply.state_size_bytes,
        history_size_bytes=reply.history_size_bytes,
        state_size_bytes_max=reply.state_size_bytes_max,
        disk_free_bytes=reply.disk_free_bytes if reply.HasField("disk_free_bytes") else None,
        alarms=tuple(
            model.Alarm(_ALARMS.get(alarm.kind, "unknown"), alarm.member_id, alarm.message)
            for alarm in reply.alarms
        ),
        endpoint=endpoint,
    )


def child_names(path: bytes, reply: model.RangeResult) -> list[str]:
    """Returns the names of the children of `path` (which ends with "/") in one page, each once."""
    names: dict[str, None] = {}
    for key in sorted([kv.key for kv in reply.kvs] + list(reply.children)):
        name = key[len(path) :].removesuffix(b"/")
        if name:
            names[name.decode(errors="backslashreplace")] = None
    return list(names)
