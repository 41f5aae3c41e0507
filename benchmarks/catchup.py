"""Measures what a paced writer feels while a node catches up: `python benchmarks/catchup.py`.

First a node that was down for 100,000 entries comes back; then an empty one joins a state of some size. Clients and
nodes share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator_client import aio
from scripts.localcluster.layout import plan_next_node
from tests.cluster.harness import Cluster

PACE_PER_S = 500


class PacedWriter:
    """Begins a write every so often, whatever became of the ones before."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self.times_ms: list[float] = []

    async def __aenter__(self) -> PacedWriter:
        self._pacing = asyncio.create_task(self._pace())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._pacing is not None
        self._pacing.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _pace(self) -> None:
        loop, number = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            due += 1 / PACE_PER_S
            number += 1
            task = asyncio.create_task(self._write(number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _write(self, number: int) -> None:
        began = time.perf_counter()
        await self._client.put(f"/paced/{number % 1000}", "x" * 100)
        self.times_ms.append((time.perf_counter() - began) * 1e3)

    def take(self) -> dict[str, float]:
        """The figures since the last call."""
        times, self.times_ms = sorted(self.times_ms), []
        return {
            "writes": len(times),
            "p50_ms": round(times[len(times) // 2], 2),
            "p99_ms": round(times[int(len(times) * 0.99)], 2),
            "worst_ms": round(times[-1], 2),
        }


def last_index(cluster: Cluster) -> int:
    return max(status.applied_index for status in cluster.statuses().values())


async def until_caught_up(cluster: Cluster, number: int, timeout_s: float = 300) -> float:
    """Returns how long it took, in seconds."""
    began = time.perf_counter()
    while time.perf_counter() - began < timeout_s:
        status = await asyncio.to_thread(cluster.status, number)
        goal = await asyncio.to_thread(last_index, cluster)
        if status is not None and status.applied_index > goal - 200:
            return round(time.perf_counter() - began, 2)
        await asyncio.sleep(0.1)
    raise TimeoutError(f"node {number} did not catch up")


async def pour(client: aio.Client, count: int, size: int) -> None:
    """Writes keys with incompressible values."""
    chance = random.Random(count)
    numbers = iter(range(count))

    async def run() -> None:
        for number in numbers:
            await client.put(f"/poured/{number % 200_000:06d}", chance.randbytes(size))

    await asyncio.gather(*(run() for _ in range(64)))


async def measure(folder: Path, entries: int, state_mib: int) -> dict[str, object]:
    cluster = Cluster(folder)
    figures: dict[str, object] = {}
    try:
        await asyncio.to_thread(cluster.start)
        leader = await asyncio.to_thread(cluster.leader)
        behind = next(i for i in (1, 2, 3) if i != leader)
        staying = [e for i, e in enumerate(cluster.endpoints, 1) if i != behind]
        async with aio.connect(staying) as client, aio.connect(staying) as paced:
            async with PacedWriter(paced) as writer:
                await asyncio.sleep(2)
                writer.take()
                await asyncio.sleep(10)
                figures["before"] = writer.take()
            await asyncio.to_thread(cluster.kill, behind)
            first = await asyncio.to_thread(last_index, cluster)
            while (done := await asyncio.to_thread(last_index, cluster)) - first < entries:
                await pour(client, min(20_000, 64 + entries - (done - first)), 100)
            figures["entries_behind"] = done - first
            async with PacedWriter(paced) as writer:
                await asyncio.sleep(2)
                writer.take()
                restart = asyncio.create_task(asyncio.to_thread(cluster.restart, behind))
                took = await until_caught_up(cluster, behind)
                await restart
                figures["behind"] = writer.take() | {"caught_up_s": took}
            await pour(client, state_mib * 1024, 1024)
            figures["state_mib_poured"] = state_mib
            async with PacedWriter(paced) as writer:
                await asyncio.sleep(5)
                figures["before_join"] = writer.take()
                planned = plan_next_node(folder, cluster.nodes)
                await client.add_member(planned.name, planned.peer)
                join = asyncio.create_task(asyncio.to_thread(cluster.join))
                while len(cluster.nodes) < 4:
                    await asyncio.sleep(0.05)
                took = await until_caught_up(cluster, 4)
                await join
                figures["join"] = writer.take() | {"caught_up_s": took}
    finally:
        await asyncio.to_thread(cluster.close)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--state-mib", type=int, default=200)
    options = parser.parse_args()
    # Else proposals that meet share an entry, and it would take many more of them.
    os.environ["COORDINATOR_LIMITS_BUNDLE_SIZE_BYTES_MAX"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder) / "cluster", options.entries, options.state_mib))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
