"""Answers never exceed their room, are well formed, and say when something is missing."""

from __future__ import annotations

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gateways.dns import records
from coordinator.gateways.dns.messages import SHUFFLED_MAX, Answer, Face, mix, write_answer
from coordinator.gateways.dns.messages import write_truncated as truncated
from coordinator.gateways.dns.names import write_name
from coordinator.gateways.dns.queries import BADVERS, NXDOMAIN, read_query
from coordinator.gateways.dns.records import Record
from tests.unit.gateways.dns.stage import query, read

NAME = "pay.service.coordinator."
FACE = Face(1232)


def addresses(count: int) -> list[Record]:
    return [records.write_address(number.to_bytes(4, "big"), 0) for number in range(count)]


def services(count: int) -> list[Record]:
    return [
        records.write_service(
            1, 80, write_name((b"%08x" % n, b"addr", b"coordinator")), n.to_bytes(4, "big"), 0
        )
        for n in range(count)
    ]


@given(
    st.integers(0, 300),
    st.sampled_from([addresses, services]),
    st.integers(512, 4096),
    st.booleans(),
)
def test_an_answer_has_room_and_tells_whether_it_is_whole(
    count: int, make: type, room: int, edns: bool
) -> None:
    asked = query(NAME, "A", 1232 if edns else None)
    found = make(count)
    wire = write_answer(read_query(asked.to_wire()), Answer(0, found), FACE, room)
    assert len(wire) <= room
    message = read(wire)
    assert asked.is_response(message) and message.flags & dns.flags.AA
    assert (message.edns, message.payload) == ((0, 1232) if edns else (-1, 0))
    told = sum(len(rrset) for rrset in message.answer)
    assert bool(message.flags & dns.flags.TC) == (told < count)
    if told < count:
        smallest = min(len(record.wire) for record in found)
        assert len(wire) + smallest > room, "another one had room"
        assert not message.additional


def test_over_a_connection_nobody_is_sent_elsewhere() -> None:
    asked = query(NAME, "SRV")
    question = read_query(asked.to_wire())
    whole = read(write_answer(question, Answer(0, services(500), more=True), FACE))
    assert not whole.flags & dns.flags.TC
    assert sum(map(len, whole.answer)) == sum(map(len, whole.additional)) == 500
    targets = {rdata.target for rrset in whole.answer for rdata in rrset}
    assert targets == {rrset.name for rrset in whole.additional}, "near and far ones"
    much = read(write_answer(question, Answer(0, services(3000)), FACE))
    assert 1000 < sum(map(len, much.answer)) < 3000 and not much.flags & dns.flags.TC


def test_an_address_is_added_once() -> None:
    twice = [records.write_service(1, port, write_name((b"a",)), b"\1\2\3\4", 0) for port in (1, 2)]
    message = read(write_answer(read_query(query(NAME, "SRV").to_wire()), Answer(0, twice), FACE))
    assert [rrset.to_text() for rrset in message.additional] == ["a. 0 IN A 1.2.3.4"]


def test_flags_are_taken_over() -> None:
    asked = query(NAME, "A", want_dnssec=True)
    asked.flags |= dns.flags.CD
    message = read(write_answer(read_query(asked.to_wire()), Answer(0), FACE))
    assert message.flags & (dns.flags.RD | dns.flags.CD) == dns.flags.RD | dns.flags.CD
    assert message.ednsflags & dns.flags.DO and not message.flags & (dns.flags.RA | dns.flags.AD)
    asked.flags = 0
    face = Face(1232, recursive=True)
    message = read(write_answer(read_query(asked.to_wire()), Answer(0, own=False), face))
    assert message.flags == dns.flags.QR | dns.flags.RA


def test_codes_beyond_the_header() -> None:
    question = read_query(query(NAME, "A").to_wire())
    assert read(write_answer(question, Answer(BADVERS), FACE)).rcode() == BADVERS


@pytest.mark.parametrize("name", [NAME, "coordinator.", "a.b.c.coordinator."])
def test_the_authority_is_the_domain(name: str) -> None:
    authority = records.write_authority(b"\0", b"\0", 1, 2, 3)
    answer = Answer(NXDOMAIN, authority=authority, domain_size=13)
    message = read(write_answer(read_query(query(name, "A").to_wire()), answer, FACE))
    assert [rrset.name.to_text() for rrset in message.authority] == ["coordinator."]


def test_who_is_sent_to_tcp_gets_no_more_than_a_question() -> None:
    asked = query(NAME, "A")
    wire = truncated(read_query(asked.to_wire()), FACE)
    assert len(wire) <= len(asked.to_wire())
    message = read(wire)
    assert message.flags & dns.flags.TC and asked.is_response(message) and not message.answer


@pytest.mark.parametrize("count", [0, 1, 5, SHUFFLED_MAX + 1])
def test_each_record_comes_first_at_times(count: int) -> None:
    found = addresses(count)
    firsts = set()
    for _ in range(40 * count):
        mixed = mix(found)
        assert sorted(r.wire for r in mixed) == [r.wire for r in found]
        firsts.add(mixed[0].wire)
    # That one of them never came in 40 tries for each: less than once in 10^15.
    assert len(firsts) == count
