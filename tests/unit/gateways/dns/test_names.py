"""Names mean what docs/dns.md says."""

from __future__ import annotations

import ipaddress

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gateways.dns.names import (
    Kind,
    Named,
    read_domain,
    read_name,
    write_host,
    write_name,
)

DOMAIN = read_domain("SD.example.com.")


def named(name: str) -> Named:
    labels = dns.name.from_text(name).canonicalize().labels[:-1]
    return read_name(labels, DOMAIN)


@pytest.mark.parametrize(
    ("name", "kind", "more"),
    [
        ("", Kind.APEX, {}),
        ("ns.", Kind.NAMESERVER, {}),
        ("service.", Kind.PARENT, {}),
        ("addr.", Kind.PARENT, {}),
        ("pay.service.", Kind.SERVICE, {"service": "pay"}),
        ("Blue.PAY.service.", Kind.SERVICE, {"service": "pay", "tag": "blue"}),
        ("v1.2.pay.service.", Kind.SERVICE, {"service": "pay", "tag": "v1.2"}),
        ("_x.pay.service.", Kind.SERVICE, {"service": "pay", "tag": "_x"}),
        ("_tcp.service.", Kind.PARENT, {}),
        ("_pay._tcp.service.", Kind.SERVICE_BY_RFC, {"service": "pay"}),
        ("_pay._udp.service.", Kind.SERVICE_BY_RFC, {"service": "pay"}),
        ("_pay._blue.service.", Kind.SERVICE_BY_RFC, {"service": "pay", "tag": "blue"}),
        ("pay._tcp.service.", Kind.NOTHING, {}),
        ("a._pay._tcp.service.", Kind.NOTHING, {}),
        ("_tcp.pay.service.", Kind.SERVICE, {"service": "pay", "tag": "_tcp"}),
        (
            "_Admin._Tcp.pay.service.",
            Kind.PORT,
            {"service": "pay", "port": "admin", "protocol": "tcp"},
        ),
        (
            "_h3._quic.pay.service.",
            Kind.PORT,
            {"service": "pay", "port": "h3", "protocol": "quic"},
        ),
        (
            "_grpc.Admin._tcp.pay.service.",
            Kind.PORT,
            {"service": "pay", "port": "grpc.admin", "protocol": "tcp"},
        ),
        ("_pay._.service.", Kind.NOTHING, {}),
        ("admin._tcp.pay.service.", Kind.SERVICE, {"service": "pay", "tag": "admin._tcp"}),
        ("a._admin._tcp.pay.service.", Kind.SERVICE, {"service": "pay", "tag": "a._admin._tcp"}),
        ("7F000001.addr.", Kind.ADDRESS, {"packed": b"\x7f\0\0\1"}),
        (f"{1:032x}.addr.", Kind.ADDRESS, {"packed": bytes(15) + b"\1"}),
        ("7f00001.addr.", Kind.NOTHING, {}),
        ("7f00000g.addr.", Kind.NOTHING, {}),
        ("a.7f000001.addr.", Kind.NOTHING, {}),
        ("other.", Kind.NOTHING, {}),
        ("a.ns.", Kind.NOTHING, {}),
        ("\\233.service.", Kind.SERVICE, {"service": "é"}),
    ],
)
def test_names_in_the_domain(name: str, kind: Kind, more: dict[str, object]) -> None:
    assert named(f"{name}sd.EXAMPLE.com.") == Named(kind, **more)  # type: ignore[arg-type]  # fields of Named


@pytest.mark.parametrize(
    "name",
    [".", "com.", "example.com.", "xsd.example.com.", "pay.service.coordinator.", "arpa.",
     "in-addr.arpa.", "1.in-addr.arpa.", "256.0.0.10.in-addr.arpa.", "01.0.0.10.in-addr.arpa.",
     "1.1.0.0.10.in-addr.arpa.", "x.0.0.10.in-addr.arpa.", "1.ip6.arpa.", "\\178.0.0.10.in-addr.arpa.",
     f"{'gg.' * 16}ip6.arpa.", f"{'10.' * 16}ip6.arpa.", f"{'g.' * 32}ip6.arpa."],
)  # fmt: skip
def test_names_of_others(name: str) -> None:
    assert named(name) == Named(Kind.OUTSIDE)


@given(st.ip_addresses())
def test_reverse_names(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    name = f"{address.reverse_pointer}."
    assert named(name) == Named(Kind.REVERSE, packed=address.packed)


@given(st.lists(st.binary(min_size=1, max_size=63).map(bytes.lower), max_size=4))
def test_any_name_means_something(labels: list[bytes]) -> None:
    for ending in (DOMAIN, (b"service", *DOMAIN), (b"addr", *DOMAIN), (b"in-addr", b"arpa"), ()):
        assert isinstance(read_name((*labels, *ending), DOMAIN), Named)


def test_names_are_written() -> None:
    assert write_name((b"a", b"bc")) == dns.name.from_text("a.bc.").to_wire()
    assert (
        write_host("db.example.com")
        == write_host("db.example.com.")
        == (dns.name.from_text("db.example.com.").to_wire())
    )
    for wrong in ("a..b", ".", "fe80::1%eth0", "::zz", "1.2.3", "a" * 64, ".".join(["a" * 60] * 5)):
        assert write_host(wrong) == b""
