"""Health checks go through messages as they stand in definitions, and what is wrong names its field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.api.registry_checks import check_fields, check_message, judge_checks
from coordinator.catalog.check_fields import FIELDS
from coordinator.catalog.definitions import FieldError
from coordinator.config import Limits
from coordinator_client import GrpcCheck, HttpCheck, TcpCheck, TtlCheck
from coordinator_client.pb import registry_pb2 as pb

HTTP = HttpCheck(
    "https://a.example/health?deep=1",
    method="HEAD",
    headers={"Accept": "text/plain"},
    status="200,404",
    body_contains="fine",
    tls_verify=False,
    interval=5.0,
    timeout=1.0,
    failures_before_critical=3,
    successes_before_passing=4,
    initial="passing",
    deregister_critical_after=60.0,
)
KINDS = ("http", "tcp", "grpc", "ttl")


def judge(**fields: Any) -> None:
    judge_checks({"web": pb.Check(**fields)}, "10.0.0.7", 80, Limits())


@pytest.mark.parametrize(
    "check",
    [
        HTTP,
        TcpCheck(host="10.0.0.9", port=81),
        GrpcCheck(service="a.B", host="h", port=82, tls=True),
        TtlCheck(1.5, deregister_critical_after=9.0),
    ],
    ids=KINDS,
)
def test_checks_come_back_as_they_went(check: Any) -> None:
    fields = check.to_json()
    message = check_message(fields)
    assert check_fields("web", message) == fields
    judge_checks({"web": message}, "10.0.0.7", 80, Limits())


def test_what_is_not_set_is_left_out() -> None:
    assert check_fields("web", pb.Check(http=pb.HttpCheck())) == {"kind": "http"}
    told = check_fields("web", pb.Check(http=pb.HttpCheck(tls_verify=True)))
    assert told == {"kind": "http", "tls_verify": True}
    judge(http=pb.HttpCheck())
    judge(ttl=pb.TtlCheck(ttl_ms=500), deregister_critical_after_ms=1)


def test_messages_have_a_field_for_all_that_a_definition_may_say() -> None:
    message = pb.Check()
    parts = [message, *(getattr(message, kind) for kind in KINDS)]
    names = {field.name for part in parts for field in part.DESCRIPTOR.fields}
    assert names - set(KINDS) == FIELDS - {"kind"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, ""),
        ({"interval_ms": 5_000}, ""),
        ({"http": pb.HttpCheck(url="ftp://a/")}, ".http.url"),
        ({"http": pb.HttpCheck(url="http://a:0/")}, ".http.url"),
        ({"http": pb.HttpCheck(method="DELETE")}, ".http.method"),
        ({"http": pb.HttpCheck(headers={"Content-Length": "1"})}, ".http.headers"),
        ({"http": pb.HttpCheck(headers={"A": "b\r\nc"})}, ".http.headers"),
        ({"http": pb.HttpCheck(status="ok")}, ".http.status"),
        ({"http": pb.HttpCheck(body_contains="x" * 1_025)}, ".http.body_contains"),
        ({"tcp": pb.TcpCheck(host="a b")}, ".tcp.host"),
        ({"tcp": pb.TcpCheck(port=65_536)}, ".tcp.port"),
        ({"grpc": pb.GrpcCheck(service="x" * 1_025)}, ".grpc.service"),
        ({"ttl": pb.TtlCheck()}, ".ttl.ttl_ms"),
        ({"ttl": pb.TtlCheck(ttl_ms=499)}, ".ttl.ttl_ms"),
        ({"ttl": pb.TtlCheck(ttl_ms=500), "interval_ms": 5_000}, ".interval_ms"),
        ({"ttl": pb.TtlCheck(ttl_ms=500), "initial": "STATE_PASSING"}, ".initial"),
        ({"tcp": pb.TcpCheck(), "interval_ms": 999}, ".interval_ms"),
        ({"tcp": pb.TcpCheck(), "interval_ms": -1}, ".interval_ms"),
        ({"tcp": pb.TcpCheck(), "timeout_ms": 60_001}, ".timeout_ms"),
        ({"tcp": pb.TcpCheck(), "failures_before_critical": 101}, ".failures_before_critical"),
        ({"tcp": pb.TcpCheck(), "successes_before_passing": 101}, ".successes_before_passing"),
        ({"tcp": pb.TcpCheck(), "initial": "STATE_DRAINING"}, ".initial"),
        ({"tcp": pb.TcpCheck(), "initial": 99}, ".initial"),
        ({"tcp": pb.TcpCheck(), "deregister_critical_after_ms": -1}, ".deregister_critical_after_ms"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        judge(**fields)
    assert caught.value.field == f"checks[web]{field}"
    assert caught.value.message.startswith(("is ", "has ", "the value of "))


@pytest.mark.parametrize("name", ["", "a b", "ö", "a\r\nb", "x" * 129, "x" * 300_000])
@pytest.mark.parametrize("check", [pb.Check(), pb.Check(tcp=pb.TcpCheck())], ids=["none", "tcp"])
def test_a_wrong_name_is_told_in_few_words(name: str, check: pb.Check) -> None:
    with pytest.raises(FieldError) as caught:
        check_fields(name, check)
    assert caught.value.field == "checks"
    assert repr(name[:140]) in caught.value.message and len(caught.value.message) < 300


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from([*KINDS, "warning"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(), st.one_of(st.text(), st.integers()), max_size=2),
)


@given(st.dictionaries(st.sampled_from([*sorted(FIELDS), "other", "http"]), VALUES))
def test_whatever_stands_in_a_definition_can_be_told(fields: dict[str, Any]) -> None:
    message = check_message(fields)
    assert pb.Check.FromString(message.SerializeToString()) == message
    if message.WhichOneof("kind") is not None:
        told = check_fields("web", message)
        assert all(name in fields for name in told)
        assert all(told[name] == fields[name] for name in told if name != "headers")
