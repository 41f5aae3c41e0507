"""Questions are read as dnspython reads them; everything else is refused, quickly, and without an exception."""

from __future__ import annotations

import struct
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gateways.dns.queries import (
    FORMERR,
    NOTIMP,
    QUERY_SIZE_BYTES_MAX,
    RD,
    Malformed,
    read_query,
)
from tests.fuzz.target import mutated
from tests.unit.gateways.dns.stage import query


def refusal(packet: bytes) -> bytes | None:
    with pytest.raises(Malformed) as caught:
        read_query(packet)
    return caught.value.answer


def test_a_question_is_read() -> None:
    asked = query("PAY.Service.coordinator.", "SRV", None)
    found = read_query(asked.to_wire())
    assert found.labels == (b"pay", b"service", b"coordinator")
    assert (found.type, found.qclass, found.id) == (33, 1, asked.id)
    assert found.question == asked.to_wire()[12:]
    assert found.flags & RD
    assert not found.edns and found.udp_size == 512
    assert found.name_size == len("PAY.Service.coordinator.") + 1


def test_what_the_client_says_of_itself_is_read() -> None:
    asked = query("a.", "A", 4000, want_dnssec=True)
    found = read_query(asked.to_wire())
    assert (found.edns, found.version, found.dnssec_ok, found.udp_size) == (True, 0, True, 4000)
    assert read_query(query("a.", "A", 100).to_wire()).udp_size == 512
    assert not read_query(query("a.", "A", 1232).to_wire()).dnssec_ok
    newer = query("a.", "A", use_edns=1)
    assert read_query(newer.to_wire()).version == 1


def test_other_records_are_stepped_over() -> None:
    asked = query("a.", "A")
    asked.use_tsig({dns.name.from_text("key."): b"secret"})
    assert read_query(asked.to_wire()).edns


HEAD = struct.pack(">6H", 7, RD, 1, 0, 0, 0)
QUESTION = b"\1a\0\0\1\0\1"
OPT = b"\0\0\x29\4\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    "packet",
    [
        HEAD,
        HEAD + QUESTION[:-1],
        HEAD + QUESTION + b"x",
        HEAD + b"\xc0\0\0\1\0\1",
        HEAD + b"\xc0\x0c\0\1\0\1",
        HEAD + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        HEAD + b"\1a" * 128 + b"\0\0\1\0\1",
        HEAD + b"\x3f" + b"a" * 20,
        struct.pack(">6H", 7, RD, 0, 0, 0, 0),
        struct.pack(">6H", 7, RD, 2, 0, 0, 0) + QUESTION * 2,
        struct.pack(">6H", 7, RD, 1, 0, 0, 1) + QUESTION,
        struct.pack(">6H", 7, RD, 1, 0, 0, 2) + QUESTION + OPT + OPT,
        struct.pack(">6H", 7, RD, 1, 0, 1, 0) + QUESTION + OPT,
        struct.pack(">6H", 7, RD, 1, 0, 0, 1) + QUESTION + b"\1a" + OPT,
        struct.pack(">6H", 7, RD, 1, 0, 0, 1) + QUESTION + OPT[:-1] + b"\5",
        struct.pack(">6H", 7, RD, 1, 65535, 65535, 65535) + QUESTION,
        HEAD + b"\0" * QUERY_SIZE_BYTES_MAX,
    ],
)
def test_what_is_no_question_is_a_format_error(packet: bytes) -> None:
    assert refusal(packet) == struct.pack(">6H", 7, 0x8000 | RD | FORMERR, 0, 0, 0, 0)


def test_what_must_not_be_answered_is_not() -> None:
    answer = dns.message.make_response(query("a.", "A")).to_wire()
    assert refusal(answer) is refusal(b"") is refusal(HEAD[:-1]) is None


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_only_questions_are_implemented(opcode: int) -> None:
    flags = opcode << 11
    packet = struct.pack(">6H", 7, flags, 1, 0, 0, 0) + QUESTION
    assert refusal(packet) == struct.pack(">6H", 7, 0x8000 | flags | NOTIMP, 0, 0, 0, 0)


def test_a_packet_made_to_be_expensive_is_cheap() -> None:
    name = b"\1a" * 126 + b"\0"
    record = b"\xc0\x0c" + struct.pack(">HHIH", 2, 1, 0, 2) + b"\xc0\x0c"
    count = (QUERY_SIZE_BYTES_MAX - 300) // len(record)
    packet = struct.pack(">6H", 7, 0, 1, 0, 0, count) + name + b"\0\1\0\1" + record * count
    began = time.process_time()
    for _ in range(10):
        assert len(read_query(packet).labels) == 126
    assert time.process_time() - began < 0.02


SEEDS = [
    query("pay.service.coordinator.", "SRV").to_wire(),
    query("a.b.", "A", None).to_wire(),
    query("_pay._tcp.service.coordinator.", "AAAA", 4096, want_dnssec=True).to_wire(),
    dns.message.make_response(query("a.", "A")).to_wire(),
    dns.message.Message(1).to_wire(),
]


@given(mutated(SEEDS) | st.binary(max_size=100).map(lambda junk: HEAD + junk))
def test_what_is_read_is_what_dnspython_reads(packet: bytes) -> None:
    try:
        found = read_query(packet)
    except Malformed as malformed:
        assert malformed.answer is None or len(malformed.answer) == 12
        return
    try:
        other = dns.message.from_wire(packet, question_only=True)
    except dns.exception.DNSException:
        pytest.fail("dnspython does not understand what was understood here")
    (question,) = other.question
    labels = tuple(label.lower() for label in question.name.labels[:-1])
    assert found.labels == labels
    assert (found.type, found.qclass) == (question.rdtype, question.rdclass)
    assert other.opcode() == dns.opcode.QUERY and not other.flags & dns.flags.QR
