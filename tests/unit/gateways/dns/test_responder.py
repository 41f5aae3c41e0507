"""From packets to packets: nothing is raised, whatever comes, and nobody is sent much for little."""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given, settings

from coordinator.gateways.dns.responder import Forward, Responder
from tests.fuzz.target import mutated
from tests.unit.gateways.dns.stage import (
    CLIENT,
    Stock,
    ask,
    code,
    make_responder,
    query,
    read,
    texts,
)

PAY = "pay.service.coordinator."


def full(count: int = 3) -> Stock:
    stock = Stock()
    for n in range(count):
        stock.add("pay", str(n), f"10.1.{n >> 8}.{n & 255}", tags=["blue"], ports={"admin": 9})
    stock.add("db", "a", "db.example.com")
    return stock


def send(
    responder: Responder, asked: dns.message.Message, now_s: float = 0.0
) -> dns.message.Message:
    answer = responder.answer_datagram(asked.to_wire(), CLIENT, now_s)
    assert isinstance(answer, bytes)
    return read(answer)


@pytest.mark.parametrize("type", ["AXFR", "IXFR"])
def test_zones_are_not_handed_out(type: str) -> None:
    answer = ask(make_responder(full()), "coordinator.", type)
    assert code(answer) == "REFUSED" and not answer.answer


def test_other_classes_are_refused() -> None:
    asked = dns.message.make_query("version.bind.", "TXT", "CH")
    assert code(send(make_responder(full()), asked)) == "REFUSED"


def test_other_opcodes_are_not_implemented() -> None:
    asked = query(PAY, "A", None)
    asked.set_opcode(dns.opcode.STATUS)
    wire = make_responder(full()).answer_datagram(asked.to_wire(), CLIENT, 0.0)
    assert isinstance(wire, bytes) and len(wire) == 12
    assert wire[:2] == asked.to_wire()[:2] and wire[3] & 0xF == dns.rcode.NOTIMP


def test_newer_versions_of_edns_are_told() -> None:
    asked = query(PAY, "A", use_edns=1)
    answer = send(make_responder(full()), asked)
    assert code(answer) == "BADVERS" and answer.edns == 0


def test_until_the_services_are_known_the_server_fails() -> None:
    stock = full()
    stock.unready()
    answer = ask(make_responder(stock), PAY, "A")
    assert code(answer) == "SERVFAIL" and not answer.flags & dns.flags.AA


def test_names_of_others_are_refused_or_asked_for() -> None:
    asked = query("example.com.", "A")
    assert code(send(make_responder(full()), asked)) == "REFUSED"
    recursive = make_responder(full(), recursive=True)
    for answered in (
        recursive.answer_datagram(asked.to_wire(), CLIENT, 0.0),
        recursive.answer_message(asked.to_wire()),
    ):
        assert isinstance(answered, Forward) and answered.packet == asked.to_wire()
    asked.flags &= ~dns.flags.RD
    assert code(send(recursive, asked)) == "REFUSED", "nobody asked to ask others"
    own = ask(recursive, PAY, "A")
    assert own.flags & dns.flags.RA and own.flags & dns.flags.AA


def test_a_datagram_is_as_large_as_both_sides_allow() -> None:
    stock = full(500)
    assert len(texts(ask(make_responder(stock), PAY, "A", None).answer)) == (512 - 42) // 16
    assert len(texts(ask(make_responder(stock), PAY, "A", 4096).answer)) == (1232 - 53) // 16
    wide = make_responder(stock, udp_size=4096)
    assert len(texts(ask(wide, PAY, "A", 4096).answer)) == (4096 - 53) // 16
    whole = ask(make_responder(stock), PAY, "A", stream=True)
    assert len(texts(whole.answer)) == 500 and not whole.flags & dns.flags.TC


def test_beyond_the_rate_large_answers_are_had_over_tcp() -> None:
    responder = make_responder(full(40), rate=3)
    asked = query(PAY, "A")
    for second in (0.0, 60.0):
        answers = [send(responder, asked, second) for _ in range(10)]
        whole = [a for a in answers if texts(a.answer)]
        assert len(whole) == 3 and not any(a.flags & dns.flags.TC for a in whole)
        others = [a for a in answers if not texts(a.answer)]
        assert len(others) == 7 and all(a.flags & dns.flags.TC for a in others)
        for answer in others:
            assert len(answer.wire or b"") <= len(asked.to_wire())
    small = query(PAY, "A", None)
    few = make_responder(full(3), rate=1)
    assert all(len(texts(send(few, small).answer)) == 3 for _ in range(20)), "small ones always"
    assert len(texts(ask(responder, PAY, "A", stream=True).answer)) == 40


def test_what_resolvers_answer_has_to_fit() -> None:
    responder = make_responder(full(), recursive=True, rate=2)
    forward = responder.answer_datagram(query("example.com.", "A", 1000).to_wire(), CLIENT, 0.0)
    assert isinstance(forward, Forward)
    sizes = [len(responder.fit(forward.query, bytes(n), CLIENT, 0.0)) for n in (512, 1000, 1001)]
    assert sizes[:2] == [512, 1000] and sizes[2] < 50
    failed = read(responder.fail(forward.query))
    assert code(failed) == "SERVFAIL" and not failed.flags & dns.flags.AA


NAMES = [
    PAY, f"blue.{PAY}", "_pay._tcp.service.coordinator.", f"_admin._tcp.{PAY}", "coordinator.",
    "ns.coordinator.", "0a000001.addr.coordinator.", "db.service.coordinator.", "no.coordinator.",
    "1.0.1.10.in-addr.arpa.", "example.com.", "a" * 63 + ".service.coordinator.",
]  # fmt: skip
SEEDS = [
    query(name, type, size).to_wire()
    for name in NAMES
    for type, size in (("A", 1232), ("SRV", None), ("TXT", 65535), ("ANY", 512))
]


@settings(max_examples=400)
@given(mutated(SEEDS))
def test_whatever_comes_the_answer_is_one_or_none(packet: bytes) -> None:
    responder = make_responder(full(100), recursive=True)
    for answer, most in (
        (responder.answer_datagram(packet, CLIENT, 0.0), 1232),
        (responder.answer_message(packet), 65_535),
    ):
        if answer is None or isinstance(answer, Forward):
            continue
        assert 12 <= len(answer) <= most and answer[:2] == packet[:2] and answer[2] & 0x80
        try:
            read(answer)
        except dns.exception.DNSException:
            assert len(answer) == 12, "what is more than a header can be read"
