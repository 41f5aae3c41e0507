"""Servers, views of them and channels over these, for both faces; what channels leave behind is a failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from coordinator_client import aio, grpc_channel
from tests.unit.client.grpc_channels.echoes import (
    WAIT_S,
    AioEcho,
    AioView,
    Echo,
    Open,
    View,
    instance,
    wait_until,
)


@pytest.fixture
def servers() -> Iterator[list[Echo]]:
    servers = [Echo("a"), Echo("b")]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def view(servers: list[Echo]) -> View:
    return View(*(instance(server.name.decode(), server.port) for server in servers))


@pytest.fixture
def open_channel() -> Iterator[Open]:
    before = set(threading.enumerate())
    channels: list[Any] = []

    def open_one(*args: Any, **kwargs: Any) -> Any:
        channels.append(grpc_channel(*args, **kwargs))
        return channels[-1]

    yield open_one
    closers = [threading.Thread(target=channel.close) for channel in channels]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(WAIT_S)
    # Those of servers are not ours.
    ours = ("coordinator-channel", "_run")
    wait_until(
        lambda: (
            not [t for t in set(threading.enumerate()) - before if any(o in t.name for o in ours)]
        ),
        WAIT_S,
        lambda: f"left behind: {threading.enumerate()}",
    )


@pytest.fixture
async def aio_servers() -> AsyncIterator[list[AioEcho]]:
    aio_servers = [await AioEcho("a").start(), await AioEcho("b").start()]
    yield aio_servers
    for server in aio_servers:
        await server.stop()


@pytest.fixture
def aio_view(aio_servers: list[AioEcho]) -> AioView:
    return AioView(*(instance(server.name.decode(), server.port) for server in aio_servers))


@pytest.fixture
async def open_aio_channel(aio_servers: list[AioEcho]) -> AsyncIterator[Open]:
    channels: list[Any] = []

    def open_one(*args: Any, **kwargs: Any) -> Any:
        channels.append(aio.grpc_channel(*args, **kwargs))
        return channels[-1]

    async with AsyncExitStack() as stack:
        yield open_one
        for channel in channels:
            await stack.enter_async_context(channel)
    ours = [task for task in asyncio.all_tasks() if "coordinator-channel" in task.get_name()]
    assert not ours
