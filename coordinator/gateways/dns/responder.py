"""From a packet to what is sent back: all of the protocol that needs neither sockets nor a clock."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.gateways.dns.messages import (
    Answer,
    Face,
    write_answer,
    write_truncated,
)
from coordinator.gateways.dns.queries import (
    AXFR,
    BADVERS,
    IN,
    IXFR,
    RD,
    REFUSED,
    SERVFAIL,
    Malformed,
    Query,
    read_query,
)
from coordinator.gateways.dns.rates import SMALL_SIZE_BYTES_MAX, Rates
from coordinator.gateways.dns.zone import Zone


@dataclass(frozen=True, slots=True)
class Forward:
    """A question for somebody else."""

    query: Query
    packet: bytes


class Responder:
    """Answers packets. Whatever they hold, nothing is raised and little is done."""

    def __init__(self, zone: Zone, face: Face, rates: Rates) -> None:
        self._zone = zone
        self._face = face
        self._rates = rates

    def answer_datagram(self, packet: bytes, client: bytes, now_s: float) -> bytes | Forward | None:
        """Returns what to send to a client, whose address is `client`; None: nothing."""
        found = self._answer(packet)
        if not isinstance(found, tuple):
            return found
        query, answer = found
        message = write_answer(query, answer, self._face, self.room(query))
        return self.fit(query, message, client, now_s)

    def answer_message(self, packet: bytes) -> bytes | Forward | None:
        """Likewise, over a connection."""
        found = self._answer(packet)
        if not isinstance(found, tuple):
            return found
        return write_answer(*found, self._face)

    def room(self, query: Query) -> int:
        """Returns the size of the largest datagram for a client."""
        return min(query.udp_size, self._face.udp_size)

    def fit(self, query: Query, message: bytes, client: bytes, now_s: float) -> bytes:
        """Returns what may be sent of a message in a datagram: all of it, or the word to ask again over TCP."""
        if len(message) <= SMALL_SIZE_BYTES_MAX:
            return message
        if len(message) <= self.room(query) and self._rates.admit(client, now_s):
            return message
        return write_truncated(query, self._face)

    def fail(self, query: Query) -> bytes:
        """Returns an answer that says that there is none now."""
        return write_answer(query, Answer(SERVFAIL, own=False), self._face)

    def _answer(self, packet: bytes) -> tuple[Query, Answer] | Forward | bytes | None:
        try:
            query = read_query(packet)
        except Malformed as malformed:
            return malformed.answer
        if query.version:
            return query, Answer(BADVERS, own=False)
        if query.qclass != IN or query.type in (AXFR, IXFR):
            return query, Answer(REFUSED, own=False)
        if not self._zone.ready:
            return query, Answer(SERVFAIL, own=False)
        answer = self._zone.answer(query)
        if answer is not None:
            return query, answer
        if self._face.recursive and query.flags & RD:
            return Forward(query, packet)
        return query, Answer(REFUSED, own=False)
