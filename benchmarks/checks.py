"""Measures what health checks cost a cluster: `python benchmarks/checks.py`.

Three nodes on this machine check many instances over TCP, on loopback, where another program takes the connections. A
writer writes at a steady pace, once before there is anything to check and once while all of it is checked. Its times
count from when each write was due, so that one that had to wait for the one before counts in full.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator_client import aio
from coordinator_client.operations import Put
from tests.cluster.harness import Cluster

LISTENERS = """
import asyncio, sys, uvloop
count = 0
class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        global count
        count += 1
        transport.close()
async def main():
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024) for _ in range(int(sys.argv[1]))]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(count, flush=True)
uvloop.run(main())
"""
LISTENERS_COUNT = 20
SERVICES = 50
PUTS_PER_TXN = 60
WRITERS = 32


class Listeners:
    """A program at whose ports connections can be made, and which counts them."""

    def __init__(self) -> None:
        self._program = subprocess.Popen(
            [sys.executable, "-c", LISTENERS, str(LISTENERS_COUNT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports = [int(port) for port in self._read().split()]

    def _read(self) -> str:
        assert self._program.stdout is not None
        return self._program.stdout.readline()

    def count(self) -> int:
        """Connections that were taken so far."""
        assert self._program.stdin is not None
        self._program.stdin.write("\n")
        self._program.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        if self._program.stdin is not None:
            self._program.stdin.close()
        self._program.wait(10)


async def write_paced(client: aio.Client, per_s: float, seconds: float) -> dict[str, float]:
    """Writes at a steady pace, and tells the times of the writes in milliseconds."""
    times_ms: list[float] = []
    began = time.perf_counter()
    numbers = iter(range(int(per_s * seconds)))

    async def work() -> None:
        for number in numbers:
            due = began + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await client.put(f"/busy/{number % 1000}", b"w" * 128)
            times_ms.append((time.perf_counter() - due) * 1e3)

    await asyncio.gather(*(work() for _ in range(WRITERS)))
    times_ms.sort()
    return {
        "writes_per_s": round(len(times_ms) / (time.perf_counter() - began), 1),
        "p50_ms": round(times_ms[len(times_ms) // 2], 2),
        "p99_ms": round(times_ms[int(len(times_ms) * 0.99)], 2),
        "worst_ms": round(times_ms[-1], 2),
    }


async def define(
    client: aio.Client, session: aio.Session, count: int, ports: list[int], interval_ms: int
) -> None:
    """Writes definitions with one check each."""
    check = {"kind": "tcp", "interval_ms": interval_ms}
    puts = [
        Put(
            f"/services/s{n % SERVICES}/instances/i{n}",
            json.dumps(
                {"address": "127.0.0.1", "port": ports[n % len(ports)], "checks": {"tcp": check}}
            ),
            session,
        )
        for n in range(count)
    ]
    for first in range(0, count, PUTS_PER_TXN):
        await client.txn().then(*puts[first : first + PUTS_PER_TXN]).commit()


async def wait_passing(client: aio.Client, count: int, timeout_s: float) -> float:
    """Returns how many seconds it took until every instance was seen to pass."""
    began = time.perf_counter()
    while time.perf_counter() - began < timeout_s:
        passing = 0
        for n in range(min(SERVICES, count)):
            passing += sum(i.passing for i in await client.instances(f"s{n}", local=True))
        if passing == count:
            return time.perf_counter() - began
        await asyncio.sleep(0.5)
    raise AssertionError(f"{passing} of {count} instances pass after {timeout_s} s")


def cpu_s(cluster: Cluster) -> float:
    """Processor time that all nodes have taken so far."""
    total = 0
    for node in cluster.nodes:
        fields = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def terms(cluster: Cluster) -> int:
    return max(status.term for status in cluster.statuses().values())


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    cluster, listeners = Cluster(folder), Listeners()
    try:
        await asyncio.to_thread(cluster.start)
        async with (
            aio.connect(cluster.endpoints, shuffle=False) as client,
            client.session(ttl=60) as session,
        ):
            await write_paced(client, options.rate, 2.0)
            began_cpu_s = cpu_s(cluster)
            before = await write_paced(client, options.rate, options.seconds)
            quiet_cpu_s = cpu_s(cluster) - began_cpu_s
            term = terms(cluster)
            await define(client, session, options.checks, listeners.ports, options.interval_ms)
            timeout_s = 30 + 6 * options.interval_ms / 1000
            seen_s = await wait_passing(client, options.checks, timeout_s)
            taken, began, began_cpu_s = listeners.count(), time.perf_counter(), cpu_s(cluster)
            during = await write_paced(client, options.rate, options.seconds)
            elapsed_s = time.perf_counter() - began
            checked = (listeners.count() - taken) / elapsed_s
            busy_cpu_s = cpu_s(cluster) - began_cpu_s
            instances = [i for n in range(SERVICES) for i in await client.instances(f"s{n}")]
            return {
                "checks": options.checks,
                "interval_s": options.interval_ms / 1000,
                "all_seen_passing_after_s": round(seen_s, 1),
                "checks_per_s": round(checked, 1),
                "elections": terms(cluster) - term,
                "not_passing": sum(not i.passing for i in instances),
                "writer_before": before,
                "writer_during": during,
                "p99_ratio": round(during["p99_ms"] / before["p99_ms"], 2),
                "cpu_share_before": round(quiet_cpu_s / options.seconds, 2),
                "cpu_share_during": round(busy_cpu_s / elapsed_s, 2),
            }
    finally:
        listeners.close()
        await asyncio.to_thread(cluster.close)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=5_000)
    parser.add_argument("--interval-ms", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=500.0, help="writes per second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of writing, before and during")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder) / "cluster", options))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
