"""Measures how long subscribers show an instance whose program was killed: `python benchmarks/departures.py`.

A program registers with default settings and gets SIGKILL; one subscriber on each node waits for its removal. The time
counts from the signal to the last of the subscribers.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator_client import aio
from tests.cluster.harness import Cluster

PROGRAM = """
import sys, time
import coordinator_client
with coordinator_client.connect(sys.argv[1]) as client:
    with client.register("payments", "127.0.0.1", 80, id=sys.argv[2]) as mine:
        print("registered", flush=True)
        time.sleep(600)
"""
SETTLED_S = 0.5
"""A program that is killed in the moment of its registration may have had no keep-alive yet."""


async def removal(view: aio.ServiceView, id: str) -> tuple[float, str]:
    """Returns when an instance was seen to go, and why."""
    async for change in view.changes():
        if change.type is aio.ChangeType.REMOVED and change.instance.id == id:
            return time.monotonic(), str(change.cause.value)
    raise AssertionError("the view ended")


async def measure(folder: Path, kills: int) -> dict[str, object]:
    cluster = Cluster(folder)
    times: list[float] = []
    causes: collections.Counter[str] = collections.Counter()
    try:
        await asyncio.to_thread(cluster.start)
        clients = [aio.connect(endpoint) for endpoint in cluster.endpoints]
        views = [await client.discover("payments").open() for client in clients]
        for number in range(kills):
            id = f"p-{number}"
            order = random.sample(cluster.endpoints, len(cluster.endpoints))
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM, ",".join(order), id),
                stdout=asyncio.subprocess.PIPE,
            )
            assert program.stdout is not None
            assert await program.stdout.readline() == b"registered\n"
            waiting = [asyncio.create_task(removal(view, id)) for view in views]
            await asyncio.sleep(SETTLED_S + random.random())
            killed_at = time.monotonic()
            program.kill()
            seen = await asyncio.wait_for(asyncio.gather(*waiting), 60)
            await program.wait()
            times.append(max(at for at, _ in seen) - killed_at)
            causes.update(cause for _, cause in seen)
        for client in clients:
            await client.close()
    finally:
        await asyncio.to_thread(cluster.close)
    times.sort()
    return {
        "kills": kills,
        "min_s": round(times[0], 3),
        "median_s": round(statistics.median(times), 3),
        "p90_s": round(times[int(len(times) * 0.9)], 3),
        "max_s": round(times[-1], 3),
        "causes": dict(causes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder) / "cluster", options.kills))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
