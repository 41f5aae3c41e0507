"""Targets: what stands in the keys of services, and what asks for services over DNS."""

from __future__ import annotations

import contextlib

import dns.exception
import dns.message

from coordinator.catalog.health import judge, parse_result
from coordinator.catalog.instances import (
    STATUSES,
    UNKNOWN,
    parse_instance,
    parse_state,
    split_check_key,
    split_key,
)
from coordinator.catalog.service_settings import PROXIES_MAX, parse_settings
from coordinator.checks.definitions import WrongCheck, parse_check
from coordinator.config import Limits
from coordinator.gateways.dns.forwarding import answers
from coordinator.gateways.dns.queries import Malformed, read_query
from coordinator.gateways.dns.responder import Forward
from coordinator.state.model import KeyValue
from coordinator_client import KeyValue as ClientKeyValue
from coordinator_client import service_settings, stored_views
from coordinator_client.views import ServiceTable
from tests.fuzz.target import Target, pack, unpack
from tests.unit.gateways.dns.stage import CLIENT, Stock, make_responder, query

DEFINITIONS = [
    b'{"address": "10.0.0.7", "port": 80, "tags": ["a.b"], "ports": {"admin": 81}, "weight": 3}',
    b'{"address": "db.example.com", "port": 1, "metadata": {"k": "v"}, "zone": "z", "version": "1"}',
    b'{"address": "2001:db8::1", "port": 65535, "tags": null, "later": [{}]}',
    b'{"address": "a", "port": 1, "ports": {"log": {"port": 514, "protocol": "udp"}}}',
    b'{"address": "a", "port": 1, "checks": {"web": {"kind": "http", "url": "https://a:1/x?y", "status": "200-299"}}}',
    b'{"address": "a", "port": 1, "checks": {"t": {"kind": "ttl", "ttl_ms": 500}, "g": {"kind": "grpc", "tls": true}}}',
]
_STATES = [b'{"state": "warning", "note": "slow"}', b'{"state": "draining"}']
_KEYS = [
    b"/services/pay/instances/i-1",
    b"/services/pay/state/i-1",
    b"/services/pay/settings",
    b"/services/pay/checks/i-1/web",
]
_SETTINGS = [
    b'{"proxies": [%s]}' % b", ".join(DEFINITIONS),
    b'{"proxies": [{"address": "10.0.0.9", "port": 443, "id": "edge"}], "guard": {}}',
]


def check_key(content: bytes) -> None:
    """A key and a value: an instance within its bounds, a state that is known, or nothing."""
    key, value = [*unpack(content), b"", b""][:2]
    parts, check = split_key(key), split_check_key(key)
    assert parts is None or b"/".join((b"/services", *(p.encode() for p in parts if p))) == key
    assert check is None or f"/services/{check[0]}/checks/{check[1]}/{check[2]}".encode() == key
    assert parse_state(value).status in STATUSES
    instance = parse_instance("pay", "a", KeyValue(key, value, 1, 1, 1, 0), UNKNOWN)
    if instance is not None:
        assert 0 < instance.port < 65536 and len(instance.tags) <= 64
        assert len(instance.packed) in (0, 4, 16)
        judged = judge(instance, UNKNOWN, {"web": parse_result(KeyValue(key, value, 1, 1, 1, 0))})
        assert judged.state == UNKNOWN and judged.checks.keys() == instance.check_definitions.keys()
        for fields in instance.check_definitions.values():
            with contextlib.suppress(WrongCheck):
                parse_check(fields, instance.address, instance.port, Limits())


def check_settings(content: bytes) -> None:
    """Settings of a service: the same proxies for the server and for clients, and never more than there may be."""
    ours = parse_settings("pay", KeyValue(b"/services/pay/settings", content, 5, 7, 1, 0)).proxies
    kv = ClientKeyValue(b"/services/pay/settings", content, 5, 7, 1)
    theirs = service_settings.read_proxies("pay", kv)
    assert len(ours) <= PROXIES_MAX
    found = {(proxy.id, proxy.address, proxy.port) for proxy in ours}
    assert found == {(proxy.id, proxy.address, proxy.port) for proxy in theirs}


def check_stored_view(content: bytes) -> None:
    """A file that keeps a view: keys of the service, which become instances or not; or it is passed over."""
    try:
        stored = stored_views.decode("pay", content)
    except stored_views.Unusable:
        return
    assert stored_views.decode("pay", stored_views.encode(stored)) == stored
    ServiceTable("pay").apply(stored.batch())


def _stored_views() -> list[bytes]:
    kvs = [
        ClientKeyValue(key, value, 3, 4, 2, 2**60)
        for key in _KEYS
        for value in (*DEFINITIONS, *_STATES, *_SETTINGS, b"\xff")
    ]
    views = [stored_views.StoredView("pay", 9, tuple(kvs[n::7])) for n in range(7)]
    return [stored_views.encode(view) for view in views]


def _stock() -> Stock:
    stock = Stock()
    for n in range(80):
        stock.add("pay", str(n), f"10.0.0.{n}", tags=["blue", "v1.2"], ports={"admin": 9})
    stock.add("pay", "6", "2001:db8::1", state="warning", metadata={"team": "x"})
    stock.add("db", "a", "db.example.com")
    return stock


_RESPONDER = make_responder(_stock(), recursive=True)
_NAMES = [
    "pay.service.coordinator.", "Blue.pay.service.coordinator.", "_pay._tcp.service.coordinator.",
    "_admin._tcp.pay.service.coordinator.", "db.service.coordinator.", "coordinator.",
    "0a000001.addr.coordinator.", "1.0.0.10.in-addr.arpa.", "example.com.",
]  # fmt: skip


def check_packet(content: bytes) -> None:
    """A packet: an answer that can be read and fits, or a question for others, or nothing."""
    for answer, most in (
        (_RESPONDER.answer_datagram(content, CLIENT, 0.0), 1232),
        (_RESPONDER.answer_message(content), 65_535),
    ):
        if isinstance(answer, bytes):
            assert 12 <= len(answer) <= most
            assert answer[:2] == content[:2] and answer[2] & 0x80
            if len(answer) > 12:
                dns.message.from_wire(answer)
        else:
            assert answer is None or isinstance(answer, Forward)


def check_resolver(content: bytes) -> None:
    """What a resolver says to a question: an answer to it, or something that is passed over."""
    packet = query("example.com.", "A").to_wire()
    if answers(content, packet, read_query(packet)):
        assert content[:2] == packet[:2] and content[2] & 0x80
    try:
        found = read_query(content)
    except Malformed:
        return
    # What can be read here is a question to dnspython, too.
    try:
        dns.message.from_wire(content, question_only=True)
    except dns.exception.DNSException as error:
        raise AssertionError(f"{found} is no question") from error


def _packets() -> list[bytes]:
    return [
        query(name, type, size).to_wire()
        for name in _NAMES
        for type, size in (("A", 1232), ("SRV", None), ("TXT", 65_535), ("ANY", 512))
    ]


TARGETS = [
    Target(
        "service-key",
        check_key,
        lambda: [pack((key, value)) for key in _KEYS for value in (*DEFINITIONS, *_STATES)],
    ),
    Target("service-settings", check_settings, lambda: [*_SETTINGS, *DEFINITIONS]),
    Target("stored-view", check_stored_view, _stored_views),
    Target("dns", check_packet, _packets),
    Target(
        "dns-resolver",
        check_resolver,
        lambda: [
            dns.message.make_response(query("example.com.", "A")).to_wire(),
            query("example.com.", "A").to_wire(),
        ],
    ),
]
