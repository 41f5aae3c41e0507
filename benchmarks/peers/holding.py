"""Sessions: how fast they open, what it costs to hold them, and how soon their keys go when they end."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks.peers.clients import Client, Sessions
from benchmarks.peers.report import Sample
from benchmarks.peers.systems import System
from benchmarks.peers.usage import cpu_s

CONNECTIONS = 8
OPENERS = 64
TTL_S = 5.0
LAG_S_MAX = 60.0
PREFIX = "/sessions/"
WARM_UP = 64


def number_of(key: str) -> int:
    return int(key.removeprefix(PREFIX))


class Holding:
    """Sessions that live, spread over a few connections where a client lets sessions share one."""

    def __init__(self, system: System, count: int) -> None:
        self._system = system
        self._count = count
        self._connections: list[Sessions] = []
        self._watching: Client | None = None

    async def open(self) -> Sample:
        """Opens all; the value is how many in a second."""
        self._watching = await self._system.connect()
        await self._watching.prepare([f"{PREFIX}all"], b"")
        await self._warm_up()
        self._connections = [self._system.sessions(n, TTL_S) for n in range(CONNECTIONS)]
        times: list[float] = []

        async def open_one(number: int) -> None:
            start = time.perf_counter()
            await self._connections[number % CONNECTIONS].open()
            times.append(time.perf_counter() - start)

        before = cpu_s(self._system.processes)
        began = time.perf_counter()
        await each(self._count, open_one)
        elapsed = time.perf_counter() - began
        spent = cpu_s(self._system.processes) - before
        times.sort()
        return Sample(
            self._count / elapsed,
            times[len(times) // 2] * 1e3,
            times[int(len(times) * 0.99)] * 1e3,
            spent / self._count * 1e6,
        )

    async def _warm_up(self) -> None:
        warm = self._system.sessions(0, TTL_S)

        async def open_one(_: int) -> None:
            await warm.open()

        await each(WARM_UP, open_one)
        await warm.abandon()

    async def hold(self, seconds: float) -> Sample:
        """The value is how many cores the servers use meanwhile."""
        # So that every session is past its first keep-alive.
        await asyncio.sleep(TTL_S / 2)
        before, began = cpu_s(self._system.processes), time.perf_counter()
        await asyncio.sleep(seconds)
        spent = cpu_s(self._system.processes) - before
        return Sample(spent / (time.perf_counter() - began))

    async def expire(self) -> Sample:
        """Lets all sessions end; the value is the median from then until a watcher sees a key go, in ms."""
        assert self._watching is not None
        gone: dict[int, float] = {}
        complete = asyncio.Event()

        def note(key: str) -> None:
            number = number_of(key)
            if gone.setdefault(number, time.monotonic()) and len(gone) == self._count:
                complete.set()

        async def own(number: int) -> None:
            place, connection = divmod(number, CONNECTIONS)
            await self._connections[connection].own(place, f"{PREFIX}{number}")

        await each(self._count, own)
        await self._watching.watch_removals(PREFIX, note)
        # So that what the keys cost is over, and keep-alives are as regular as they will be.
        await asyncio.sleep(TTL_S / 2)
        if gone:
            raise RuntimeError(f"{len(gone)} sessions ended although they were kept alive")
        lags = []
        until = [await connection.abandon() for connection in self._connections]
        self._connections = []
        try:
            await asyncio.wait_for(complete.wait(), TTL_S + LAG_S_MAX)
        except TimeoutError:
            self._watching.check()
            raise RuntimeError(f"{len(gone)} of {self._count} keys went") from None
        for number in range(self._count):
            place, connection = divmod(number, CONNECTIONS)
            lags.append((gone[number] - until[connection][place]) * 1e3)
        lags.sort()
        return Sample(statistics.median(lags), lags[len(lags) // 2], lags[int(len(lags) * 0.99)])

    async def close(self) -> None:
        """Lets all sessions that are held end by their TTL."""
        for connection in self._connections:
            await connection.abandon()
        if self._watching is not None:
            await self._watching.close()


async def each(count: int, do: Callable[[int], Awaitable[None]]) -> None:
    """Does something for every number, a few dozen at a time. Raises what any of them raised."""
    numbers = iter(range(count))

    async def run() -> None:
        for number in numbers:
            await do(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(OPENERS):
            tasks.create_task(run())
