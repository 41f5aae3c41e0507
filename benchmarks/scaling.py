"""Measures how a cluster scales: `python benchmarks/scaling.py`.

With the number of nodes, the size of values, the number of keys, of watchers and of sessions. Clients and nodes share
the machine, so that more nodes also mean less of it for each. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator_client import aio
from scripts.localcluster.cluster import LocalCluster
from tests.cluster.harness import find_base_port

CALLERS = 64
CLIENTS = 8
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
KEYS_PER_FILL = 100
SESSION_TTL_S = 30.0


class Bench:
    """A running cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self.endpoints = [node.client for node in cluster.nodes]
        self.pids = [node.pid for node in cluster.nodes if node.pid is not None]

    def connect(self, number: int | None = None) -> aio.Client:
        """A client; with a number, one that begins with a certain node."""
        if number is None:
            return aio.connect(self.endpoints)
        at = number % len(self.endpoints)
        return aio.connect([*self.endpoints[at:], *self.endpoints[:at]], shuffle=False)

    def cpu_s(self) -> float:
        """Processor time of all nodes so far, in seconds."""
        return sum(map(cpu_s, self.pids))

    def memory_mib(self) -> float:
        """The memory of the largest node, in MiB."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids]
        return max(pages) * PAGE_BYTES / 2**20


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@asynccontextmanager
async def cluster_of(nodes: int) -> AsyncIterator[Bench]:
    """A cluster that has a leader."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        cluster = LocalCluster(Path(folder))
        await asyncio.to_thread(cluster.start, nodes, find_base_port(nodes))
        try:
            await asyncio.to_thread(cluster.wait_leader)
            yield Bench(cluster)
        finally:
            await asyncio.to_thread(cluster.stop)


async def closed_loop(
    seconds: float, callers: int, operation: Callable[[int, int], Awaitable[object]]
) -> tuple[float, float]:
    """Runs callers, each of which begins when its last operation is over; returns operations/s and the median in ms."""
    times: list[float] = []
    began = time.perf_counter()

    async def call(number: int) -> None:
        count = 0
        while (start := time.perf_counter()) < began + seconds:
            await operation(number, count)
            times.append(time.perf_counter() - start)
            count += 1

    await asyncio.gather(*(call(number) for number in range(callers)))
    return len(times) / (time.perf_counter() - began), 1_000 * statistics.median(times)


async def fill(client: aio.Client, count: int) -> None:
    """Makes keys of 128 bytes, many with each write."""
    starts = iter(range(0, count, KEYS_PER_FILL))

    async def run() -> None:
        for start in starts:
            txn = client.txn()
            puts = [
                aio.Put(f"/kept/{i:07}", b"v" * 128)
                for i in range(start, min(start + KEYS_PER_FILL, count))
            ]
            await txn.then(*puts).commit()

    await asyncio.gather(*(run() for _ in range(4)))


async def loads(bench: Bench, seconds: float, value: bytes) -> list[str]:
    """Puts and reads, as cells of a table."""
    client = bench.connect()

    async def put(caller: int, count: int) -> None:
        await client.put(f"/scaling/{caller}/{count % 100}", value)

    async def get(caller: int, count: int) -> None:
        await client.get(f"/scaling/{caller}/{count % 100}")

    await closed_loop(0.5, CALLERS, put)
    before = bench.cpu_s()
    puts, put_ms = await closed_loop(seconds, CALLERS, put)
    cpu_us = 1e6 * (bench.cpu_s() - before) / (puts * seconds)
    _, alone_ms = await closed_loop(seconds, 1, put)
    gets, _ = await closed_loop(seconds, CALLERS, get)
    await client.close()
    return [f"{puts:,.0f}", f"{put_ms:.1f}", f"{cpu_us:.0f}", f"{alone_ms:.2f}", f"{gets:,.0f}"]


LOADS = ["puts/s", "median, ms", "CPU of all nodes per put, us", "one caller, ms", "reads/s"]


async def by_nodes(seconds: float, counts: Sequence[int]) -> None:
    rows = []
    for count in counts:
        async with cluster_of(count) as bench:
            rows.append([str(count), *await loads(bench, seconds, b"x" * 128)])
    show("Nodes", ["nodes", *LOADS], rows)


async def by_value(seconds: float, sizes: Sequence[int]) -> None:
    rows = []
    async with cluster_of(3) as bench:
        for size in sizes:
            rows.append([f"{size:,} B", *await loads(bench, seconds, b"x" * size)])
    show("Size of values", ["value", *LOADS], rows)


