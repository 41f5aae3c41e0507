"""Puts answers together: as many records as there is room for, and a word if some are missing."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from coordinator.gateways.dns.queries import (
    AA,
    CD,
    HEADER,
    OPT,
    QR,
    RA,
    RD,
    TC,
    UDP_SIZE_BYTES_PLAIN,
    Query,
)
from coordinator.gateways.dns.records import Record

MESSAGE_SIZE_BYTES_MAX = 65_535
SHUFFLED_MAX = 64
"""So many records come in any order; more are only begun anywhere, which costs nothing."""
_POINTERS_END = 0x4000
_OPTIONS = struct.Struct(">BHHIH")


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to say, whatever there is room for."""

    code: int
    records: Sequence[Record] = ()
    authority: bytes = b""
    """The SOA record without its name, of the domain that the name asked for is in."""
    domain_size: int = 0
    """Bytes of that domain's name."""
    own: bool = True
    """Whether this node is who knows."""
    more: bool = False
    """Whether there are more records than these."""


@dataclass(frozen=True, slots=True)
class Face:
    """What this server tells of itself in each answer."""

    udp_size: int
    recursive: bool = False
    """Whether it asks others."""


@dataclass(slots=True)
class Message:
    """An answer on its way to become bytes."""

    content: bytearray
    room: int
    counts: list[int] = field(default_factory=lambda: [1, 0, 0, 0])

    def add(self, section: int, wire: bytes) -> bool:
        """Adds a record if there is room for it."""
        if len(self.content) + len(wire) > self.room:
            return False
        self.content += wire
        self.counts[section] += 1
        return True


def write_answer(
    query: Query, answer: Answer, face: Face, room: int = MESSAGE_SIZE_BYTES_MAX
) -> bytes:
    """Returns the message. Where records have no room in a datagram of `room` bytes, it says so.

    Over a connection there is nowhere to ask for the rest, so that nothing is said.
    """
    stream = room == MESSAGE_SIZE_BYTES_MAX
    options = write_options(query, answer.code, face)
    message = Message(bytearray(HEADER.size), room - len(options))
    message.content += query.question
    taken: list[tuple[int, Record]] = []
    complete = stream or not answer.more
    for record in mix(answer.records):
        start = len(message.content)
        if not message.add(1, record.wire):
            complete = stream
            break
        if record.extra:
            taken.append((start + record.target_at, record))
    if answer.authority:
        # The name that was asked for ends with that of the domain.
        pointer = 0xC000 | HEADER.size + query.name_size - answer.domain_size
        message.add(2, pointer.to_bytes(2, "big") + answer.authority)
    if complete:
        _add_addresses(message, taken)
    if options:
        message.content += options
        message.counts[3] += 1
    flags = QR | query.flags & (RD | CD) | answer.code & 0xF
    flags |= (AA if answer.own else 0) | (RA if face.recursive else 0) | (0 if complete else TC)
    HEADER.pack_into(message.content, 0, query.id, flags, *message.counts)
    return bytes(message.content)


def write_options(query: Query, code: int, face: Face) -> bytes:
    """Returns the OPT record that answers one; nothing if there was none."""
    if not query.edns:
        return b""
    flags = code >> 4 << 24 | (0x8000 if query.dnssec_ok else 0)
    return _OPTIONS.pack(0, OPT, face.udp_size, flags, 0)


def write_truncated(query: Query, face: Face) -> bytes:
    """Returns an answer that says nothing but to ask again over TCP. It is no larger than the question."""
    return write_answer(query, Answer(0, own=False, more=True), face, UDP_SIZE_BYTES_PLAIN)


def mix(records: Sequence[Record]) -> Sequence[Record]:
    """Returns records in another order each time, so that clients that take the first one spread."""
    if len(records) <= SHUFFLED_MAX:
        return random.sample(records, len(records))
    start = random.randrange(len(records))
    return [*records[start:], *records[:start]]


def _add_addresses(message: Message, taken: Sequence[tuple[int, Record]]) -> None:
    """Adds the addresses of targets, each once, as long as there is room: nobody depends on them."""
    known: set[bytes] = set()
    for position, record in taken:
        target = record.wire[record.target_at :]
        name = target if position >= _POINTERS_END else (0xC000 | position).to_bytes(2, "big")
        if (key := target + record.extra) not in known:
            known.add(key)
            if not message.add(3, name + record.extra):
                return
