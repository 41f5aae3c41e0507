"""Reads what asks: one question, and what the client says about itself. Anything else in a packet is stepped over.

A general parser of DNS messages looks into every record. Compressed names let half a kilobyte of them cost tens of
milliseconds, so this one reads the question alone, and of the records only where they end.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

QUERY_SIZE_BYTES_MAX = 1024
"""Of what asks. A name has at most 255 bytes; options and padding take some hundred."""
UDP_SIZE_BYTES_PLAIN = 512
"""What a client takes that does not say more (RFC 1035)."""
NAME_SIZE_BYTES_MAX = 255

HEADER = struct.Struct(">6H")
QUESTION_AT = HEADER.size

QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
OPCODE = 0x7800

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

IN = 1
A, NS, CNAME, SOA, PTR, HINFO, TXT, AAAA, SRV, OPT = 1, 2, 5, 6, 12, 13, 16, 28, 33, 41
IXFR, AXFR, ANY = 251, 252, 255

_RECORD = struct.Struct(">HHIH")
_PAIR = struct.Struct(">HH")


class Malformed(Exception):
    """A packet that is no query; `answer` is what to say to that, None to say nothing."""

    def __init__(self, answer: bytes | None) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Query:
    """One question and how it may be answered."""

    id: int
    flags: int
    labels: tuple[bytes, ...]
    """The name in lower case, without the root."""
    question: bytes
    """Name, type and class, as they were asked and are repeated in the answer."""
    type: int
    qclass: int
    edns: bool = False
    """Whether it came with an OPT record, as must the answer then (RFC 6891)."""
    version: int = 0
    """Of EDNS."""
    dnssec_ok: bool = False
    udp_size: int = UDP_SIZE_BYTES_PLAIN
    """The largest datagram that the client takes."""

    @property
    def name_size(self) -> int:
        """Bytes of the name in the question."""
        return len(self.question) - _PAIR.size


def read_query(packet: bytes) -> Query:
    """Returns what a packet asks. Raises Malformed, and nothing else, for all that asks nothing."""
    if len(packet) < HEADER.size:
        raise Malformed(None)
    id, flags, questions, answers, authorities, additionals = HEADER.unpack_from(packet)
    if flags & QR:
        # Answering answers would keep two servers busy for ever.
        raise Malformed(None)
    if flags & OPCODE:
        raise Malformed(bare(id, flags, NOTIMP))
    error = Malformed(bare(id, flags, FORMERR))
    if questions != 1 or len(packet) > QUERY_SIZE_BYTES_MAX:
        raise error
    try:
        labels, position = _read_name(packet, QUESTION_AT)
        type, qclass = _PAIR.unpack_from(packet, position)
        position += _PAIR.size
        query = Query(id, flags, labels, packet[QUESTION_AT:position], type, qclass)
        return _with_options(query, packet, position, answers + authorities, additionals)
    except (struct.error, IndexError, ValueError):
        raise error from None


def bare(id: int, flags: int, code: int) -> bytes:
    """Returns an answer that is a header and nothing else."""
    return HEADER.pack(id, QR | flags & (OPCODE | RD) | code, 0, 0, 0, 0)


def _read_name(packet: bytes, position: int) -> tuple[tuple[bytes, ...], int]:
    """Returns the labels of a name that is not compressed, and where it ends. Raises ValueError or IndexError."""
    start = position
    labels: list[bytes] = []
    while size := packet[position]:
        if size > 63:
            raise ValueError("there is nothing yet that a question could point to")
        labels.append(packet[position + 1 : position + 1 + size].lower())
        position += 1 + size
    if position + 1 - start > NAME_SIZE_BYTES_MAX:
        raise ValueError("a name is too long")
    return tuple(labels), position + 1


def _skip_name(packet: bytes, position: int) -> int:
    while size := packet[position]:
        if size >= 0xC0:
            return position + 2
        if size > 63:
            raise ValueError("a label of an unknown kind")
        position += 1 + size
    return position + 1


def _with_options(
    query: Query, packet: bytes, position: int, before: int, additionals: int
) -> Query:
    """Returns the query with what its OPT record says. Raises ValueError, IndexError or struct.error."""
    found = query
    for number in range(before + additionals):
        root = packet[position] == 0
        position = _skip_name(packet, position)
        type, size, ttl, length = _RECORD.unpack_from(packet, position)
        position += _RECORD.size + length
        if position > len(packet):
            raise ValueError("a record is cut")
        if type == OPT:
            if found.edns or not root or number < before:
                raise ValueError("an OPT record where none may be")
            found = Query(
                query.id,
                query.flags,
                query.labels,
                query.question,
                query.type,
                query.qclass,
                edns=True,
                version=ttl >> 16 & 0xFF,
                dnssec_ok=bool(ttl & 0x8000),
                udp_size=max(size, UDP_SIZE_BYTES_PLAIN),
            )
    if position != len(packet):
        raise ValueError("something follows the last record")
    return found
