"""The first bytes of a connection: who is served, who is handed on, who is sent away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web

from coordinator.config import Limits, Timing
from coordinator.http.listener import HttpListener
from coordinator.wire.front import server
from coordinator.wire.front.opening import PREFACE, Kind, kind_of
from coordinator.wire.front.peers import server_context
from tests.unit.wire.echoing import put, serving, until
from tests.unit.wire.front.certificates import Authority, needs_openssl
from tests.unit.wire.front.raw_client import RawClient, connected, framed

ECHO = "/test.Service/Echo"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.UNKNOWN),
        (PREFACE[:1], Kind.UNKNOWN),
        (PREFACE[:-1], Kind.UNKNOWN),
        (PREFACE, Kind.HTTP2),
        (PREFACE + b"more", Kind.HTTP2),
        (b"P", Kind.UNKNOWN),
        (b"POS", Kind.UNKNOWN),
        (b"PUT /", Kind.HTTP1),
        (b"GET / HTTP/1.1\r\n", Kind.HTTP1),
        (b"PRI * HTTP/1.1\r\n\r\n", Kind.GARBAGE),
        (b"get / HTTP/1.1\r\n", Kind.GARBAGE),
        (b"\x16\x03\x01\x02", Kind.GARBAGE),
        (b"\0" * 100, Kind.GARBAGE),
    ],
)
def test_kinds(data: bytes, kind: Kind) -> None:
    assert kind_of(data) is kind


async def said(port: int, *pieces: bytes) -> bytes:
    """Returns all that comes on a connection that says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.01)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_garbage_is_closed_and_counted() -> None:
    async with serving() as (front, _, port):
        for garbage in (b"\x16\x03\x01\x02", b"PRI * HTTP/1.1\r\n\r\n", b"\0"):
            assert await said(port, garbage) == b""
        tallies = front.tallies  # type: ignore[union-attr]  # it is a front
        assert tallies.abuse.totals["foreign_preface"] == 3
        await until(lambda: tallies.connections_open == 0)


async def test_http1_gets_an_answer_where_nobody_serves_it() -> None:
    async with serving() as (_, _, port):
        answer = await said(port, b"GE", b"T / HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404") and b"Content-Length: %d" % len(body) in head


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"path": request.path, "got": len(await request.read())})


@asynccontextmanager
async def both(**options: Any) -> AsyncIterator[tuple[server.FrontServer, int]]:
    """Yields a front that hands HTTP/1 on to a listener, and the front's port."""
    listener = HttpListener(1_000_000, 2, 5.0)
    listener.route("GET", "/hello", hello)
    listener.route("POST", "/hello", hello)
    listener.bind("127.0.0.1", 0)
    await listener.start()
    try:
        async with serving(http1=listener.accept, **options) as (front, _, port):
            assert isinstance(front, server.FrontServer)
            yield front, port
    finally:
        await listener.stop(1)


async def test_http1_is_handed_on() -> None:
    async with both() as (front, port), connected(port) as client:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            for _ in range(3):
                answer = await http.get("/hello")
                assert answer.json() == {"path": "/hello", "got": 0}
            answer = await http.post("/hello", content=b"x" * 500_000)
            assert answer.json() == {"path": "/hello", "got": 500_000}
            assert (await http.get("/nothing")).status_code == 404
        assert (await client.call(ECHO, framed(put(b"x")))).status == "0"
        assert front.tallies.connections_handed_on == 1
        said_back = await said(
            port, b"P", b"OST /hello HTTP/1.0\r\nContent-Le", b"ngth: 1\r\n\r\nx"
        )
        assert said_back.startswith(b"HTTP/1.0 200") and said_back.endswith(b'"got": 1}')


async def test_the_limit_of_the_listener_counts_here_too() -> None:
    async with both() as (_, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in held:
            writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        for reader, _ in held:
            assert (await reader.read(12)) == b"HTTP/1.1 200"
        answer = await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        for _, writer in held:
            writer.close()


@needs_openssl
async def test_http1_over_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    encryption = server_context(*authority.issue("localhost"))
    async with both(encryption=encryption) as (front, port):
        for protocols in (("http/1.1",), ()):
            context = authority.client_context(*protocols)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            writer.write(b"GET /hello HTTP/1.0\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.0 200")
            writer.close()
        assert front.tallies.connections_handed_on == 2
        async with connected(port, context=authority.client_context("h2", "http/1.1")) as client:
            assert (await client.call(ECHO, framed(put(b"x")))).status == "0"


@pytest.mark.parametrize("begun", [b"", b"P", PREFACE[:-1], PREFACE])
async def test_who_does_not_begin_in_time_is_sent_away(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    timing = Timing(client_greeting_ms=100)
    async with serving(timing=timing) as (front, _, port), connected(port) as client:
        await said(port, begun)
        assert front.tallies.connections_silent == 1  # type: ignore[union-attr]  # it is a front
        assert (await client.call(ECHO, framed(put(b"x")))).status == "0"


async def test_connections_beyond_the_limit_are_closed() -> None:
    async with serving(limits=Limits(connections_max=2)) as (front, _, port):
        tallies = front.tallies  # type: ignore[union-attr]  # it is a front
        async with connected(port) as client:
            idle = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: tallies.connections_open == 2)
            assert await said(port) == b""
            assert tallies.connections_refused == 1
            assert (await client.call(ECHO, framed(put(b"x")))).status == "0"
            idle[1].close()
            await until(lambda: tallies.connections_open == 1)
            async with connected(port) as other:
                assert (await other.call(ECHO, framed(put(b"x")))).status == "0"


async def test_a_preface_in_pieces() -> None:
    async with serving() as (_, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = RawClient(reader, writer)
        client.h2.initiate_connection()
        for byte in client.h2.data_to_send():
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        client._reading = asyncio.create_task(client._read())
        assert (await client.call(ECHO, framed(put(b"x")))).status == "0"
        await client.close()
