"""Heads of calls: methods, timeouts, metadata, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.errors import Status
from coordinator.rpc import Service
from coordinator.wire.front.heads import Head, routes_of
from coordinator_client.pb import kv_pb2 as pb
from tests.unit.wire.echoing import Echoing
from tests.unit.wire.front.raw_client import call_fields

ROUTES = routes_of([Echoing().service(), Service("empty.Service", ())])


def head(*extra: tuple[str, str], path: str = "/test.Service/Echo", **replaced: str | None) -> Head:
    fields = call_fields(path, extra, **replaced)
    return Head([(name.encode(), value.encode()) for name, value in fields], ROUTES)


def test_a_plain_head() -> None:
    found = head()
    assert found.refusal is None and found.timeout_s is None and not found.window_bits
    assert found.route is not None and found.route.unary and found.route.name == "Echo"
    assert found.route.parse(b"") == pb.PutRequest()
    assert dict(found.metadata) == {}


def test_routes_know_their_kind() -> None:
    assert not ROUTES[b"/test.Service/Talk"].unary
    assert [path for path, route in ROUTES.items() if route.drains] == [b"/test.Service/Drain"]


@pytest.mark.parametrize(
    ("text", "timeout_s"),
    [
        ("1H", 3600),
        ("2M", 120),
        ("3S", 3),
        ("4m", 0.004),
        ("5u", 5e-6),
        ("6n", 6e-9),
        ("0m", 0),
        ("99999999S", 99_999_999),
    ],
)
def test_timeouts(text: str, timeout_s: float) -> None:
    found = head(("grpc-timeout", text))
    assert found.refusal is None and found.timeout_s == pytest.approx(timeout_s)


@pytest.mark.parametrize("text", ["", "5", "S", "-1S", "1.5S", "123456789S", "1s", "1 S", "٣S"])
def test_wrong_timeouts(text: str) -> None:
    assert refusal_of(head(("grpc-timeout", text))) == Status.INTERNAL.value


def refusal_of(found: Head) -> int:
    assert found.refusal is not None
    return found.refusal.status


@pytest.mark.parametrize(
    ("replaced", "status"),
    [
        ({"method": "GET"}, Status.INTERNAL),
        ({"te": None}, Status.INTERNAL),
        ({"content_type": None}, Status.INVALID_ARGUMENT),
        ({"content_type": "application/json"}, Status.INVALID_ARGUMENT),
        ({"content_type": "application/grpc-web"}, Status.INVALID_ARGUMENT),
        ({"path": "/test.Service/Nothing"}, Status.UNIMPLEMENTED),
        ({"path": "/empty.Service/Echo"}, Status.UNIMPLEMENTED),
        ({"path": "*"}, Status.UNIMPLEMENTED),
        ({"grpc_encoding": "snappy"}, Status.UNIMPLEMENTED),
        ({"grpc_encoding": "x" * 1000}, Status.UNIMPLEMENTED),
        ({"blob_bin": "*"}, Status.INTERNAL),
        ({"blob_bin": "AAAAA"}, Status.INTERNAL),
    ],
)
def test_refusals(replaced: dict[str, Any], status: Status) -> None:
    assert refusal_of(head(**replaced)) == status.value


@pytest.mark.parametrize(
    "content_type",
    [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;charset=utf-8",
        "Application/GRPC",
    ],
)
def test_content_types(content_type: str) -> None:
    assert head(content_type=content_type).refusal is None


@pytest.mark.parametrize("value", ["", "AAE=", "AAE", "AAEC", "/+8=", "AAE=,AAEC", "AAE, AA"])
def test_binary_metadata_is_checked_and_left_out(value: str) -> None:
    found = head(("blob-bin", value), ("note", "x"))
    assert found.refusal is None and dict(found.metadata) == {"note": "x"}


def test_metadata_are_what_the_protocol_does_not_say() -> None:
    found = head(
        ("a", "1"),
        ("a", "2"),
        ("grpc-timeout", "1S"),
        ("grpc-accept-encoding", "gzip"),
        ("grpc-encoding", "gzip"),
        ("user-agent", "me"),
        ("u8", "ä"),
    )
    assert dict(found.metadata) == {"a": "2", "user-agent": "me", "u8": "ä"}
    assert found.metadata is found.metadata
    assert found.window_bits == 31
    odd = Head([*((k.encode(), v.encode()) for k, v in call_fields("/x")), (b"l", b"\xe4")], ROUTES)
    assert odd.metadata["l"] == "ä"
