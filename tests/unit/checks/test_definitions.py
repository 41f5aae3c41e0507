"""What a definition asks for is read by rules that never raise anything but a sentence about a field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.checks.definitions import (
    Check,
    GrpcTarget,
    HttpTarget,
    TcpTarget,
    WrongCheck,
    parse_check,
)
from coordinator.config import Limits
from coordinator_client import Check as ClientCheck
from coordinator_client import GrpcCheck, HttpCheck, TcpCheck, TtlCheck


def parse(fields: dict[str, Any]) -> Check:
    return parse_check(fields, "10.0.0.7", 80, Limits())


def http(url: str, **fields: Any) -> HttpTarget:
    found = parse({"kind": "http", "url": url} | fields).target
    assert isinstance(found, HttpTarget)
    return found


def test_what_is_left_out_has_a_meaning() -> None:
    assert parse({"kind": "tcp", "later": [1]}) == Check(
        TcpTarget("10.0.0.7", 80), 10.0, 2.0, 2, 1, None
    )
    assert parse({"kind": "ttl", "ttl_ms": 500, "deregister_critical_after_ms": 60_000}) == Check(
        None, 0.0, 0.0, 1, 1, 60.0
    )
    assert parse({"kind": "grpc", "service": "a.B"}).target == GrpcTarget(
        "10.0.0.7", 80, "a.B", False
    )
    nothing = dict.fromkeys(["interval_ms", "timeout_ms", "host", "port", "initial"])
    assert parse({"kind": "tcp"} | nothing) == parse({"kind": "tcp"})
    short = parse({"kind": "tcp", "interval_ms": 1000})
    assert (short.interval_s, short.timeout_s) == (1.0, 2.0)


def test_urls_are_absolute_or_at_the_instance() -> None:
    plain = http("/health?deep=1")
    assert (plain.host, plain.port, plain.tls, plain.path) == (
        "10.0.0.7",
        80,
        False,
        "/health?deep=1",
    )
    # A path with two slashes is one, too, and no host.
    double = http("//evil.example/x")
    assert (double.host, double.port, double.path) == ("10.0.0.7", 80, "//evil.example/x")
    secure = http("https://[2001:db8::1]:8443")
    assert (secure.host, secure.port, secure.tls, secure.path) == ("2001:db8::1", 8443, True, "/")
    assert [http(url).authority for url in ("http://a:80/", "https://a/", "http://a:81/", "http://[::1]:9/")] == [
        "a", "a", "a:81", "[::1]:9",
    ]  # fmt: skip


def test_expected_statuses() -> None:
    target = http("/", status="200-204,301")
    codes = (199, 200, 204, 205, 301, 302)
    assert [target.expects(code) for code in codes] == [False, True, True, False, True, False]


WRONG = [
    *(("tcp", {name: value}, name) for name, value in (
        ("kind", "udp"), ("kind", None), ("interval_ms", 999), ("interval_ms", 10.5), ("interval_ms", True),
        ("interval_ms", 10**30), ("timeout_ms", 0), ("timeout_ms", 60_001), ("failures_before_critical", 0),
        ("successes_before_passing", 101), ("initial", "draining"), ("initial", []), ("host", ""), ("host", 3),
        ("host", "a b"), ("port", 0), ("port", 65_536), ("deregister_critical_after_ms", 0),
    )),
    *(("http", {name: value}, name) for name, value in (
        ("url", "health"), ("url", ""), ("url", "ftp://a/"), ("url", "http://"), ("url", "http://a:x/"),
        ("url", "http://u:p@a/"), ("url", "http://a:99999/"), ("url", "http://[::1/"), ("url", "/a b"),
        ("url", "http://a:0/"), ("url", "/" * 3000), ("url", "http://ä/"), ("url", "/x#y"), ("url", ["/"]),
        ("method", "DELETE"), ("method", []),
        ("headers", []), ("headers", {"a b": ""}), ("headers", {"a": "x\ny"}), ("headers", {"a": 1}),
        ("headers", {"Transfer-Encoding": "chunked"}), ("headers", {f"h{n}": "" for n in range(33)}), ("status", 200),
            ("status", "299-200"),
        ("status", "2xx"), ("status", "200;"), ("body_contains", "x" * 2000), ("body_contains", 3),
        ("tls_verify", 1),
    )),
    ("grpc", {"service": 3}, "service"), ("grpc", {"tls": "yes"}, "tls"),
    ("ttl", {}, "ttl_ms"), ("ttl", {"ttl_ms": 499}, "ttl_ms"), ("ttl", {"ttl_ms": "1"}, "ttl_ms"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "wrong", "name"), WRONG, ids=str)
def test_what_is_wrong_is_told_with_its_name(kind: str, wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(WrongCheck, match=rf"^{name}\b"):
        parse({"kind": kind} | wrong)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = [
    "url", "interval_ms", "timeout_ms", "initial", "host", "port", "status", "headers", "method", "tls", "service",
    "body_contains", "failures_before_critical", "deregister_critical_after_ms", "ttl_ms", "tls_verify",
]  # fmt: skip
URLS = st.text(alphabet="htps:/[]@?#a0.%9", max_size=20).map(lambda text: "http://" + text)


@settings(max_examples=40)
@given(
    st.sampled_from(["http", "tcp", "grpc", "ttl"]),
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING | URLS),
)
def test_nothing_else_is_raised(kind: str, fields: dict[str, Any]) -> None:
    try:
        check = parse({"kind": kind} | fields)
    except WrongCheck:
        return
    assert (0 < check.timeout_s <= 60 and check.interval_s >= 1) or check.target is None


TIMES = st.floats(1, 1000, allow_nan=False)
HOSTS = st.none() | st.sampled_from(["a.example", "::1", "10.0.0.1"])
PORTS = st.none() | st.integers(1, 65_535)


def client_checks() -> st.SearchStrategy[ClientCheck]:
    paced = {
        "interval": TIMES,
        "timeout": st.floats(0.001, 1, allow_nan=False),
        "failures_before_critical": st.integers(1, 100),
        "initial": st.sampled_from(["starting", "critical"]),
        "deregister_critical_after": st.none() | TIMES,
    }
    urls = st.sampled_from(["/", "/a?b=c", "http://h", "https://[::1]:8443/x%20y", "http://h:1/?"])
    names = st.text(alphabet="ab-", min_size=1, max_size=3)
    return st.one_of(
        st.builds(
            HttpCheck,
            urls,
            method=st.sampled_from(["GET", "POST"]),
            headers=st.dictionaries(names, st.text(alphabet='xyz "ü', max_size=9)),
            status=st.sampled_from(["200", "200-299,404"]),
            body_contains=st.text(max_size=9).filter(lambda text: text.isprintable()),
            tls_verify=st.booleans(),
            **paced,
        ),
        st.builds(TcpCheck, host=HOSTS, port=PORTS, **paced),
        st.builds(GrpcCheck, host=HOSTS, port=PORTS, tls=st.booleans(), service=names, **paced),
        st.builds(TtlCheck, TIMES),
    )


@settings(max_examples=40)
@given(client_checks())
def test_what_the_client_library_accepts_is_understood(check: ClientCheck) -> None:
    found = parse(check.to_json())
    after = check.deregister_critical_after
    assert found.deregister_s == (None if after is None else round(after * 1000) / 1000)
