"""Checks as a program declares them: what is wrong is refused with its field, the rest becomes the JSON of the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from coordinator_client import (
    Check,
    CheckResult,
    GrpcCheck,
    HttpCheck,
    InvalidArgument,
    TcpCheck,
    TtlCheck,
)
from coordinator_client.checks import definitions_of, parse_result, result_json


def test_checks_become_the_json_of_the_specification() -> None:
    checks: dict[str, Check] = {
        "plain": HttpCheck("/health"),
        "full": HttpCheck(
            "https://a.example:8443/x",
            method="HEAD",
            headers={"Host": "b.example"},
            status="200-204,301",
            body_contains="ok",
            tls_verify=False,
            interval=1.5,
            timeout=0.25,
            failures_before_critical=3,
            successes_before_passing=2,
            initial="passing",
            deregister_critical_after=60,
        ),
        "tcp": TcpCheck(port=81),
        "grpc": GrpcCheck(service="pay.v1", host="::1", tls=True),
        "ttl": TtlCheck(30),
    }
    paced = {"interval_ms": 10_000, "timeout_ms": 2000}
    assert definitions_of(checks) == {
        "plain": {"kind": "http", "url": "/health"} | paced,
        "full": {
            "kind": "http",
            "url": "https://a.example:8443/x",
            "method": "HEAD",
            "headers": {"Host": "b.example"},
            "status": "200-204,301",
            "body_contains": "ok",
            "tls_verify": False,
            "interval_ms": 1500,
            "timeout_ms": 250,
            "failures_before_critical": 3,
            "successes_before_passing": 2,
            "initial": "passing",
            "deregister_critical_after_ms": 60_000,
        },
        "tcp": {"kind": "tcp", "port": 81} | paced,
        "grpc": {"kind": "grpc", "service": "pay.v1", "host": "::1", "tls": True} | paced,
        "ttl": {"kind": "ttl", "ttl_ms": 30_000},
    }
    assert definitions_of(None) == {}


WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    *(
        (TcpCheck, {name: value}, name)
        for name, value in (
            ("interval", 0), ("interval", 0.01), ("interval", math.nan), ("interval", "1"), ("interval", 1e6),
            ("timeout", 0), ("timeout", 61), ("timeout", None), ("failures_before_critical", 0),
            ("failures_before_critical", 1.5), ("successes_before_passing", 101), ("initial", "draining"),
            ("initial", []), ("deregister_critical_after", 0), ("deregister_critical_after", True),
            ("host", ""), ("host", "[::1]"), ("host", 3), ("port", 0), ("port", 65_536), ("port", "80"),
        )
    ),
    *(
        (HttpCheck, {name: value}, name)
        for name, value in (
            ("url", ""), ("url", "health"), ("url", "ftp://a/"), ("url", "/a b"), ("url", "/" * 3000), ("url", 3),
            ("url", "http://"), ("url", "http://a:0/"), ("url", "http://u:p@a/"), ("url", "http://ä/"), ("url", "http://[::1/"),
            ("headers", {"Content-Length": "1"}), ("method", "DELETE"), ("method", "get"), ("headers", {"a b": "x"}),
            ("headers", {"a": "x\r\ny: z"}), ("headers", {"a": "x" * 2000}), ("headers", [("a", "b")]),
            ("headers", {"a": 3}), ("headers", {f"h{n}": "" for n in range(33)}), ("status", "2xx"), ("status", 200),
            ("status", "299-200"),
            ("status", "200,"), ("status", "600"), ("body_contains", "x" * 2000), ("body_contains", b"x"),
            ("tls_verify", "yes"),
        )
    ),
    *(
        (GrpcCheck, {name: value}, name)
        for name, value in (("service", 3), ("service", "x" * 2000), ("port", -1), ("tls", "no"))
    ),
    *((TtlCheck, {"ttl": value}, "ttl") for value in (0, 0.1, -1, math.inf, "3", None, 1e6)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "wrong", "name"), WRONG, ids=str)
def test_what_is_wrong_is_refused_with_its_name(
    kind: Callable[..., Any], wrong: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{name}\b"):
        kind(**wrong)


@pytest.mark.parametrize("wrong", [[], "x", {"a": {"kind": "tcp"}}, {"a": None}, {"a": Check()}])
def test_what_is_no_check_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="check"):
        definitions_of(wrong)


def test_results_come_back_as_they_went() -> None:
    for result in (CheckResult("passing"), CheckResult("critical", "kaputt, völlig")):
        assert parse_result(result_json(result)) == result
    for odd in (b"", b"[]", b'{"state": "starting"}', b'{"state": []}', b"[" * 100_000):
        assert parse_result(odd).status == "critical"
    for wrong in (
        CheckResult("starting"),
        CheckResult("passing", "x" * 5000),
        CheckResult("passing", "\ud800"),
    ):
        with pytest.raises(InvalidArgument):
            result_json(wrong)
