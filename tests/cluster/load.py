"""A steady writer: what it was promised, and how long it had to wait."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from coordinator_client import aio


class Writer:
    """Writes one key after the other and remembers what was acknowledged, and when."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged: dict[str, int] = {}
        self.unknown: list[str] = []
        self.times: list[float] = []

    async def run(self, endpoints: Sequence[str], stop: asyncio.Event) -> None:
        number = 0
        async with aio.connect(endpoints, shuffle=False) as client:
            while not stop.is_set():
                number += 1
                key = f"/load/{self.name}/{number}"
                try:
                    result = await client.put(key, key)
                except (aio.OutcomeUnknown, aio.Unavailable, aio.DeadlineExceeded):
                    self.unknown.append(key)
                    continue
                self.acknowledged[key] = result.revision
                self.times.append(time.monotonic())

    def longest_wait_s(self, since: float) -> float:
        """Returns the longest time between two acknowledgements, the first of them not before `since`."""
        times = [since, *(t for t in self.times if t >= since)]
        return max(later - earlier for earlier, later in itertools.pairwise(times))


@asynccontextmanager
async def writers(endpoints: Sequence[str], count: int = 3) -> AsyncIterator[list[Writer]]:
    """Lets several writers run, each with its own order of the endpoints."""
    stop = asyncio.Event()
    running = [Writer(f"w{i}") for i in range(count)]
    async with asyncio.TaskGroup() as group:
        for i, writer in enumerate(running):
            order = [*endpoints[i % len(endpoints) :], *endpoints[: i % len(endpoints)]]
            group.create_task(writer.run(order, stop))
        try:
            yield running
        finally:
            stop.set()


async def check_kept(endpoint: str, running: Sequence[Writer]) -> None:
    """Checks that every acknowledged write is there, at the revision that was told."""
    async with aio.connect(endpoint) as client:
        found = {kv.key.decode(): kv async for kv in client.range_all("/load/", prefix=True)}
    for writer in running:
        assert writer.acknowledged, f"{writer.name} wrote nothing"
        for key, revision in writer.acknowledged.items():
            assert key in found, f"{key} was acknowledged at revision {revision} and is lost"
            assert found[key].mod_revision == revision
            assert found[key].version == 1
