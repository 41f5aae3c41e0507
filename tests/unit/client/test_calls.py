from __future__ import annotations

import pytest

from coordinator_client import Cause, CoordinatorError, EventType, Get, InvalidArgument, Put, calls
from coordinator_client.model import KeyValue, PutResult, RangeResult
from coordinator_client.operations import Delete, Nested, Range
from coordinator_client.pb import (
    cluster_pb2,
    common_pb2,
    kv_pb2,
    registry_pb2,
    session_pb2,
    watch_pb2,
)


def test_endpoints() -> None:
    both = ("127.0.0.1:2379", "[::1]:2389")
    assert calls.parse_endpoints("127.0.0.1:2379, [::1]:2389,") == both
    assert calls.parse_endpoints([*both, "127.0.0.1:2379"]) == both


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " , ",
        [],
        "localhost",
        "localhost:",
        ":2379",
        "a:0",
        "a:65536",
        "a:1x",
        "::1:2379",
        "http://a:1",
        "a:²",
    ],
)
def test_malformed_endpoints(wrong: str | list[str]) -> None:
    with pytest.raises(InvalidArgument):
        calls.parse_endpoints(wrong)


def test_there_may_not_be_too_many_endpoints() -> None:
    with pytest.raises(InvalidArgument, match="more than"):
        calls.parse_endpoints([f"a:{port}" for port in range(1, 100)])


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
def test_lengths_of_time_are_numbers(wrong: float) -> None:
    assert calls.milliseconds(1.5, "ttl") == 1500
    with pytest.raises(InvalidArgument, match="ttl"):
        calls.milliseconds(wrong, "ttl")


def test_events() -> None:
    kv = common_pb2.KeyValue(key=b"/a", value=b"1", version=1)
    put = calls.event(common_pb2.Event(type=common_pb2.Event.PUT, kv=kv, prev_kv=kv))
    assert (put.type, put.prev) == (EventType.PUT, put.kv)
    delete = common_pb2.Event(
        type=common_pb2.Event.DELETE, kv=kv, cause=common_pb2.CAUSE_CONNECTION_LOST
    )
    gone = calls.event(delete)
    assert (gone.type, gone.prev, gone.cause) == (EventType.DELETE, None, Cause.CONNECTION_LOST)


def test_every_cause_is_known_and_a_new_one_is_not_an_error() -> None:
    known = {calls.cause(number) for number in common_pb2.Cause.values()}
    assert known == set(Cause)
    unknown = common_pb2.Event.FromString(b"\x20\x63")
    assert calls.event(unknown).cause is Cause.UNSPECIFIED


def test_a_transactions_results_fit_its_operations() -> None:
    nested = Nested(
        then=(Put("/a"), Get("/a"), Get("/b"), Range("/", prefix=True), Delete("/a"), Nested()),
        otherwise=(),
    )
    found = kv_pb2.RangeResponse(kvs=[common_pb2.KeyValue(key=b"/a")], count=1)
    reply = kv_pb2.TxnResponse(
        succeeded=True,
        responses=[
            kv_pb2.ResponseOp(put=kv_pb2.PutResponse(key=b"/a")),
            kv_pb2.ResponseOp(range=found),
            kv_pb2.ResponseOp(range=kv_pb2.RangeResponse()),
            kv_pb2.ResponseOp(range=found),
            kv_pb2.ResponseOp(delete_range=kv_pb2.DeleteRangeResponse(deleted=1)),
            kv_pb2.ResponseOp(txn=kv_pb2.TxnResponse(succeeded=True)),
        ],
    )
    put, present, missing, many, deleted, inner = calls.txn_result(nested, reply, 5).responses
    assert put == PutResult(b"/a", 5)
    assert isinstance(present, KeyValue)
    assert missing is None
    assert isinstance(many, RangeResult)
    assert len(many.kvs) == many.count == 1
    assert (deleted.deleted, inner.succeeded) == (1, True)  # type: ignore[union-attr]  # by position
    with pytest.raises(CoordinatorError, match="does not fit"):
        calls.txn_result(nested, kv_pb2.TxnResponse(succeeded=True), 5)
    assert calls.txn_result(nested, kv_pb2.TxnResponse(), 5).responses == ()


def test_a_session_record_knows_whether_it_has_a_grace() -> None:
    record = session_pb2.SessionRecord(id=7, ttl_ms=1500, metadata={"a": "b"})
    assert calls.session_record(record).disconnect_grace_s is None
    record.disconnect_grace_ms = 0
    found = calls.session_record(record, [b"/a"])
    assert (found.disconnect_grace_s, found.ttl_s, found.keys) == (0.0, 1.5, (b"/a",))
    assert found.metadata == {"a": "b"}


def test_members_and_their_status() -> None:
    status = cluster_pb2.StatusResponse(
        name="n1", role=cluster_pb2.StatusResponse.LEADER, uptime_s=1.5
    )
    found = calls.member_status(status, "a:1")
    assert (found.name, found.role, found.uptime_s, found.endpoint) == ("n1", "leader", 1.5, "a:1")
    assert calls.member_status(cluster_pb2.StatusResponse(), "a:1").role == "unknown"
    member = calls.member(cluster_pb2.Member(id=1, name="n1", leader=True))
    assert (member.id, member.name, member.leader) == (1, "n1", True)


def test_children_are_named_once() -> None:
    def kv(key: bytes) -> KeyValue:
        return KeyValue(key, b"", 1, 1, 1)

    page = RangeResult((kv(b"/a/"), kv(b"/a/b"), kv(b"/a/b-c")), 5, False, 9, (b"/a/b/", b"/a/d/"))
    assert calls.child_names(b"/a/", page) == ["b", "b-c", "d"]


def test_methods_name_what_the_protobuf_files_declare() -> None:
    methods = [value for value in vars(calls).values() if isinstance(value, calls.Method)]
    assert len(methods) == 14
    for method in methods:
        service_name, name = method.path.lstrip("/").split("/")
        services = {
            service.full_name: service
            for module in (kv_pb2, session_pb2, cluster_pb2, watch_pb2, registry_pb2)
            for service in module.DESCRIPTOR.services_by_name.values()
        }
        declared = services[service_name].methods_by_name[name]
        assert declared.input_type is method.request.DESCRIPTOR
        assert declared.output_type is method.reply.DESCRIPTOR
