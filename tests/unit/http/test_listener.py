"""The HTTP listener, with a real client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from coordinator.errors import ConfigError
from coordinator.http.listener import HttpListener


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def broken(request: web.Request) -> web.Response:
    raise ZeroDivisionError("secret")


class Stage:
    """A listener, and a client of it."""

    def __init__(self, connections_max: int = 10, timeout_s: float = 10.0) -> None:
        self.listener = HttpListener(100, connections_max, timeout_s)
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()
        self.listener.route("POST", "/echo", echo)
        self.listener.route("GET", "/broken", broken)
        self.listener.route("GET", "/slow", self.slow)
        self.url = ""

    async def slow(self, request: web.Request) -> web.Response:
        self.began.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return web.Response(text="done")


@asynccontextmanager
async def stage(
    connections_max: int = 10, timeout_s: float = 10.0
) -> AsyncIterator[tuple[Stage, aiohttp.ClientSession]]:
    one = Stage(connections_max, timeout_s)
    one.url = f"http://127.0.0.1:{one.listener.bind('127.0.0.1', 0)}"
    await one.listener.start()
    async with aiohttp.ClientSession(one.url) as client:
        yield one, client
    await one.listener.stop(0)


async def test_routes_and_errors_in_json() -> None:
    async with stage() as (_, client):
        async with client.post("/echo", data=b"hello") as answer:
            assert await answer.read() == b"hello"
        for method, path, status in (
            ("GET", "/echo", 405),
            ("GET", "/nowhere", 404),
            ("GET", "/broken", 500),
        ):
            async with client.request(method, path) as answer:
                assert answer.status == status
                told = await answer.json()
                assert told["code"] == status and "secret" not in str(told)
        async with client.post("/echo", data=b"x" * 200) as answer:
            assert answer.status == 413


async def test_connections_beyond_the_limit_are_refused() -> None:
    async with stage(connections_max=1) as (one, client):
        first = asyncio.create_task(client.get("/slow"))
        await one.began.wait()
        async with aiohttp.ClientSession(one.url) as second, second.get("/slow") as answer:
            assert answer.status == 503
        one.go_on.set()
        assert (await (await first).text()) == "done"


async def test_who_answers_a_client_that_is_gone_stops() -> None:
    async with stage() as (one, client):
        asking = asyncio.create_task(client.get("/slow"))
        await one.began.wait()
        asking.cancel()
        async with asyncio.timeout(5):
            await one.cancelled.wait()


async def test_garbage_closes_its_connection_and_nothing_else() -> None:
    async with stage() as (one, client):
        port = int(one.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.")
        writer.close()
        async with client.post("/echo", data=b"still") as answer:
            assert await answer.read() == b"still"


async def test_a_connection_on_which_nothing_is_asked_is_closed() -> None:
    async with stage(timeout_s=0.1) as (one, client):
        host, _, port = one.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /echo HTTP/1.1\r\nHost: ")
        under_way = asyncio.create_task(client.get("/slow"))
        await one.began.wait()
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        one.go_on.set()
        async with await under_way as answer:
            assert await answer.text() == "done", "who asked in time has all the time"


async def test_what_is_under_way_may_finish_within_the_grace() -> None:
    async with stage() as (one, client):
        asking = asyncio.create_task(client.get("/slow"))
        await one.began.wait()
        stopping = asyncio.create_task(one.listener.stop(5))
        await asyncio.sleep(0)
        one.go_on.set()
        assert (await (await asking).text()) == "done"
        async with asyncio.timeout(5):
            await stopping
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/slow")
        await one.listener.stop(0)


async def test_an_address_that_can_not_be_had() -> None:
    async with stage() as (one, _):
        port = int(one.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"port {port}"):
            HttpListener(1, 1, 10.0).bind("127.0.0.1", port)
    with pytest.raises(ConfigError, match="can't listen for HTTP"):
        HttpListener(1, 1, 10.0).bind("no.such.host.invalid", 1)
    unused = HttpListener(1, 1, 10.0)
    unused.bind("127.0.0.1", 0)
    await unused.stop(0)


async def test_a_connection_that_came_elsewhere_is_refused_while_nothing_is_served() -> None:
    listener = HttpListener(1, 1, 10.0)
    loop = asyncio.get_running_loop()
    elsewhere = await loop.create_server(listener.accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*elsewhere.sockets[0].getsockname())
    assert (await reader.read()).startswith(b"HTTP/1.1 503")
    writer.close()
    elsewhere.close()


async def test_a_connection_that_came_elsewhere_is_served() -> None:
    async with stage() as (one, _):
        loop = asyncio.get_running_loop()
        elsewhere = await loop.create_server(one.listener.accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*elsewhere.sockets[0].getsockname())
        writer.write(b"POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
        assert (await reader.read()).endswith(b"\r\n\r\nhi")
        writer.close()
        elsewhere.close()
