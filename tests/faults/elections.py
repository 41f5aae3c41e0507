"""How long a cluster with default settings is without a leader, and whether it changes leaders without need.

python -m tests.faults.elections --trials 20           kill -9 of the leader of an idle cluster
python -m tests.faults.elections --trials 20 --load    the same under load
python -m tests.faults.elections --steady 300          elections while other programs keep all processors busy
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from coordinator_client import aio
from scripts.localcluster import launch
from tests.cluster.load import writers
from tests.faults.fleet import Fleet, running

WRITE_TIMEOUT_S = 20.0
SETTLE_S = 1.0
WRITERS = 4


async def measure(folder: Path, trials: int, load: bool) -> list[float]:
    """Kills the leader again and again; returns how long, each time, until a survivor took a write."""
    found = []
    async with running(folder, 3, proxied=False) as fleet, contextlib.AsyncExitStack() as stack:
        if load:
            await stack.enter_async_context(writers(fleet.endpoints, WRITERS))
        for trial in range(trials):
            leader = await fleet.wait_leader()
            await asyncio.sleep(SETTLE_S)
            survivor = fleet.endpoints[leader % len(fleet.nodes)]
            took_s = await _without(fleet, leader, survivor, f"/trial/{trial}")
            found.append(took_s)
            print(f"trial {trial + 1:3}: {took_s * 1000:6.0f} ms", flush=True)
            await fleet.start(leader)
    return found


async def _without(fleet: Fleet, leader: int, survivor: str, key: str) -> float:
    """Kills the leader; returns how long until a client that was connected to a survivor had written."""
    async with aio.connect(survivor, timeout_s=WRITE_TIMEOUT_S) as client:
        await client.put(key, "before")
        began_s = time.monotonic()
        killing = asyncio.create_task(fleet.kill(leader))
        while True:
            try:
                # A write that was sent before the leader was gone says nothing; the kill comes first.
                await asyncio.sleep(0)
                await client.put(key, "after")
                break
            except aio.OutcomeUnknown:
                continue
        took_s = time.monotonic() - began_s
        await killing
        return took_s


def summary(times: Sequence[float]) -> str:
    """The distribution of some times, in words."""
    ordered = sorted(times)
    tenths = [ordered[min(len(ordered) - 1, len(ordered) * tenth // 10)] for tenth in (1, 5, 9)]
    named = zip(
        ("min", "p10", "median", "p90", "max"), (ordered[0], *tenths, ordered[-1]), strict=True
    )
    parts = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in named)
    return f"{len(ordered)} trials: {parts}, mean {statistics.mean(ordered) * 1000:.0f} ms"


@asynccontextmanager
async def busy_processors() -> AsyncIterator[int]:
    """Keeps every processor busy with a program that does nothing else; yields how many there are."""
    count = len(os.sched_getaffinity(0))
    code = "while True: pass"
    spinning = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code) for _ in range(count)
    ]
    try:
        yield count
    finally:
        for one in spinning:
            launch.send(one.pid, signal.SIGKILL)
            await one.wait()


async def count_elections(folder: Path, seconds: float) -> int:
    """Lets an idle cluster stand beside busy programs; returns how many terms began."""
    async with running(folder, 3, proxied=False) as fleet:
        before = await fleet.term()
        async with busy_processors() as count:
            print(f"{count} processors kept busy for {seconds:g} s", flush=True)
            await asyncio.sleep(seconds)
        await fleet.wait_leader()
        return await fleet.term() - before


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.elections", description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--load", action="store_true", help="with writers on all nodes")
    parser.add_argument("--steady", type=float, metavar="SECONDS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="elections-") as folder:
        if options.steady is not None:
            elections = asyncio.run(count_elections(Path(folder), options.steady))
            print(f"elections: {elections}")
            return int(elections > 0)
        times = asyncio.run(measure(Path(folder), options.trials, options.load))
    print(f"{'loaded' if options.load else 'idle'}: {summary(times)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
