"""Whether this node lives, and whether it can do its work: for those who restart it, or send clients elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from coordinator.http.listener import HttpListener


def register_wellness(listener: HttpListener, unready: Callable[[], str]) -> None:
    """Registers /livez and /readyz. `unready` returns why the node can't do its work; empty: it can."""

    async def livez(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(request: web.Request) -> web.Response:
        if why := unready():
            return web.Response(text=f"not ready: {why}\n", status=503)
        return web.Response(text="ok\n")

    listener.route("GET", "/livez", livez)
    listener.route("GET", "/readyz", readyz)
