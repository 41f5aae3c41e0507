"""Closed loops of callers that share one client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.peers.clients import Client
from benchmarks.peers.report import Sample
from benchmarks.peers.systems import System
from benchmarks.peers.usage import cpu_s

VALUE = b"x" * 128
CALLERS_MAX = 1_024
HOT = "/bench/hot"
RANGE = "/bench-range/"
RANGE_KEYS = 1_000
READS_PER_WRITE = 9

Step = Callable[[int], Awaitable[bool]]
"""One operation of a caller; False: a conflict, which does not count."""


def key_of(caller: int) -> str:
    return f"/bench/{caller}"


def summed_up(times: list[float], elapsed_s: float, cpu: float, conflicts: int) -> Sample:
    """Returns what a loop did. Raises RuntimeError if it did nothing."""
    if not times:
        raise RuntimeError("nothing succeeded")
    times.sort()
    return Sample(
        len(times) / elapsed_s,
        times[len(times) // 2] * 1e3,
        times[int(len(times) * 0.99)] * 1e3,
        cpu / len(times) * 1e6,
        conflicts / len(times) if conflicts else None,
    )


async def closed_loop(system: System, callers: int, seconds: float, step: Step) -> Sample:
    """Lets callers run, each its operations one after the other. Raises what any of them raised."""
    times: list[float] = []
    conflicts = 0
    before = cpu_s(system.processes)
    began = time.perf_counter()
    end = began + seconds

    async def run(caller: int) -> None:
        nonlocal conflicts
        while (start := time.perf_counter()) < end:
            if await step(caller):
                times.append(time.perf_counter() - start)
            else:
                conflicts += 1

    async with asyncio.TaskGroup() as tasks:
        for caller in range(callers):
            tasks.create_task(run(caller))
    elapsed = time.perf_counter() - began
    return summed_up(times, elapsed, cpu_s(system.processes) - before, conflicts)


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
        found = await client.get_local(key_of(caller))
        if found != VALUE:
            raise RuntimeError(f"{key_of(caller)} is {found!r}")
        return True

    return step


def mixed(client: Client) -> Step:
    turns = list(range(CALLERS_MAX))
    read, write = gets(client), puts(client)

    async def step(caller: int) -> bool:
        turns[caller] += 1
        return await (read if turns[caller] % (READS_PER_WRITE + 1) else write)(caller)

    return step


def ranges(client: Client) -> Step:
    async def step(_: int) -> bool:
        count = await client.range(RANGE)
        if count != RANGE_KEYS:
            raise RuntimeError(f"{count} keys of {RANGE_KEYS}")
        return True

    return step


def compare_and_sets(client: Client) -> Step:
    versions: dict[int, int] = {}

    async def step(caller: int) -> bool:
        key = key_of(caller)
        if caller not in versions:
            versions[caller] = await client.read_version(key)
        version = await client.compare_and_set(key, versions[caller], VALUE)
        if version is None:
            raise RuntimeError("refused, although nobody else writes the key")
        versions[caller] = version
        return True

    return step


def hot_compare_and_sets(client: Client) -> Step:
    """All callers write one key, reading it again after a conflict."""

    async def step(_: int) -> bool:
        version = await client.read_version(HOT)
        return await client.compare_and_set(HOT, version, VALUE) is not None

    return step


LOOPS: dict[str, tuple[int, Callable[[Client], Step]]] = {
    "put, 1 caller": (1, puts),
    "put, 16 callers": (16, puts),
    "put, 64 callers": (64, puts),
    "put, 256 callers": (256, puts),
    "put, 1024 callers": (1_024, puts),
    "linearizable get, 1 caller": (1, gets),
    "linearizable get, 64 callers": (64, gets),
    "local get, 64 callers": (64, local_gets),
    "9 linearizable gets to a put, 64 callers": (64, mixed),
    "range of 1,000 keys, 4 callers": (4, ranges),
    "compare-and-set, 64 callers, a key each": (64, compare_and_sets),
    "compare-and-set, 64 callers, one key": (64, hot_compare_and_sets),
}
"""How many callers, and what each does."""


async def prepare(client: Client) -> None:
    """Makes all keys that loops ask for."""
    await client.prepare([*(key_of(caller) for caller in range(CALLERS_MAX)), HOT], VALUE)
    await client.prepare([f"{RANGE}{number:04}" for number in range(RANGE_KEYS)], VALUE)
