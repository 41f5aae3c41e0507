"""Connections to the other members.

Between two members there is one connection; see `dialing` for who makes it. Both sides introduce themselves with a
`Hello`; who belongs to another cluster or speaks another protocol is turned away, and who was removed from this one is
told. A member that is not known here is heard: it may have been added by entries that are yet to come. A new connection
takes the place of an old one, and what is left unread in the old one is dropped, so that nobody sees two streams of one
peer mixed. A connection over which nothing arrives for too long is closed: each side says at least `Ping`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Collection, Iterable
from typing import Protocol

from coordinator.consensus.codec import (
    PROTOCOL_VERSION,
    Farewell,
    Hello,
    Message,
    Ping,
    encode_frame,
)
from coordinator.consensus.connection import Connection
from coordinator.consensus.dialing import Dialer
from coordinator.consensus.interface import Peer
from coordinator.consensus.settings import EngineConfig, split_address
from coordinator.errors import ConfigError

_log = logging.getLogger(__name__)

STRANGERS_MAX = 64
"""Connections that have not introduced themselves yet; more are closed at once."""

_REMOVED = "it was removed from this cluster"


class PeerListener(Protocol):
    """Whom a transport tells what happens. Called on the loop."""

    def peer_connected(self, member: int, client_address: str) -> None: ...

    def peer_lost(self, member: int) -> None: ...

    def peer_refused(self, member: int) -> None:
        """A connection broke, and nobody listens any more where the member was: its process has ended."""
        ...

    def peer_writable(self, member: int) -> None:
        """Sending was refused because of back-pressure, and is possible again."""
        ...

    def message_received(self, member: int, message: Message) -> None: ...

    def removed(self) -> None:
        """Another member says that this one was removed from the cluster."""
        ...


class Transport(Protocol):
    """Carries messages between members, in order per connection, each at most once."""

    async def start(self) -> None:
        """Binds the listener and begins to dial. Raises ConfigError."""
        ...

    async def stop(self) -> None: ...

    def send(self, member: int, message: Message) -> bool:
        """False: surely not sent (no connection, or too much is on its way)."""
        ...

    def connected(self, member: int) -> bool: ...

    def set_peers(self, peers: Iterable[Peer], removed: Collection[int]) -> None:
        """Keeps connections to these members from now on; those removed are told when they come."""
        ...


class TcpTransport:
    """The transport over TCP, with or without TLS."""

    def __init__(self, config: EngineConfig, listener: PeerListener) -> None:
        self.config = config
        self.listener = listener
        self._peers: dict[int, Peer] = {}
        self._removed: frozenset[int] = frozenset()
        self._dialing: dict[int, Dialer] = {}
        self._open: dict[int, Connection] = {}
        self._strangers: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._watching: asyncio.Task[None] | None = None
        self._refusals: set[str] = set()
        self._hello = Hello(
            protocol=PROTOCOL_VERSION,
            cluster_key=config.cluster_key,
            member=config.this.id,
            name=config.this.name,
            client_address=config.client_address,
        )

    async def start(self) -> None:
        config = self.config
        loop = asyncio.get_running_loop()
        address = config.bind_address or config.this.address
        host, port = split_address(address)
        try:
            self._server = await loop.create_server(
                lambda: Connection(self, None), host, port, ssl=config.server_tls
            )
        except socket.gaierror as error:
            raise ConfigError(f"the peer address {address} can't be resolved: {error}") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"can't listen for peers on {address}: {reason}") from None
        self._watching = loop.create_task(self._keep_watch())
        for peer in self._peers.values():
            self._dialing[peer.id] = Dialer(self, peer)

    def set_peers(self, peers: Iterable[Peer], removed: Collection[int]) -> None:
        present = {peer.id: peer for peer in peers if peer.id != self.config.this.id}
        for id, known in self._peers.items():
            if known != present.get(id) and (dialer := self._dialing.pop(id, None)) is not None:
                dialer.cancel()
        self._peers, self._removed = present, frozenset(removed)
        if self._watching is not None:
            for peer in present.values():
                if peer.id not in self._dialing:
                    self._dialing[peer.id] = Dialer(self, peer)

    async def stop(self) -> None:
        tasks = [dialer.cancel() for dialer in self._dialing.values()]
        self._dialing.clear()
        if self._watching is not None:
            self._watching.cancel()
            tasks.append(self._watching)
            self._watching = None
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        connections = [*self._open.values(), *self._strangers]
        self._open.clear()
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.closed.wait()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def send(self, member: int, message: Message) -> bool:
        connection = self._open.get(member)
        return connection is not None and connection.send(encode_frame(message))

    def connected(self, member: int) -> bool:
        return member in self._open

    # What a Connection asks for.

    def greeting(self) -> bytes:
        """The frame with which this member introduces itself."""
        return encode_frame(self._hello)

    def connection_made(self, connection: Connection) -> bool:
        """Counts a connection that did not introduce itself yet; False: there are too many."""
        self._strangers.add(connection)
        return len(self._strangers) <= STRANGERS_MAX

    def introduce(self, connection: Connection, hello: Message) -> None:
        """Takes the first message of a connection and gives the connection its member, or refuses it."""
        if isinstance(hello, Farewell) and connection.dialed is not None:
            connection.abort()
            self.listener.removed()
            return
        refusal = self._refusal(connection, hello)
        if refusal == _REMOVED:
            self.note_refusal(connection, refusal)
            connection.write(encode_frame(Farewell()))
            connection.close()
            return
        if refusal is not None or not isinstance(hello, Hello):
            self.note_refusal(connection, refusal or "")
            connection.abort()
            return
        self._strangers.discard(connection)
        replaced = self._open.pop(hello.member, None)
        if replaced is not None:
            replaced.abort()
            self.listener.peer_lost(hello.member)
        if connection.dialed is None:
            connection.write(self.greeting())
        connection.member = hello.member
        self._open[hello.member] = connection
        _log.info("connected to member %s", hello.name)
        self.listener.peer_connected(hello.member, hello.client_address)

    def note_refusal(self, connection: Connection, reason: str) -> None:
        """Logs why a connection is closed, each reason once in a row of attempts."""
        line = f"closed the connection with {connection.address}: {reason}"
        known = f"{connection.host}: {reason}"
        if known in self._refusals:
            _log.debug("%s", line)
            return
        if len(self._refusals) >= STRANGERS_MAX:
            self._refusals.clear()
        self._refusals.add(known)
        _log.warning("%s", line)

    def current(self, connection: Connection) -> bool:
        """Whether this is the connection that stands for its member."""
        return self._open.get(connection.member) is connection

    def connection_lost(self, connection: Connection) -> None:
        self._strangers.discard(connection)
        if self.current(connection):
            del self._open[connection.member]
            _log.info("lost the connection to member %s", self._name(connection.member))
            self.listener.peer_lost(connection.member)
            dialer = self._dialing.get(connection.member)
            if dialer is not None:
                dialer.note_break()

    def refused(self, member: int) -> None:
        """Nobody listens where a member was connected just before."""
        if member not in self._open:
            _log.info("member %s has ended: it refuses connections", self._name(member))
            self.listener.peer_refused(member)

    def _refusal(self, connection: Connection, hello: Message) -> str | None:
        if not isinstance(hello, Hello):
            return "it did not introduce itself"
        if hello.protocol != PROTOCOL_VERSION:
            return f"it speaks protocol {hello.protocol}, this member protocol {PROTOCOL_VERSION}"
        if hello.cluster_key != self.config.cluster_key:
            return f"{hello.name!r} belongs to another cluster"
        if hello.member in self._removed:
            return _REMOVED
        peer = self._peers.get(hello.member)
        if (peer is not None and peer.name != hello.name) or hello.member == self.config.this.id:
            return f"{hello.name!r} has the id of another member"
        if connection.dialed not in (None, hello.member):
            return f"{hello.name!r} answers at the address of another member"
        if (
            connection.dialed is None
            and hello.member < self.config.this.id
            and hello.member in self._open
        ):
            return f"{hello.name!r} dials, and there is a connection already"
        return None

    def _name(self, member: int) -> str:
        peer = self._peers.get(member)
        return str(member) if peer is None else peer.name

    async def _keep_watch(self) -> None:
        """Closes connections that went silent and pings where nothing else was said."""
        loop = asyncio.get_running_loop()
        period = self.config.heartbeat_ms / 1_000
        silence_max = self.config.silence_ms_max / 1_000
        ping = encode_frame(Ping())
        last_look = loop.time()
        while True:
            await asyncio.sleep(period)
            now = loop.time()
            # After a pause of this program itself there may be much to read that is not read yet.
            late = now - last_look > silence_max / 2
            last_look = now
            for connection in list(self._open.values()):
                if not late and now - connection.last_received > silence_max:
                    self.note_refusal(connection, "nothing was heard from it for too long")
                    connection.abort()
                elif now - connection.last_sent >= 2 * period:
                    connection.send(ping)
