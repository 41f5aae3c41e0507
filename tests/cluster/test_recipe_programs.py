"""Every recipe, used by real programs at once, while the nodes that they are connected to are killed."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from coordinator_client import aio
from tests.cluster import recipe_program
from tests.cluster.harness import Cluster
from tests.cluster.recipe_program import GO, PERMITS

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]

Lines = list[dict[str, Any]]

PROGRAMS = 3
"""Each asks another node first."""
PROGRESS = 3
"""So many turns with each recipe has every program between two things that happen."""
STEP_TIMEOUT_S = 60.0
REPEATED = {
    "lock",
    "rwlock-writer",
    "rwlock-reader",
    "semaphore",
    "election",
    "observer",
    "counter",
    "queue",
    "queue-claims",
    "priority-queue",
    "double-barrier",
    "cache",
}


@dataclass
class Program:
    """A program, and the lines that it printed."""

    running: Process
    lines: Lines = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.running.stdout is not None
        async for line in self.running.stdout:
            self.lines.append(json.loads(line))
            self.news.set()
        await self.running.wait()
        self.news.set()

    def turns(self) -> Counter[str]:
        return Counter(line["recipe"] for line in self.lines)

    async def progress(self) -> None:
        """Waits until it had some more turns with every recipe."""
        before = self.turns()
        while missing := [r for r in REPEATED if self.turns()[r] < before[r] + PROGRESS]:
            assert self.running.returncode is None, f"it ended, and had no turn with {missing}"
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), STEP_TIMEOUT_S)
            except TimeoutError:
                raise AssertionError(f"no turn with {missing}") from None

    async def stop(self) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(b"\n")
        await self.running.stdin.drain()


async def start(cluster: Cluster, number: int) -> Program:
    order = cluster.endpoints[number:] + cluster.endpoints[:number]
    words = (f"p{number}", str(PROGRAMS), ",".join(order))
    command = (sys.executable, recipe_program.__file__, *words)
    running = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, cwd=Path.cwd()
    )
    return Program(running)


async def play(cluster: Cluster) -> Lines:
    """Lets programs work while each node is killed once; returns all that they printed."""
    programs: list[Program] = []

    async def progress() -> None:
        await asyncio.gather(*(program.progress() for program in programs))

    async with aio.connect(cluster.endpoints, timeout_s=30) as client:
        await client.barrier(GO).create()
        try:
            for number in range(PROGRAMS):
                programs.append(await start(cluster, number))
            async with asyncio.TaskGroup() as listening:
                for program in programs:
                    listening.create_task(program.listen())
                await progress()
                leader = await asyncio.to_thread(cluster.leader)
                for number in range(PROGRAMS):
                    victim = (leader - 1 + number) % PROGRAMS + 1
                    await asyncio.to_thread(cluster.kill, victim)
                    if number == 0:
                        waits = [line for p in programs for line in p.lines if "passed" in line]
                        assert [line["passed"] for line in waits] == [False] * PROGRAMS
                        await client.barrier(GO).remove()
                    await progress()
                    await asyncio.to_thread(cluster.restart, victim)
                await progress()
                for program in programs:
                    await program.stop()
        finally:
            for program in programs:
                if program.running.returncode is None:
                    program.running.kill()
        assert [program.running.returncode for program in programs] == [0] * PROGRAMS
        for root in ("/locks/", "/semaphores/", "/elections/", "/double-barriers/", "/queues/"):
            assert (await client.range(root, prefix=True)).count == 0, root
        assert (await client.range("/priority-queues/", prefix=True)).count == 0
    return [line for program in programs for line in program.lines]


@pytest.fixture(scope="module")
def seen(shared_cluster: Cluster) -> dict[str, Lines]:
    """What the programs saw, by recipe. Nodes are killed here alone, and run again when the tests begin."""
    found: dict[str, Lines] = {}
    for line in asyncio.run(play(shared_cluster)):
        found.setdefault(line["recipe"], []).append(line)
    print({recipe: len(lines) for recipe, lines in found.items()})
    return found


def numbered(lines: Lines, name: str) -> None:
    """Checks that everybody had a number of its own, and none was left out."""
    assert sorted(line[name] for line in lines) == list(range(1, len(lines) + 1))


def test_lock(seen: dict[str, Lines]) -> None:
    numbered(seen["lock"], "number")
    by_fence = sorted(seen["lock"], key=lambda line: line["fence"])
    assert [line["number"] for line in by_fence] == list(range(1, len(by_fence) + 1))


def test_rwlock(seen: dict[str, Lines]) -> None:
    numbered(seen["rwlock-writer"], "number")
    assert all(line["left"] == line["right"] for line in seen["rwlock-reader"])


def test_semaphore(seen: dict[str, Lines]) -> None:
    # More than one at once, too, or it would be a lock.
    assert {line["inside"] for line in seen["semaphore"]} == set(range(1, PERMITS + 1))


def test_election(seen: dict[str, Lines]) -> None:
    fences = [line["fence"] for line in seen["election"]]
    assert len(set(fences)) == len(fences)
    assert all(line["leader"] == line["fence"] for line in seen["election"])
    assert {line["fence"] for line in seen["observer"]} <= set(fences)


def test_barrier(seen: dict[str, Lines]) -> None:
    assert [line["passed"] for line in seen["barrier"]] == [False, True] * PROGRAMS


def test_double_barrier(seen: dict[str, Lines]) -> None:
    assert all(line["came"] == line["done"] == PROGRAMS for line in seen["double-barrier"])


def test_counter(seen: dict[str, Lines]) -> None:
    numbered(seen["counter"], "sum")


@pytest.mark.parametrize("recipe", ["queue", "queue-claims", "priority-queue"])
def test_queues(seen: dict[str, Lines], recipe: str) -> None:
    lines = seen[recipe]
    assert Counter(line["taken"] for line in lines) == Counter(line["put"] for line in lines)
    assert len({line["put"] for line in lines}) == len(lines)
    assert all(line.get("in_order", True) for line in lines)


def test_cache(seen: dict[str, Lines]) -> None:
    assert all(line["equal"] for line in seen["cache"])
