"""Records are what dnspython reads in them."""

from __future__ import annotations

import struct

import dns.message
import dns.name
import dns.rdatatype

from coordinator.catalog.instances import pack_address
from coordinator.gateways.dns import records
from coordinator.gateways.dns.names import write_name
from coordinator.gateways.dns.records import Record

HOST = write_name((b"host", b"example"))


def text(record: Record, ttl: int = 5) -> str:
    """The record as dnspython writes it, read from a message that has nothing else."""
    head = struct.pack(">6H", 1, 0x8000, 1, 1, 0, 0)
    message = dns.message.from_wire(head + b"\1n\0\0\1\0\1" + record.wire)
    (rrset,) = message.answer
    assert rrset.name == dns.name.from_text("n.") and rrset.ttl == ttl
    return f"{dns.rdatatype.to_text(rrset.rdtype)} {rrset[0].to_text()}"


def test_records_of_each_type() -> None:
    v4, v6 = pack_address("10.0.0.1"), pack_address("2001:db8::1")
    assert text(records.write_address(v4, 5)) == "A 10.0.0.1"
    assert text(records.write_address(v6, 5)) == "AAAA 2001:db8::1"
    assert text(records.write_alias(HOST, 5)) == "CNAME host.example."
    assert text(records.write_pointer(HOST, 5)) == "PTR host.example."
    assert text(records.write_nameserver(HOST, b"", 5)) == "NS host.example."
    assert text(records.write_service(None, 80, HOST, b"", 5)) == "SRV 1 1 80 host.example."
    assert text(records.write_service(0, 80, HOST, v4, 5)) == "SRV 1 0 80 host.example."
    assert text(records.write_refusal_of_any(5)) == 'HINFO "RFC8482" ""'
    authority = records.write_authority(HOST, HOST, (7 << 32) + 8, 5, 9)
    expected = "SOA host.example. host.example. 8 3600 600 86400 9"
    assert text(Record(records.ASKED + authority)) == expected


def test_only_an_alias_is_one() -> None:
    assert records.write_alias(HOST, 5).is_alias
    assert not records.write_pointer(HOST, 5).is_alias


def test_the_name_of_the_target_is_found_again() -> None:
    packed = pack_address("10.0.0.1")
    for record in (
        records.write_service(3, 80, HOST, packed, 5),
        records.write_nameserver(HOST, packed, 5),
    ):
        assert record.wire[record.target_at :] == HOST
        assert text(Record(records.ASKED + record.extra)) == "A 10.0.0.1"
    assert records.write_service(3, 80, HOST, b"", 5).target_at == 0


def test_metadata_becomes_strings() -> None:
    assert text(records.write_text({"team": "blue", "é": "=", "flag": ""}, 5)) == (
        'TXT "team=blue" "\\195\\169==" "flag="'
    )
    assert text(records.write_text({}, 5)) == 'TXT ""'
    longest = {"k": "x" * 253, "l": "x" * 254, "m": "é" * 127}
    assert text(records.write_text(longest, 5)) == f'TXT "k={"x" * 253}"'
