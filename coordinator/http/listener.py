"""The node's one HTTP listener, on which gateways register their routes before it starts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast

import structlog
from aiohttp import web

from coordinator.errors import ConfigError

BACKLOG = 128
KEEP_ALIVE_S = 15.0
"""How long a connection on which nothing is asked stays open."""
HEADER_SIZE_BYTES_MAX = 8 * 1024
"""Of the first line of a request, and of each of its headers."""

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class HttpListener:
    """Serves HTTP/1.1 at one address."""

    def __init__(
        self, body_size_bytes_max: int, connections_max: int, request_timeout_s: float
    ) -> None:
        """`request_timeout_s`: how long a client that connected may take for its first request."""
        self._app = web.Application(
            client_max_size=body_size_bytes_max,
            middlewares=[self._note_request, _without_traceback],
        )
        self._connections_max = connections_max
        self._request_timeout_s = request_timeout_s
        self._silent: set[web.RequestHandler] = set()
        """Connections on which no request came yet, and that may take some time more for it."""
        self._socket: socket.socket | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    def route(self, method: str, path: str, answer: Route) -> None:
        """Registers what answers a method at a path."""
        self._app.router.add_route(method, path, answer)

    def bind(self, host: str, port: int) -> int:
        """Takes the address, with port 0 any port; returns the port. Raises ConfigError if it can't be had."""
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = socket.socket(family, kind)
        except OSError as error:
            raise ConfigError(f"can't listen for HTTP on {host}: {error}") from None
        try:
            bound.setblocking(False)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError as error:
            bound.close()
            reason = error.strerror or str(error)
            raise ConfigError(f"can't listen for HTTP on {host}, port {port}: {reason}") from None
        self._socket = bound
        taken: int = bound.getsockname()[1]
        return taken

    async def start(self) -> None:
        """Begins to serve."""
        assert self._socket is not None, "bind comes first"
        self._runner = web.AppRunner(
            self._app,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_S,
            max_line_size=HEADER_SIZE_BYTES_MAX,
            max_field_size=HEADER_SIZE_BYTES_MAX,
            # Whoever answers a client that is gone should not go on.
            handler_cancellation=True,
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.accept, sock=self._socket)
        self._socket = None

    def accept(self) -> asyncio.Protocol:
        """Returns a protocol for a connection that came here or elsewhere; one that refuses if there is no room."""
        server = None if self._runner is None else self._runner.server
        if server is None or len(server.connections) >= self._connections_max:
            return _Refusal()
        protocol = server()
        self._silent.add(protocol)
        loop = asyncio.get_running_loop()
        loop.call_later(self._request_timeout_s, self._close_if_silent, protocol)
        return protocol

    def _close_if_silent(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.abort()

    @web.middleware
    async def _note_request(self, request: web.Request, handler: Route) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        return await handler(request)

    async def stop(self, grace_s: float) -> None:
        """Takes no more requests, lets those under way finish within the grace, and ends the others. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._server is not None:
            self._server.close()
            self._server = None
        runner, self._runner = self._runner, None
        if runner is not None and runner.server is not None:
            runner.server.pre_shutdown()
            await runner.server.shutdown(max(grace_s, 0.0))
            await runner.cleanup()


class _Refusal(asyncio.Protocol):
    """What a client gets for whom there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast("asyncio.Transport", transport)
        transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        transport.close()


@web.middleware
async def _without_traceback(request: web.Request, handler: Route) -> web.StreamResponse:
    """Gives every error a body in JSON, and none that tells of our insides."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        failed = web.json_response({"error": error.reason, "code": error.status})
        failed.set_status(error.status)
        if "Allow" in error.headers:
            failed.headers["Allow"] = error.headers["Allow"]
        return failed
    except Exception:
        log.exception("an HTTP request failed", path=request.path)
        return web.json_response({"error": "internal error", "code": 500}, status=500)
