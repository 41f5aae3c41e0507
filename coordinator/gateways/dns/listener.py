"""The sockets: datagrams, and connections on which messages follow each other (RFC 7766)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import structlog

from coordinator.catalog.instances import pack_address
from coordinator.errors import ConfigError
from coordinator.gateways.dns.forwarding import Forwarder
from coordinator.gateways.dns.queries import QUERY_SIZE_BYTES_MAX
from coordinator.gateways.dns.responder import Forward, Responder

BACKLOG = 128
PORT_TRIES = 20
"""How often another port is tried where any one will do."""
_LENGTH_SIZE = 2
_MAPPED = bytes(10) + b"\xff\xff"

log = structlog.get_logger()


class Listener:
    """Answers at one address over UDP and TCP."""

    def __init__(
        self,
        responder: Responder,
        forwarder: Forwarder | None,
        connections_max: int,
        idle_s: float,
    ) -> None:
        self._responder = responder
        self._forwarder = forwarder
        self._connections_max = connections_max
        self._idle_s = idle_s
        self._sockets: list[socket.socket] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._busy: set[asyncio.Task[None]] = set()
        """Those that owe somebody an answer."""

    def bind(self, host: str, port: int) -> int:
        """Takes the address, with port 0 any port; returns the port. Raises ConfigError if it can't be had."""
        for _ in range(PORT_TRIES if port == 0 else 1):
            try:
                return self._bind(host, port)
            except OSError as error:
                self._close_sockets()
                reason = error.strerror or str(error)
        raise ConfigError(f"can't listen for DNS on {host}, port {port}: {reason}")

    def _bind(self, host: str, port: int) -> int:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
            bound = socket.socket(family, kind)
            self._sockets.append(bound)
            bound.setblocking(False)
            if kind == socket.SOCK_STREAM:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            if kind == socket.SOCK_STREAM:
                bound.listen(BACKLOG)
            port = bound.getsockname()[1]
        return port

    def _close_sockets(self) -> None:
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()

    async def start(self) -> None:
        """Begins to answer."""
        stream, datagram = self._sockets
        self._sockets.clear()
        self._server = await asyncio.start_server(self._connected, sock=stream)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self), sock=datagram
        )

    async def stop(self, grace_s: float) -> None:
        """Takes no more questions, answers those it has if it can within the grace, and lets go. Idempotent."""
        self._stopping = True
        self._close_sockets()
        if self._server is not None:
            self._server.close()
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=max(0.0, grace_s))
        left = self._connections | self._busy
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # --- datagrams ----------------------------------------------------------------------------------

    def receive(self, packet: bytes, sender: tuple[Any, ...], datagrams: _Datagrams) -> None:
        """Answers a datagram, now or later."""
        if self._stopping:
            return
        client = _pack_client(sender)
        try:
            now_s = asyncio.get_running_loop().time()
            answer = self._responder.answer_datagram(packet, client, now_s)
        except Exception:
            # Whatever it is: the next datagram is somebody else's.
            log.exception("a DNS question could not be answered")
            return
        if isinstance(answer, Forward):
            self._keep(
                asyncio.create_task(self._forward_datagram(answer, client, sender, datagrams)),
                self._busy,
            )
        elif answer is not None:
            datagrams.send(answer, sender)

    async def _forward_datagram(
        self, forward: Forward, client: bytes, sender: tuple[Any, ...], datagrams: _Datagrams
    ) -> None:
        answer = await self._forward(forward, stream=False)
        now_s = asyncio.get_running_loop().time()
        datagrams.send(self._responder.fit(forward.query, answer, client, now_s), sender)

    async def _forward(self, forward: Forward, *, stream: bool) -> bytes:
        answer = None
        if self._forwarder is not None:
            answer = await self._forwarder.ask(forward.query, forward.packet, stream=stream)
        return self._responder.fail(forward.query) if answer is None else answer

    # --- connections --------------------------------------------------------------------------------

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._connections_max:
            writer.transport.abort()
            return
        self._keep(asyncio.create_task(self._serve(reader, writer)), self._connections)

    @staticmethod
    def _keep(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one message after the other until the client leaves, is idle, or is not understood."""
        task = asyncio.current_task()
        assert task is not None
        # Whatever was written is gone when `drain` returns: a client that does not read is noticed.
        writer.transport.set_write_buffer_limits(0)
        try:
            while True:
                async with asyncio.timeout(self._idle_s):
                    length = int.from_bytes(await reader.readexactly(_LENGTH_SIZE), "big")
                    if length > QUERY_SIZE_BYTES_MAX:
                        return
                    packet = await reader.readexactly(length)
                self._busy.add(task)
                answer = self._responder.answer_message(packet)
                if isinstance(answer, Forward):
                    answer = await self._forward(answer, stream=True)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(_LENGTH_SIZE, "big") + answer)
                async with asyncio.timeout(self._idle_s):
                    await writer.drain()
                self._busy.discard(task)
                if self._stopping:
                    return
                # What has arrived is read without waiting: others have their turn all the same.
                await asyncio.sleep(0)
        except (OSError, EOFError, TimeoutError):
            pass
        except Exception:
            log.exception("a DNS question could not be answered")
        finally:
            self._busy.discard(task)
            writer.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP socket."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.DatagramTransport | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Transports of this kind need not be instances of their class.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._listener.receive(data, addr, self)

    def send(self, packet: bytes, receiver: tuple[Any, ...]) -> None:
        """Sends a datagram, or drops it as networks do when they are full."""
        if self._transport is not None and not self._full:
            self._transport.sendto(packet, receiver)


def _pack_client(sender: tuple[Any, ...]) -> bytes:
    """Returns the address of a client as bytes; of an IPv4 client of an IPv6 socket the IPv4 address."""
    packed = pack_address(str(sender[0]).partition("%")[0])
    return packed[len(_MAPPED) :] if packed.startswith(_MAPPED) else packed
