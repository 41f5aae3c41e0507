"""Measures how long subscribers show an instance that is not there any more: `python benchmarks/departures.py`.

A program registers with default settings and gets SIGKILL; one subscriber on each node waits for its removal. The time
counts from the signal to the last of the subscribers.

    --pause    the program gets SIGSTOP, so that its connection stays: gone within the TTL and a second, as expired
    --node     the node that programs are connected to gets SIGKILL instead: no subscriber sees any of them go
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator_client import aio
from coordinator_client.instances import definition_key
from tests.cluster.harness import Cluster

PROGRAM = """
import sys, time
import coordinator_client
with coordinator_client.connect(sys.argv[1], shuffle=False) as client:
    with client.register("payments", "127.0.0.1", 80, id=sys.argv[2]) as mine:
        print("registered", flush=True)
        time.sleep(600)
"""
TTL_S = 10.0
"""That of a registration with default settings."""
SETTLED_S = 0.5
"""A program that is killed in the moment of its registration may have had no keep-alive yet."""
PROGRAMS = 5
"""How many are connected to a node that is killed."""
WATCHED_S = TTL_S + 5.0
"""How long after that a removal would show."""


async def register(endpoints: Sequence[str], id: str) -> Process:
    """Starts a program that asks these nodes in this order, and waits until it is registered."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, ",".join(endpoints), id), stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    assert await program.stdout.readline() == b"registered\n"
    return program


async def removal(view: aio.ServiceView, id: str) -> tuple[float, str]:
    """Returns when an instance was seen to go, and why."""
    async for change in view.changes():
        if change.type is aio.ChangeType.REMOVED and change.instance.id == id:
            return time.monotonic(), str(change.cause.value)
    raise AssertionError("the view ended")


async def measure_programs(
    cluster: Cluster, views: Sequence[aio.ServiceView], rounds: int, number: signal.Signals
) -> dict[str, object]:
    """Sends a signal to one program after the other."""
    times: list[float] = []
    causes: collections.Counter[str] = collections.Counter()
    for turn in range(rounds):
        id = f"p-{turn}"
        order = random.sample(cluster.endpoints, len(cluster.endpoints))
        program = await register(order, id)
        waiting = [asyncio.create_task(removal(view, id)) for view in views]
        await asyncio.sleep(SETTLED_S + random.random())
        sent_at = time.monotonic()
        program.send_signal(number)
        try:
            seen = await asyncio.wait_for(asyncio.gather(*waiting), 60)
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
        times.append(max(at for at, _ in seen) - sent_at)
        causes.update(cause for _, cause in seen)
    times.sort()
    return {
        "signal": number.name,
        "times": rounds,
        "min_s": round(times[0], 3),
        "median_s": round(statistics.median(times), 3),
        "p90_s": round(times[int(len(times) * 0.9)], 3),
        "max_s": round(times[-1], 3),
        "causes": dict(causes),
    }


async def measure_nodes(
    cluster: Cluster, client: aio.Client, views: Sequence[aio.ServiceView], rounds: int
) -> dict[str, object]:
    """Kills one node after the other, each with programs that are connected to it."""
    removed: list[str] = []
    kept = 0

    async def note(view: aio.ServiceView, number: int) -> None:
        async for change in view.changes():
            if change.type is aio.ChangeType.REMOVED:
                removed.append(f"{change.instance.id} at subscriber {number}: {change.cause.value}")

    noting = [asyncio.create_task(note(view, number)) for number, view in enumerate(views, 1)]
    programs: list[Process] = []
    leaders = 0
    try:
        for turn in range(rounds):
            victim = turn % len(cluster.nodes) + 1
            order = cluster.endpoints[victim - 1 :] + cluster.endpoints[: victim - 1]
            ids = [f"n-{turn}-{number}" for number in range(PROGRAMS)]
            programs += await asyncio.gather(*(register(order, id) for id in ids))
            keys = [definition_key("payments", id) for id in ids]
            before = [await client.get(key) for key in keys]
            await asyncio.sleep(SETTLED_S)
            leaders += await asyncio.to_thread(cluster.leader) == victim
            await asyncio.to_thread(cluster.kill, victim)
            await asyncio.sleep(WATCHED_S)
            assert [await client.get(key) for key in keys] == before, "registered anew"
            kept += len(ids)
            await asyncio.to_thread(cluster.restart, victim)
    finally:
        for task in noting:
            task.cancel()
        for program in programs:
            if program.returncode is None:
                program.kill()
                await program.wait()
    return {
        "nodes_killed": rounds,
        "leaders_among_them": leaders,
        "instances_connected_to_them": kept,
        "watched_s": WATCHED_S,
        "subscribers": len(views),
        "seen_removed": removed,
    }


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    cluster = Cluster(folder)
    try:
        await asyncio.to_thread(cluster.start)
        orders = [cluster.endpoints[i:] + cluster.endpoints[:i] for i in range(len(cluster.nodes))]
        clients = [aio.connect(order, shuffle=False, timeout_s=30) for order in orders]
        views = [await client.discover("payments").open() for client in clients]
        if options.node:
            figures = await measure_nodes(cluster, clients[0], views, options.kills or 3)
        elif options.pause:
            figures = await measure_programs(cluster, views, options.kills or 5, signal.SIGSTOP)
        else:
            figures = await measure_programs(cluster, views, options.kills or 20, signal.SIGKILL)
        for client in clients:
            await client.close()
    finally:
        await asyncio.to_thread(cluster.close)
    return figures


def find_fault(figures: dict[str, object]) -> str:
    """Says what is not as promised; empty: nothing."""
    if figures.get("seen_removed"):
        return "subscribers saw instances go whose node was killed"
    if figures.get("signal") == "SIGSTOP":
        if figures["causes"] != {"session-expired": 3 * int(str(figures["times"]))}:
            return "not every paused instance went as expired"
        if float(str(figures["max_s"])) > TTL_S + 1:
            return "a paused instance was shown for longer than its TTL and a second"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, help="how often; default 20, 5 (pause), 3 (node)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--pause", action="store_true", help="SIGSTOP of the program")
    mode.add_argument("--node", action="store_true", help="SIGKILL of its node")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder) / "cluster", options))
    print(json.dumps(figures, indent=2))
    fault = find_fault(figures)
    if fault:
        print(fault, file=sys.stderr)
    return int(bool(fault))


if __name__ == "__main__":
    sys.exit(main())
