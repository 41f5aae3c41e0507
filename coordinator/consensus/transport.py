"""Connections to the other members.

Between two members there is one connection; the one with the higher id dials. Both sides introduce themselves with a
`Hello`; who belongs to another cluster, is no member, or speaks another protocol is turned away. A new connection takes
the place of an old one, and what is left unread in the old one is dropped, so that nobody sees two streams of one peer
mixed. A connection over which nothing arrives for too long is closed: each side says at least `Ping`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Protocol

from coordinator.consensus.codec import (
    PROTOCOL_VERSION,
    Hello,
    Message,
    Ping,
    encode_frame,
)
from coordinator.consensus.connection import Connection
from coordinator.consensus.interface import Peer
from coordinator.consensus.settings import EngineConfig, split_address
from coordinator.errors import ConfigError

_log = logging.getLogger(__name__)

REDIAL_MS_MIN = 50
REDIAL_MS_MAX = 500
STRANGERS_MAX = 64
"""Connections that have not introduced themselves yet; more are closed at once."""


class PeerListener(Protocol):
    """Whom a transport tells what happens. Called on the loop."""

    def peer_connected(self, member: int, client_address: str) -> None: ...

    def peer_lost(self, member: int) -> None: ...

    def peer_writable(self, member: int) -> None:
        """Sending was refused because of back-pressure, and is possible again."""
        ...

    def message_received(self, member: int, message: Message) -> None: ...


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


class TcpTransport:
    """The transport over TCP, with or without TLS."""

    def __init__(self, config: EngineConfig, listener: PeerListener) -> None:
        self.config = config
        self.listener = listener
        self._peers = {peer.id: peer for peer in config.peers if peer.id != config.this.id}
        self._open: dict[int, Connection] = {}
        self._strangers: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
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
        for peer in self._peers.values():
            if peer.id < config.this.id:
                self._tasks.append(loop.create_task(self._dial(peer)))
        self._tasks.append(loop.create_task(self._keep_watch()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
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
        refusal = self._refusal(connection, hello)
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
            _log.info("lost the connection to member %s", self._peers[connection.member].name)
            self.listener.peer_lost(connection.member)

    def _refusal(self, connection: Connection, hello: Message) -> str | None:
        if not isinstance(hello, Hello):
            return "it did not introduce itself"
        if hello.protocol != PROTOCOL_VERSION:
            return f"it speaks protocol {hello.protocol}, this member protocol {PROTOCOL_VERSION}"
        if hello.cluster_key != self.config.cluster_key:
            return f"{hello.name!r} belongs to another cluster"
        peer = self._peers.get(hello.member)
        if peer is None or peer.name != hello.name:
            return f"{hello.name!r} is not a member of this cluster"
        if connection.dialed not in (None, peer.id):
            return f"{hello.name!r} answers at the address of another member"
        if connection.dialed is None and peer.id < self.config.this.id:
            return f"{hello.name!r} dials, which is up to this member"
        return None

    async def _dial(self, peer: Peer) -> None:
        """Keeps a connection to a peer; the name is resolved again for each attempt."""
        loop = asyncio.get_running_loop()
        pause_ms = REDIAL_MS_MIN
        while True:
            connection = Connection(self, peer.id)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self.config.hello_timeout_ms / 1_000):
                    host, port = split_address(peer.address)
                    await loop.create_connection(
                        lambda made=connection: made,
                        host,
                        port,
                        ssl=self.config.client_tls,
                    )
                await connection.closed.wait()
            pause_ms = REDIAL_MS_MIN if connection.member else min(2 * pause_ms, REDIAL_MS_MAX)
            await asyncio.sleep(pause_ms / 1_000)

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
