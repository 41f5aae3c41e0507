"""What is asked of every system: closed loops of callers that share one client."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.peers.report import Sample
from benchmarks.peers.systems import Client, System

VALUE = b"x" * 128
CALLERS_MAX = 1_024
HOT = "/bench/hot"

Step = Callable[[int], Awaitable[bool]]
"""One operation of a caller; False: it does not count."""


def key_of(caller: int) -> str:
    return f"/bench/{caller}"


def cpu_s(processes: list[int]) -> float:
    """Returns the processor time that processes have used, in seconds."""
    ticks = 0
    for pid in processes:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def closed_loop(system: System, callers: int, seconds: float, step: Step) -> Sample:
    """Lets callers run, each its operations one after the other."""
    times: list[float] = []
    before = cpu_s(system.processes)
    began = time.perf_counter()
    end = began + seconds

    async def run(caller: int) -> None:
        while (start := time.perf_counter()) < end:
            if await step(caller):
                times.append(time.perf_counter() - start)

    await asyncio.gather(*(run(caller) for caller in range(callers)))
    elapsed = time.perf_counter() - began
    spent = cpu_s(system.processes) - before
    times.sort()
    if not times:
        return Sample(0.0, 0.0, 0.0, 0.0)
    return Sample(
        len(times) / elapsed,
        times[len(times) // 2] * 1e3,
        times[int(len(times) * 0.99)] * 1e3,
        spent / len(times) * 1e6,
    )


def puts(client: Client) -> Step:
    async def step(caller: int) -> bool:
        await client.put(key_of(caller), VALUE)
        return True

    return step


def gets(client: Client) -> Step:
    async def step(caller: int) -> bool:
        await client.get(key_of(caller))
        return True

    return step


def local_gets(client: Client) -> Step:
    async def step(caller: int) -> bool:
        await client.get_local(key_of(caller))
        return True

    return step


def compare_and_sets(client: Client) -> Step:
    versions: dict[int, int] = {}

    async def step(caller: int) -> bool:
        key = key_of(caller)
        if caller not in versions:
            versions[caller] = await client.read_version(key)
        version = await client.compare_and_set(key, versions[caller], VALUE)
        assert version is not None, "nobody else writes the key"
        versions[caller] = version
        return True

    return step


def hot_compare_and_sets(client: Client) -> Step:
    """All callers write one key. An attempt that comes too late does not count; its time is nobody's."""

    async def step(_: int) -> bool:
        version = await client.read_version(HOT)
        return await client.compare_and_set(HOT, version, VALUE) is not None

    return step


WORKLOADS: dict[str, tuple[int, Callable[[Client], Step]]] = {
    "put, 1 caller": (1, puts),
    "put, 16 callers": (16, puts),
    "put, 64 callers": (64, puts),
    "put, 256 callers": (256, puts),
    "put, 1024 callers": (1_024, puts),
    "linearizable get, 1 caller": (1, gets),
    "linearizable get, 64 callers": (64, gets),
    "local get, 64 callers": (64, local_gets),
    "compare-and-set, 64 callers, a key each": (64, compare_and_sets),
    "compare-and-set, 64 callers, one key": (64, hot_compare_and_sets),
}
"""How many callers, and what each does."""