async def by_keys(seconds: float, counts: Sequence[int]) -> None:
    rows = []
    for count in counts:
        async with cluster_of(3) as bench:
            client = bench.connect()
            await fill(client, count)
            await client.close()
            cells = await loads(bench, seconds, b"x" * 128)
            rows.append([f"{count:,}", *cells, f"{bench.memory_mib():,.0f}"])
    show("Number of keys", ["keys", *LOADS, "memory of a node, MiB"], rows)


async def by_watchers(counts: Sequence[int]) -> None:
    rows = []
    for count in counts:
        async with cluster_of(3) as bench:
            rows.append([f"{count:,}", *await watched(bench, count)])
    head = ["watchers", "open, s", "one change to the median watcher, ms", "to the last one, ms"]
    show("Watchers of one prefix", [*head, "CPU of all nodes while idle, % of a core"], rows)


async def watched(bench: Bench, count: int) -> list[str]:
    clients = [bench.connect(number) for number in range(CLIENTS)]
    writer = bench.connect()
    began = time.perf_counter()
    watches = await asyncio.gather(
        *(clients[i % CLIENTS].watch("/w/", prefix=True).open() for i in range(count))
    )
    opened_s = time.perf_counter() - began
    medians, lasts = [], []
    for number in range(9):
        start = time.perf_counter()
        arrivals: list[float] = []

        async def take(watch: aio.Watch, arrivals: list[float] = arrivals) -> None:
            await watch.next(60)
            arrivals.append(time.perf_counter())

        taking = [asyncio.create_task(take(watch)) for watch in watches]
        await asyncio.sleep(0)
        start = time.perf_counter()
        await writer.put("/w/key", str(number))
        await asyncio.gather(*taking)
        medians.append(1_000 * (statistics.median(arrivals) - start))
        lasts.append(1_000 * (max(arrivals) - start))
    before = bench.cpu_s()
    await asyncio.sleep(5)
    idle = 100 * (bench.cpu_s() - before) / 5
    for client in (*clients, writer):
        await client.close()
    times = [statistics.median(medians), statistics.median(lasts)]
    return [f"{opened_s:.2f}", *(f"{ms:.1f}" for ms in times), f"{idle:.1f}"]


async def by_sessions(counts: Sequence[int]) -> None:
    rows = []
    for count in counts:
        async with cluster_of(3) as bench:
            rows.append([f"{count:,}", *await held(bench, count)])
    head = ["sessions", "opens/s", "CPU of all nodes while held, % of a core"]
    show(
        f"Sessions with a TTL of {SESSION_TTL_S:.0f} s",
        [*head, "CPU of the clients, % of a core", "lost", "memory of a node, MiB"],
        rows,
    )


async def held(bench: Bench, count: int) -> list[str]:
    clients = [bench.connect(number) for number in range(CLIENTS)]
    began = time.perf_counter()
    numbers = iter(range(count))
    sessions: list[aio.Session] = []

    async def open_some() -> None:
        for number in numbers:
            sessions.append(await clients[number % CLIENTS].session(SESSION_TTL_S).open())

    await asyncio.gather(*(open_some() for _ in range(CALLERS)))
    opens = count / (time.perf_counter() - began)
    await asyncio.sleep(SESSION_TTL_S / 3)
    nodes_s, own_s = bench.cpu_s(), cpu_s(os.getpid())
    await asyncio.sleep(SESSION_TTL_S)
    shares = [
        100 * spent / SESSION_TTL_S
        for spent in (bench.cpu_s() - nodes_s, cpu_s(os.getpid()) - own_s)
    ]
    lost = sum(session.lost.is_set() for session in sessions)
    memory = bench.memory_mib()
    for client in clients:
        await client.close()
    return [f"{opens:,.0f}", *(f"{share:.1f}" for share in shares), str(lost), f"{memory:,.0f}"]


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


async def measure(options: argparse.Namespace) -> None:
    quick, seconds = options.quick, 1.0 if options.quick else options.seconds
    studies: dict[str, Callable[[], Awaitable[None]]] = {
        "nodes": lambda: by_nodes(seconds, (1, 3) if quick else (1, 3, 5, 7)),
        "value": lambda: by_value(seconds, (128, 16_384) if quick else (16, 128, 1_024, 16_384)),
        "keys": lambda: by_keys(seconds, (1_000,) if quick else (1_000, 100_000, 1_000_000)),
        "watchers": lambda: by_watchers((100,) if quick else (100, 1_000, 10_000)),
        "sessions": lambda: by_sessions((500,) if quick else (1_000, 10_000, 50_000)),
    }
    for name in options.studies or studies:
        await studies[name]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a first look, in about two minutes")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load")
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", help="nodes, value, keys, watchers, sessions"
    )
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
