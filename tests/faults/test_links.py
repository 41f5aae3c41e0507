"""The proxies: what gets through, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scripts.localcluster.layout import HOST
from tests.faults.links import Links

SHORT_S = 0.15
LONG_S = 5.0


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while line := await reader.readline():
            writer.write(line)
    writer.close()


@asynccontextmanager
async def linked() -> AsyncIterator[Links]:
    """Two members; both answer each line with the same."""
    servers = [await asyncio.start_server(echo, HOST, 0) for _ in range(2)]
    addresses = {
        i: f"{HOST}:{server.sockets[0].getsockname()[1]}" for i, server in enumerate(servers, 1)
    }
    links = Links(addresses)
    await links.start()
    try:
        yield links
    finally:
        await links.stop()
        for server in servers:
            server.close()


@asynccontextmanager
async def dialed(
    links: Links,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = links.address(1, 2).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader, timeout_s: float) -> bytes | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await reader.readline()
    except TimeoutError:
        return None


@pytest.mark.parametrize("pair", [(1, 2), (2, 1)], ids=["there", "back"])
async def test_what_is_stalled_comes_later(pair: tuple[int, int]) -> None:
    async with linked() as links, dialed(links) as (reader, writer):
        writer.write(b"one\n")
        assert await answer(reader, LONG_S) == b"one\n"
        links.stall([pair])
        writer.write(b"two\n")
        assert await answer(reader, SHORT_S) is None
        links.heal()
        assert await answer(reader, LONG_S) == b"two\n"


async def test_only_what_was_named_is_stalled() -> None:
    async with linked() as links:
        links.stall([(2, 1)])
        host, _, port = links.address(2, 1).rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"held\n")
        assert await answer(reader, SHORT_S) is None
        links.heal()
        assert await answer(reader, LONG_S) == b"held\n"
        writer.transport.abort()


async def test_a_cut_ends_connections_and_lets_none_be_made() -> None:
    async with linked() as links:
        async with dialed(links) as (reader, writer):
            writer.write(b"one\n")
            assert await answer(reader, LONG_S) == b"one\n"
            await links.cut([(2, 1)])
            with pytest.raises(OSError):
                assert await answer(reader, LONG_S) == b""
                raise ConnectionResetError("closed without a reset")
        async with dialed(links) as (reader, writer):
            with contextlib.suppress(OSError):
                assert await answer(reader, LONG_S) == b""
        links.heal()
        async with dialed(links) as (reader, writer):
            writer.write(b"two\n")
            assert await answer(reader, LONG_S) == b"two\n"


async def test_delay_and_rate() -> None:
    loop = asyncio.get_running_loop()
    async with linked() as links, dialed(links) as (reader, writer):
        links.slow([(1, 2)], 0.2, 0.0)
        began_s = loop.time()
        writer.write(b"one\n")
        assert await answer(reader, LONG_S) == b"one\n"
        assert loop.time() - began_s >= 0.2
        links.heal()
        links.slow([(2, 1)], 0.0, 10.0)
        began_s = loop.time()
        writer.write(b"12\n")
        assert await answer(reader, LONG_S) == b"12\n"
        writer.write(b"34\n")
        assert await answer(reader, LONG_S) == b"34\n"
        assert loop.time() - began_s >= 0.3
