"""How fast changes of one key reach many watchers, spread over a few clients."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from functools import partial
from typing import Protocol

from benchmarks.peers.clients import Client
from benchmarks.peers.report import Sample
from benchmarks.peers.systems import until
from benchmarks.peers.usage import cpu_s

CLIENTS = 8
WRITERS = 16
EVENTS_UNDELIVERED_MAX = 64_000
PUTS_UNDELIVERED_MAX = 64
DEADLINE_S = 120.0
CALM_S = 2.0
VALUE_BYTES = 128


class Delivery:
    """What watchers of one key have seen, each the puts 1, 2, ... that were made of it."""

    def __init__(self, watchers: int, exact: bool) -> None:
        self.watchers = watchers
        self.latencies_s: list[float] = []
        self._exact = exact
        self._started: dict[int, float] = {}
        self._counts = [0] * watchers
        self._sums = [0] * watchers
        self._revisions = [0] * watchers
        self._arrived: defaultdict[int, int] = defaultdict(int)
        self._room = asyncio.Semaphore(
            max(2, min(PUTS_UNDELIVERED_MAX, EVENTS_UNDELIVERED_MAX // watchers))
        )
        self._complete = asyncio.Event()
        self._wrong = ""

    async def next_value(self) -> bytes:
        """Returns the value of the next put, once those before have reached nearly all."""
        await self._room.acquire()
        number = len(self._started) + 1
        self._complete.clear()
        self._started[number] = time.perf_counter()
        return b"%012d" % number + bytes(VALUE_BYTES - 12)

    def seen(self, watcher: int, value: bytes, revision: int) -> None:
        """A watcher has a value in hand."""
        number = int(value[:12])
        self.latencies_s.append(time.perf_counter() - self._started[number])
        if self._exact and revision <= self._revisions[watcher]:
            self._wrong = f"watcher {watcher} saw revision {revision} out of order"
        self._revisions[watcher] = revision
        self._sums[watcher] += number
        count = self._counts[watcher] = self._counts[watcher] + 1
        self._arrived[count] += 1
        if self._arrived[count] == self.watchers:
            del self._arrived[count]
            self._room.release()
            if count == len(self._started):
                self._complete.set()

    async def wait(self, clients: list[Client]) -> None:
        """Returns once every watcher saw every put. Raises RuntimeError if one did not, or saw one twice or late."""
        deadline = time.monotonic() + DEADLINE_S
        while not self._complete.is_set():
            for client in clients:
                client.check()
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"after {DEADLINE_S:.0f} s a watcher saw {min(self._counts)} of {len(self._started)} puts"
                )
            try:
                await asyncio.wait_for(self._complete.wait(), 1)
            except TimeoutError:
                continue
        self.check()

    def check(self) -> None:
        """Raises RuntimeError if not every watcher saw every put once, and in order."""
        puts = len(self._started)
        if set(self._counts) != {puts}:
            raise RuntimeError(f"watchers saw {set(self._counts)} events of {puts} puts")
        if self._exact and set(self._sums) != {puts * (puts + 1) // 2}:
            raise RuntimeError("a watcher saw a put twice, and missed another")
        if self._wrong:
            raise RuntimeError(self._wrong)


class Watched(Protocol):
    """A cluster, as far as its watchers go; see `System`."""

    @property
    def processes(self) -> list[int]: ...

    async def connect(self, start: int = 0) -> Client: ...


class FanOut:
    """Watchers that stand, and a writer."""

    def __init__(self, system: Watched, watchers: int) -> None:
        self._system = system
        self._key = f"/watched-{time.monotonic_ns()}"
        self._watchers = watchers
        self._clients: list[Client] = []

    async def open(self) -> None:
        self._clients = [await self._system.connect(number) for number in range(CLIENTS)]
        self._writer = await self._system.connect()
        await self._writer.prepare([self._key], b"")
        self._delivery = Delivery(self._watchers, self._writer.exact)
        share = self._watchers // CLIENTS
        first = 0
        for client in self._clients:
            await until(partial(self._know_key, client))
        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(self._clients):
                count = share + (number < self._watchers % CLIENTS)
                tasks.create_task(client.watch(self._key, count, self._seen, first))
                first += count

    async def _know_key(self, client: Client) -> None:
        """Raises RuntimeError if the client's member has not made the key yet, which its watchers would see."""
        if await client.get_local(self._key) is None:
            raise RuntimeError("the key is not there yet")

    def _seen(self, watcher: int, value: bytes, revision: int) -> None:
        self._delivery.seen(watcher, value, revision)

    async def saturate(self, seconds: float, puts_max: int | None = None) -> Sample:
        """Puts as fast as events are delivered."""
        delivery, puts = self._delivery, 0
        before = cpu_s(self._system.processes)
        began = time.perf_counter()

        async def write() -> None:
            nonlocal puts
            while time.perf_counter() - began < seconds and puts != puts_max:
                puts += 1
                await self._writer.put(self._key, await delivery.next_value())

        async with asyncio.timeout(seconds + DEADLINE_S), asyncio.TaskGroup() as tasks:
            for _ in range(WRITERS):
                tasks.create_task(write())
        await delivery.wait(self._clients)
        elapsed = time.perf_counter() - began
        spent = cpu_s(self._system.processes) - before
        return self._sample(len(delivery.latencies_s) / elapsed, spent)

    async def pace(self, puts: int, per_s: float) -> Sample:
        """Puts now and then; the value is the median from the call of a put until a watcher has the event, in ms."""
        delivery = self._delivery
        # What the watchers before these and the beginning of these left to do is not to be measured.
        await asyncio.sleep(CALM_S)
        before = cpu_s(self._system.processes)
        next_s = time.perf_counter()
        for _ in range(puts):
            await asyncio.sleep(max(0.0, next_s - time.perf_counter()))
            next_s += 1 / per_s
            await self._writer.put(self._key, await delivery.next_value())
        await delivery.wait(self._clients)
        sample = self._sample(0.0, cpu_s(self._system.processes) - before)
        assert sample.p50_ms is not None
        return Sample(sample.p50_ms, sample.p50_ms, sample.p99_ms, sample.cpu_us)

    def _sample(self, value: float, spent_s: float) -> Sample:
        times = sorted(self._delivery.latencies_s)
        return Sample(
            value,
            times[len(times) // 2] * 1e3,
            times[int(len(times) * 0.99)] * 1e3,
            spent_s / len(times) * 1e6,
        )

    async def close(self) -> None:
        for client in [*self._clients, self._writer]:
            await client.close()
