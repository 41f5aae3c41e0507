"""Restarts the nodes of a cluster one after the other, as for a new release, under load.

python -m tests.faults.rolling --passes 3
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coordinator_client import aio
from tests.faults.fleet import Fleet, running

WRITERS = 6
PAUSE_S = 0.005
SETTLE_S = 1.5
WRITE_TIMEOUT_S = 10.0


@dataclass
class Tally:
    """What writers were told."""

    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time between two acknowledged writes, of whichever writers, within a span."""
        within = [since_s, *sorted(t for t in self.times if since_s < t < until_s), until_s]
        return max(b - a for a, b in itertools.pairwise(within))


async def write(name: str, endpoints: Sequence[str], tally: Tally, stop: asyncio.Event) -> None:
    """Writes one key after the other until it is told to stop."""
    async with aio.connect(endpoints, timeout_s=WRITE_TIMEOUT_S) as client:
        for number in itertools.count():
            if stop.is_set():
                return
            key = f"/rolling/{name}/{number}"
            began_s = time.monotonic()
            try:
                tally.acknowledged[key] = (await client.put(key, key)).revision
            except aio.CoordinatorError as error:
                took_s = time.monotonic() - began_s
                tally.failures.append(f"{key}: {error!r} after {took_s:.2f} s")
            else:
                tally.times.append(time.monotonic())
            await asyncio.sleep(PAUSE_S)


@dataclass(frozen=True)
class HandOver:
    """One node restarted."""

    name: str
    led: bool
    stopped_s: float
    """How long it took to end."""
    gap_s: float
    """Longest time without an acknowledged write, until a while after it serves again."""
    failures: int

    def line(self) -> str:
        role = "leader" if self.led else "follower"
        return (
            f"{self.name} ({role:8}) ended in {self.stopped_s * 1000:5.0f} ms,"
            f" longest gap {self.gap_s * 1000:5.0f} ms, failed writes {self.failures}"
        )


async def hand_over(fleet: Fleet, number: int, tally: Tally) -> HandOver:
    """Restarts one node, and waits until the cluster is whole again."""
    led = await fleet.wait_leader() == number
    failures, began_s = len(tally.failures), time.monotonic()
    await fleet.stop(number)
    stopped_s = time.monotonic() - began_s
    await fleet.start(number)
    await fleet.wait_leader()
    await asyncio.sleep(SETTLE_S)
    gap_s = tally.longest_gap_s(began_s, time.monotonic())
    name = fleet.nodes[number - 1].name
    return HandOver(name, led, stopped_s, gap_s, len(tally.failures) - failures)


async def roll(folder: Path, passes: int, nodes: int = 3) -> tuple[list[HandOver], Tally]:
    """Restarts every node, `passes` times; checks that what was acknowledged is there."""
    tally, stop, done = Tally(), asyncio.Event(), []
    async with running(folder, nodes, proxied=False) as fleet:
        async with asyncio.TaskGroup() as group:
            for i in range(WRITERS):
                group.create_task(write(f"w{i}", fleet.endpoints, tally, stop))
            try:
                await asyncio.sleep(SETTLE_S)
                for number in [*fleet.numbers] * passes:
                    done.append(await hand_over(fleet, number, tally))
                    print(done[-1].line(), flush=True)
            finally:
                stop.set()
        async with aio.connect(fleet.endpoints) as client:
            found = {kv.name: kv async for kv in client.range_all("/rolling/", prefix=True)}
        for key, revision in tally.acknowledged.items():
            if key not in found or found[key].mod_revision != revision:
                tally.failures.append(
                    f"{key} was acknowledged at {revision} and is {found.get(key)}"
                )
        await fleet.wait_digests_equal()
    return done, tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rolling", description=__doc__)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rolling-") as folder:
        done, tally = asyncio.run(roll(Path(folder), options.passes, options.nodes))
    gaps = sorted(one.gap_s for one in done)
    print(
        f"{len(done)} hand-overs, {len(tally.acknowledged)} writes acknowledged, failed {len(tally.failures)};"
        f" longest gap: median {gaps[len(gaps) // 2] * 1000:.0f} ms, worst {gaps[-1] * 1000:.0f} ms"
    )
    for failure in tally.failures[:10]:
        print(f"  {failure}")
    return int(bool(tally.failures))


if __name__ == "__main__":
    sys.exit(main())
