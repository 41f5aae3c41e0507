"""A small cluster in this process, for the asyncio face in the test's own loop and for the blocking one in a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

import coordinator_client
from coordinator_client import aio
from tests.unit.client.ledger import Ledger
from tests.unit.client.scripted import scripted
from tests.unit.client.stage import Stage, StageThread


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[aio.Client]:
    async with aio.connect(stage.addresses) as client:
        yield client


@pytest.fixture
def stage_thread() -> Iterator[StageThread]:
    with StageThread() as stage:
        yield stage


@pytest.fixture
def blocking(stage_thread: StageThread) -> Iterator[coordinator_client.Client]:
    with coordinator_client.connect(stage_thread.addresses) as client:
        yield client


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def endpoints(ledger: Ledger) -> AsyncIterator[list[str]]:
    """Two nodes that share the ledger."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(scripted()) for _ in range(2)]
        for server in servers:
            ledger.serve(server)
        yield [server.endpoint for server in servers]
