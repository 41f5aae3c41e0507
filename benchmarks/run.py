"""Measures a cluster of three nodes on this machine: `make bench`.

Closed loops: a number of callers, each with one request under way, for some seconds; then the time from
a put to its event at many watches. Clients and servers share the machine, so a rate is what is left for
the servers after the clients took their share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator_client import aio
from scripts.localcluster.cluster import LocalCluster
from tests.cluster.harness import find_base_port

VALUE = b"x" * 128
KEYS = 1_000


@dataclass(frozen=True)
class Figure:
    """One measurement; times in milliseconds."""

    name: str
    rate_per_s: float
    p50_ms: float
    p99_ms: float
    count: int


def figure(name: str, times_s: list[float], elapsed_s: float) -> Figure:
    ordered = sorted(times_s)
    return Figure(
        name=name,
        rate_per_s=round(len(ordered) / elapsed_s, 1),
        p50_ms=round(statistics.median(ordered) * 1e3, 2),
        p99_ms=round(ordered[int(len(ordered) * 0.99)] * 1e3, 2),
        count=len(ordered),
    )


async def closed_loop(
    name: str, callers: int, seconds: float, call: Callable[[int, int], Awaitable[object]]
) -> Figure:
    """Lets callers run, each its calls one after the other; `call` gets the caller and its count."""
    times: list[float] = []
    began = time.perf_counter()
    end = began + seconds

    async def run(caller: int) -> None:
        number = 0
        while (start := time.perf_counter()) < end:
            await call(caller, number)
            times.append(time.perf_counter() - start)
            number += 1

    await asyncio.gather(*(run(caller) for caller in range(callers)))
    return figure(name, times, time.perf_counter() - began)


async def fan_out(clients: list[aio.Client], watches: int, puts: int, pause_s: float) -> Figure:
    """Times from the start of a put to its event, at each of many watches."""
    times: list[float] = []
    opened = asyncio.Semaphore(0)

    async def observe(client: aio.Client) -> None:
        async with client.watch("/fan/", prefix=True) as watch:
            opened.release()
            seen = 0
            while seen < puts:
                for event in (await watch.next()).events:
                    assert event.kv is not None
                    times.append(time.perf_counter() - float(event.kv.text))
                    seen += 1

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for i in range(watches):
            group.create_task(observe(clients[i % len(clients)]))
        for _ in range(watches):
            await opened.acquire()
        for i in range(puts):
            await clients[0].put(f"/fan/{i}", repr(time.perf_counter()))
            await asyncio.sleep(pause_s)
    return figure(f"put to event, {watches} watches", times, time.perf_counter() - began)


async def measure(endpoints: list[str], seconds: float, watches: int) -> list[Figure]:
    clients = [aio.connect([endpoint]) for endpoint in endpoints]

    def client(caller: int) -> aio.Client:
        return clients[caller % len(clients)]

    async def put(caller: int, number: int) -> object:
        return await client(caller).put(f"/bench/{caller}/{number % KEYS}", VALUE)

    async def get(caller: int, number: int) -> object:
        return await client(caller).get(f"/bench/{caller}/{number % KEYS}")

    async def get_local(caller: int, number: int) -> object:
        return await client(caller).get(f"/bench/{caller}/{number % KEYS}", local=True)

    try:
        await closed_loop("warm-up", 16, min(seconds, 2.0), put)
        figures = []
        for callers in (1, 16, 64, 256):
            figures.append(await closed_loop(f"put, {callers} callers", callers, seconds, put))
        for callers in (1, 64):
            figures.append(await closed_loop(f"get, {callers} callers", callers, seconds, get))
        figures.append(await closed_loop("local get, 64 callers", 64, seconds, get_local))
        figures.append(await fan_out(clients, watches, 50, 0.05))
    finally:
        for one in clients:
            await one.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--watches", type=int, default=100)
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        cluster = LocalCluster(Path(folder))
        cluster.start(3, find_base_port(3))
        try:
            cluster.wait_leader()
            endpoints = [node.client for node in cluster.nodes]
            figures = asyncio.run(measure(endpoints, options.seconds, options.watches))
        finally:
            cluster.stop()
    for row in figures:
        print(
            f"{row.name:28} {row.rate_per_s:9.0f} /s   "
            f"p50 {row.p50_ms:8.2f} ms   p99 {row.p99_ms:8.2f} ms"
        )
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(row) for row in figures], indent=2))


if __name__ == "__main__":
    main()
