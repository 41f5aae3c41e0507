"""The front: one listener for gRPC clients, on HTTP/2 of our own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

import structlog
from grpc_health.v1 import health_pb2

from coordinator.config import Limits, Timing
from coordinator.errors import ConfigError
from coordinator.rpc import Service
from coordinator.wire import health, reflection
from coordinator.wire.front.host import Host
from coordinator.wire.front.opening import Http1, Opening
from coordinator.wire.front.tallies import Tallies
from coordinator.wire.terms import REFUSING_SHARE, STOP_EXCESS_S

BACKLOG = 1024
"""Connections that the system keeps until they are accepted."""
SWEEP_S = 1.0
"""How often connections are looked at: whether their clients are still there."""
GONE_S = 0.02

log = structlog.get_logger()


class FrontServer:
    """One listener for gRPC clients; the same to its owner as `GrpcAioServer`."""

    def __init__(
        self,
        services: Sequence[Service],
        limits: Limits,
        timing: Timing | None = None,
        *,
        encryption: ssl.SSLContext | None = None,
        http1: Http1 | None = None,
    ) -> None:
        """`encryption`: as `peers.server_context` makes it; None: none.

        `http1`: makes a protocol for each connection that begins with HTTP/1; None: such a connection is refused.
        """
        self.tallies = Tallies()
        self._services = services
        self._limits = limits
        self._timing = timing or Timing()
        self._encryption = encryption
        self._http1 = http1
        self._health = health.Health()
        names = [*(s.name for s in services if s.described), health.NAME]
        self._hosted = (
            *services,
            self._health.service(),
            *reflection.Reflection(names).services(),
        )
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._host: Host | None = None
        self._sweep: asyncio.TimerHandle | None = None

    def bind(self, address: str) -> int:
        """Takes the address; returns the port. Raises ConfigError if it can't be had."""
        try:
            name, _, number = address.rpartition(":")
            port = int(number)
            found = socket.getaddrinfo(
                name.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (ValueError, OSError) as error:
            raise ConfigError(f"can't listen for clients on {address}: {error}") from None
        for family, kind, _, _, place in dict.fromkeys(found):
            # All addresses of a name get the same port.
            self._sockets.append(_listening(address, family, kind, (place[0], port, *place[2:])))
            port = int(self._sockets[-1].getsockname()[1])
        return port

    async def start(self) -> None:
        """Begins to serve."""
        loop = asyncio.get_running_loop()
        host = self._host = Host(loop, self._hosted, self._limits, self._timing, self.tallies)
        greeting_s = self._timing.client_greeting_ms / 1000
        for bound in self._sockets:
            self._servers.append(
                await loop.create_server(
                    lambda: Opening(host, self._http1),
                    sock=bound,
                    backlog=BACKLOG,
                    ssl=self._encryption,
                    ssl_handshake_timeout=greeting_s if self._encryption else None,
                )
            )
        self._sockets.clear()
        self._look()

    def _look(self) -> None:
        """Looks after all connections, and comes back."""
        assert self._host is not None
        now = self._host.loop.time()
        for connection in list(self._host.connections):
            try:
                connection.check(now)
            except Exception:
                log.exception("a connection can't be looked after")
                connection.abort()
        self._sweep = self._host.loop.call_later(SWEEP_S, self._look)

    async def set_serving(self, serving: bool) -> None:
        """Tells the health service's clients whether the services can do their work.

        The server as a whole, the empty name, is well as long as it answers.
        """
        state = health_pb2.HealthCheckResponse
        for service in self._services:
            self._health.set(service.name, state.SERVING if serving else state.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, lets those under way finish for `grace_s`, then ends them. Idempotent.

        Clients are told at once to go elsewhere. Who calls all the same, here or on a new connection, is refused, which
        says that the call was not carried out; only when no more come are connections closed.
        """
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()
        host = self._host
        if host is None or host.stopping.is_set():
            return
        ends_at = host.loop.time() + grace_s
        self._health.shut()
        host.refuse()
        for connection in list(host.connections):
            connection.shut_down()
        await host.quiet(REFUSING_SHARE * grace_s)
        for server in self._servers:
            server.close()
        await host.idle(ends_at)
        if not await host.end_calls(ends_at + STOP_EXCESS_S):
            # What ends calls is not in our hands, and nothing that was acknowledged hangs on it.
            log.warning("calls do not end: they are left to the end of this program")
        await self._part(host, ends_at + STOP_EXCESS_S)

    async def _part(self, host: Host, ends_at: float) -> None:
        """Closes all connections, when their clients have taken what was left for them."""
        for connection in list(host.connections):
            connection.finish()
        while host.connections and host.loop.time() < ends_at:
            await asyncio.sleep(GONE_S)
            for connection in list(host.connections):
                connection.check(host.loop.time())
        for connection in list(host.connections):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()
        host.deadlines.close()


def _listening(address: str, family: int, kind: int, place: tuple[str | int, ...]) -> socket.socket:
    """Returns a socket that listens. Raises ConfigError."""
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The address for all of them means those of IPv4, too.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(place[0] != "::"))
        bound.bind(place)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"can't listen for clients on {address}: the address is in use or not of this machine"
        ) from error
    return bound
