"""A small cluster in this process, for the asyncio face in the test's own loop and for the blocking one in a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

import coordinator_client
from coordinator_client import aio
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
