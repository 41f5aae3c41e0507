"""Locks of real programs, which are killed and paused while nodes are: no two hold at once, and all are served."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from asyncio.subprocess import Process
from dataclasses import dataclass, field

import pytest

from coordinator_client import aio
from tests.cluster.harness import Cluster

TTL_S = 2.0
PROGRAMS = 6
CONTENDERS = 4
"""In each program."""
TURNS = 8
"""Of each contender."""
HOLD_S, LONG_HOLD_S = 0.02, 0.5
"""How long a turn takes; the longer one is of the program that is paused in one."""
WAIT_S = 120

CONTEND = """
import asyncio, sys
from coordinator_client import FenceStale, SessionLost, Unavailable, OutcomeUnknown, DeadlineExceeded, aio

ADDRESSES, NAME, TTL_S, HOLD_S, CONTENDERS, TURNS = *sys.argv[1:3], *map(float, sys.argv[3:])

async def take_turn(client, number):
    async with client.lock("count", ttl=TTL_S) as lock:
        kv = await client.get("/count")
        count = int(kv.text.split()[0]) if kv else 0
        await lock.guarded_put("/holds", NAME)
        await asyncio.sleep(HOLD_S)
        await lock.guarded_put("/count", f"{count + 1} {lock.fence} {NAME}.{number}")

async def contend(client, number):
    turns = 0
    while turns < TURNS:
        try:
            await take_turn(client, number)
            turns += 1
        except (FenceStale, SessionLost, Unavailable, OutcomeUnknown, DeadlineExceeded) as error:
            print("again", type(error).__name__, flush=True)

async def main():
    async with aio.connect(ADDRESSES) as client:
        print("begun", flush=True)
        await asyncio.gather(*(contend(client, number) for number in range(int(CONTENDERS))))
        print("served", flush=True)

asyncio.run(main())
"""


@dataclass
class Program:
    """A program with several contenders, and what it printed."""

    name: str
    running: Process
    lines: list[str] = field(default_factory=list)

    async def read(self) -> None:
        """Takes what it prints until it ends."""
        assert self.running.stdout is not None
        async for line in self.running.stdout:
            self.lines.append(line.decode().strip())
        await self.running.wait()


async def start(cluster: Cluster, name: str, hold_s: float) -> Program:
    numbers = [str(number) for number in (TTL_S, hold_s, CONTENDERS, TURNS)]
    words = [",".join(cluster.endpoints), name, *numbers]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONTEND, *words, stdout=asyncio.subprocess.PIPE
    )
    return Program(name, running)


async def wait_counted(watch: aio.Watch, seen: list[str], count: int) -> None:
    """Follows the counter until so many turns were taken."""
    while len(seen) < count:
        batch = await watch.next(WAIT_S)
        seen += [event.kv.text for event in batch.events]


async def trouble(
    cluster: Cluster, client: aio.Client, programs: list[Program], watch: aio.Watch
) -> list[str]:
    """Kills programs and a node, and pauses a holder for longer than its TTL; returns the turns until then."""
    seen: list[str] = []
    paused, *others = programs
    doomed = random.sample(others, 3)
    await wait_counted(watch, seen, 10)
    doomed[0].running.send_signal(signal.SIGKILL)
    await wait_counted(watch, seen, 20)
    leader = await asyncio.to_thread(cluster.leader)
    await asyncio.to_thread(cluster.kill, leader)
    doomed[1].running.send_signal(signal.SIGKILL)
    await wait_counted(watch, seen, 40)
    async with client.watch("/holds") as holders:
        while (await holders.next(WAIT_S)).events[-1].kv.text != paused.name:
            pass
    paused.running.send_signal(signal.SIGSTOP)
    doomed[2].running.send_signal(signal.SIGKILL)
    # Nothing can be awaited here: this is how long it stands still.
    await asyncio.sleep(2 * TTL_S)
    paused.running.send_signal(signal.SIGCONT)
    await asyncio.to_thread(cluster.restart, leader)
    return seen


def check(turns: list[str]) -> None:
    """Checks that each turn saw the one before, and that no fence comes back after a greater one."""
    fences: dict[int, str] = {}
    last = 0
    for number, turn in enumerate(turns, 1):
        count, fence, who = turn.split()
        assert int(count) == number, f"two held at once: turn {number} is {turn!r}"
        assert int(fence) > last, f"a stale fence wrote: {turn!r} after {last}"
        last = int(fence)
        assert fences.setdefault(last, who) == who


@pytest.mark.full
async def test_no_two_hold_at_once_and_all_are_served(cluster: Cluster) -> None:
    programs: list[Program] = []
    async with aio.connect(cluster.endpoints) as client, client.watch("/count") as watch:
        try:
            for number in range(PROGRAMS):
                hold_s = LONG_HOLD_S if number == 0 else HOLD_S
                programs.append(await start(cluster, f"p{number}", hold_s))
            reading = [asyncio.create_task(program.read()) for program in programs]
            async with asyncio.timeout(WAIT_S):
                turns = await trouble(cluster, client, programs, watch)
                await asyncio.gather(*reading)
        finally:
            for program in programs:
                if program.running.returncode is None:
                    program.running.kill()
                    await program.running.wait()
        kv = await client.get("/count")
        assert kv is not None
        await wait_counted(watch, turns, kv.version)
        assert kv.version == len(turns)
        check(turns)
        ended = {program.name: program.running.returncode for program in programs}
        served = [program for program in programs if program.lines[-1:] == ["served"]]
        print(f"{len(turns)} turns, exit codes {ended}, {[p.lines[1:-1] for p in programs]}")
        assert list(ended.values()).count(0) == len(served) == 3
        assert "again FenceStale" in programs[0].lines, "the paused one was not in its turn"
        taken = {who: sum(turn.endswith(f" {who}") for turn in turns) for who in names(served)}
        # A turn whose answer got lost may have counted, too.
        assert min(taken.values()) >= TURNS, taken
        async with asyncio.timeout(WAIT_S), client.watch("/locks/", prefix=True) as leaving:
            while (await client.range("/locks/", prefix=True, count_only=True)).count:
                await leaving.next()


def names(programs: list[Program]) -> list[str]:
    return [f"{program.name}.{number}" for program in programs for number in range(CONTENDERS)]
