"""The first bytes of a connection: HTTP/2, HTTP/1 for somebody else, or garbage."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import cast

from coordinator.wire.front.connection import FrontConnection
from coordinator.wire.front.host import Host
from coordinator.wire.front.peers import ALPN_HTTP1, chosen_protocol

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""Of every client (RFC 9113, section 3.4)."""
HTTP1_METHODS = (
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
)

NOWHERE = (
    b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 50\r\n\r\n"
    b"This port speaks gRPC; HTTP/1 is not served here.\n"
)

Http1 = Callable[[], asyncio.Protocol]


class Kind(enum.Enum):
    """What a connection begins with."""

    UNKNOWN = enum.auto()
    """Too few bytes to say."""
    HTTP2 = enum.auto()
    HTTP1 = enum.auto()
    GARBAGE = enum.auto()


def kind_of(data: bytes) -> Kind:
    """Returns what the first bytes of a connection are the beginning of."""
    if data.startswith(PREFACE):
        return Kind.HTTP2
    if data.startswith(HTTP1_METHODS):
        return Kind.HTTP1
    if any(word.startswith(data) for word in (PREFACE, *HTTP1_METHODS)):
        return Kind.UNKNOWN
    return Kind.GARBAGE


class Opening(asyncio.Protocol):
    """A connection until its client has shown what it speaks."""

    def __init__(self, host: Host, http1: Http1 | None) -> None:
        """`http1`: makes a protocol for a connection on which HTTP/1 is spoken; None: nobody serves it."""
        self._host = host
        self._http1 = http1
        self._opened_at = host.loop.time()
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = transport = cast("asyncio.Transport", transport)
        tallies = self._host.tallies
        tallies.connections_accepted += 1
        if len(self._host.connections) >= self._host.limits.connections_max:
            tallies.connections_refused += 1
            transport.abort()
            return
        self._host.admit(self)
        if chosen_protocol(transport) == ALPN_HTTP1:
            self._hand_on(b"")

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._seen += data
        kind = kind_of(self._seen)
        if kind is Kind.HTTP2:
            connection = FrontConnection(self._host, self._transport)
            self._host.forget(self)
            self._host.admit(connection)
            self._transport.set_protocol(connection)
            connection.begin(self._seen)
        elif kind is Kind.HTTP1:
            self._hand_on(self._seen)
        elif kind is Kind.GARBAGE:
            self._host.tallies.abuse.count("foreign_preface")
            self._transport.abort()

    def _hand_on(self, data: bytes) -> None:
        """Gives the connection to whoever serves HTTP/1."""
        assert self._transport is not None
        if self._http1 is None:
            self._transport.write(NOWHERE)
            self._transport.close()
            return
        self._host.tallies.connections_handed_on += 1
        self._host.forget(self)
        protocol = self._http1()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if data:
            protocol.data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._host.forget(self)

    def check(self, now: float) -> None:
        """Closes the connection if its client takes too long to begin."""
        if now - self._opened_at > self._host.timing.client_greeting_ms / 1000:
            self._host.tallies.connections_silent += 1
            self.abort()

    def shut_down(self) -> None:
        """Nothing was promised to the client yet."""

    def end_calls(self) -> None:
        """There are none."""

    def finish(self) -> None:
        """Closes the connection."""
        self.abort()

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()
