"""Targets: what stands in the keys of services, and what asks for services over DNS."""

from __future__ import annotations

import dns.exception
import dns.message

from coordinator.catalog.instances import STATUSES, UNKNOWN, parse_instance, parse_state, split_key
from coordinator.gateways.dns.forwarding import answers
from coordinator.gateways.dns.queries import Malformed, read_query
from coordinator.gateways.dns.responder import Forward
from coordinator.state.model import KeyValue
from tests.fuzz.target import Target, pack, unpack
from tests.unit.gateways.dns.stage import CLIENT, Stock, make_responder, query

DEFINITIONS = [
    b'{"address": "10.0.0.7", "port": 80, "tags": ["a.b"], "ports": {"admin": 81}, "weight": 3}',
    b'{"address": "db.example.com", "port": 1, "metadata": {"k": "v"}, "zone": "z", "version": "1"}',
    b'{"address": "2001:db8::1", "port": 65535, "tags": null, "later": [{}]}',
]
_STATES = [b'{"state": "warning", "note": "slow"}', b'{"state": "draining"}']
_KEYS = [b"/services/pay/instances/i-1", b"/services/pay/state/i-1", b"/services/pay/other/x"]


def check_key(content: bytes) -> None:
    """A key and a value: an instance within its bounds, a state that is known, or nothing."""
    key, value = [*unpack(content), b"", b""][:2]
    parts = split_key(key)
    assert parts is None or b"/".join((b"/services", *(p.encode() for p in parts))) == key
    assert parse_state(value).status in STATUSES
    instance = parse_instance("pay", "a", KeyValue(key, value, 1, 1, 1, 0), UNKNOWN)
    if instance is not None:
        assert 0 < instance.port < 65536 and len(instance.tags) <= 64
        assert len(instance.packed) in (0, 4, 16)


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
