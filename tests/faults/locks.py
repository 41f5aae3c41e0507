"""A crowd on one lock, while holders and nodes are killed: who held it when, by the history of the keys.

python -m tests.faults.locks                      1000 contenders, 10 programs and 5 nodes killed
python -m tests.faults.locks --contenders 100 --kills 3 --pauses 1 --ousted 5 --node-kills 2

A run is wrong unless at every turn that was taken the holder's key was the oldest that stood, so that nobody held
beside another or overtook; each fence is greater than all before; nothing of an earlier holder is written after a later
one came; every guarded write of a holder that lost its lock was refused; and all contenders were served that live.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from coordinator_client import aio
from scripts.localcluster import launch
from tests.faults.contender import CAME, LOCK, TURNS, WENT
from tests.faults.fleet import Fleet, running

KEYS = f"/locks/{LOCK}/"
PLAIN_PROGRAMS = 6
DYING_CONTENDERS = 3
"""In each program that is killed; one of them is its holder."""
DOWN_S = 2.0
"""How long a node that was killed stays away."""
WAIT_S = 300.0
TELL_S = 5.0


@dataclass
class Plan:
    contenders: int = 1000
    kills: int = 10
    pauses: int = 2
    ousted: int = 30
    node_kills: int = 5

    @property
    def plain(self) -> int:
        return self.contenders - DYING_CONTENDERS * self.kills - self.pauses - self.ousted


@dataclass
class Program:
    """Some contenders, and what they said."""

    kind: str
    name: str
    count: int
    running: Process
    said: list[str] = field(default_factory=list)
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    fence: int = 0
    """Of the one that holds."""

    async def listen(self) -> None:
        assert self.running.stdout is not None
        async for line in self.running.stdout:
            text = line.decode().strip()
            self.said.append(text)
            if text.startswith("holding"):
                self.fence = int(text.split()[2])
                self.holding.set()
        await self.running.wait()


@dataclass
class History:
    """What became of the keys, in the order of revisions."""

    places: dict[int, bytes] = field(default_factory=dict)
    """By revision: the key of a contender that came."""
    gone: dict[int, set[bytes]] = field(default_factory=dict)
    """By revision: keys of contenders that went."""
    turns: list[tuple[int, str, str, float]] = field(default_factory=list)
    """Revision, key and value of what holders wrote, and when it was heard of."""
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow_places(self, watch: aio.Watch) -> None:
        async for batch in watch:
            for event in batch.events:
                if event.is_put:
                    self.places[event.kv.mod_revision] = event.key
                else:
                    self.gone.setdefault(batch.revision, set()).add(event.key)

    async def follow_turns(self, watch: aio.Watch) -> None:
        async for batch in watch:
            for event in batch.events:
                found = (batch.revision, event.kv.name, event.kv.text, time.monotonic())
                self.turns.append(found)
            async with self.moved:
                self.moved.notify_all()

    @property
    def standing(self) -> int:
        return len(self.places) - sum(map(len, self.gone.values()))

    @property
    def taken(self) -> int:
        return sum(key == CAME for _, key, _, _ in self.turns)

    @property
    def fence(self) -> int:
        """That of the last holder."""
        return int(self.turns[-1][2].split()[0]) if self.turns else 0

    async def wait_taken(self, count: int) -> None:
        await self.wait_for(lambda: self.taken >= count)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        async with self.moved:
            await self.moved.wait_for(condition)


def find_faults(history: History) -> list[str]:
    """Says what the history of the keys has that no lock may have."""
    faults = []
    standing: dict[bytes, int] = {}
    last_fence = 0
    written = {revision: (key, text) for revision, key, text, _ in history.turns}
    for revision in sorted({*history.places, *history.gone, *written}):
        for place in history.gone.get(revision, ()):
            standing.pop(place, None)
        if revision in history.places:
            standing[history.places[revision]] = revision
        if revision not in written:
            continue
        key, text = written[revision]
        fence = int(text.split()[0])
        if not standing or fence != min(standing.values()):
            faults.append(f"at {revision}, {text!r} was not the one whose turn it was")
        if fence < last_fence or (key == CAME and fence == last_fence):
            faults.append(f"at {revision}, {key} says {text!r} after fence {last_fence}")
        if key == WENT and fence != last_fence:
            faults.append(f"at {revision}, {text!r} goes and has not come")
        if key not in (CAME, WENT):
            faults.append(f"at {revision}, {key} was written: {text!r}")
        last_fence = max(fence, last_fence)
    return faults


class Crowd:
    """The programs of a run, and what is done to them."""

    def __init__(self, fleet: Fleet, plan: Plan, client: aio.Client) -> None:
        self.fleet = fleet
        self.plan = plan
        self._client = client
        self.programs: list[Program] = []
        self.history = History()
        self.leaders_killed = 0

    async def start(self) -> None:
        plan = self.plan
        share, rest = divmod(plan.plain, PLAIN_PROGRAMS)
        kinds = [("plain", share + (i < rest)) for i in range(PLAIN_PROGRAMS)]
        kinds += [("dying", DYING_CONTENDERS)] * plan.kills
        kinds += [("paused", 1)] * plan.pauses
        kinds += [("ousted", plan.ousted)] * (plan.ousted > 0)
        # In no order, so that what is done to holders is spread over the run.
        random.shuffle(kinds)
        for number, (kind, count) in enumerate(kinds):
            self.programs.append(await self._spawn(kind, f"{kind}-{number}", count))

    async def _spawn(self, kind: str, name: str, count: int) -> Program:
        endpoints = ",".join(self.fleet.endpoints)
        words = ("-m", "tests.faults.contender", kind, name, str(count), endpoints)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdin=PIPE, stdout=PIPE, cwd=launch.ROOT
        )
        return Program(kind, name, count, process)

    async def tell(self) -> None:
        """Prints how far it is, every few seconds."""
        while True:
            await asyncio.sleep(TELL_S)
            statuses = await self.fleet.statuses()
            running = [p.name for p in self.programs if p.running.returncode is None]
            print(
                f"{self.history.taken} turns, {self.history.standing} in the queue, "
                f"{len(statuses)} nodes, programs {' '.join(running)}",
                flush=True,
            )

    async def wait_standing(self, count: int) -> None:
        """Waits until so many stand in the queue."""
        async with self._client.watch(KEYS, prefix=True) as watch:
            while (await self._client.range(KEYS, prefix=True, count_only=True)).count < count:
                await watch.next()

    async def run(self) -> None:
        """Lets all take their turns, and does to them what the plan says."""
        async with asyncio.TaskGroup() as group:
            for program in self.programs:
                group.create_task(program.listen())
                if program.kind == "dying":
                    group.create_task(self._kill(program))
                if program.kind == "paused":
                    group.create_task(self._pause(program))
            group.create_task(self._kill_nodes())

    async def _kill(self, program: Program) -> None:
        await program.holding.wait()
        launch.send(program.running.pid, signal.SIGKILL)

    async def _pause(self, program: Program) -> None:
        await program.holding.wait()
        launch.send(program.running.pid, signal.SIGSTOP)
        await self.history.wait_for(lambda: self.history.fence > program.fence)
        launch.send(program.running.pid, signal.SIGCONT)
        assert program.running.stdin is not None
        program.running.stdin.write(b"\n")
        await program.running.stdin.drain()

    async def _kill_nodes(self) -> None:
        plan = self.plan
        turns = plan.plain + plan.kills
        for number in range(plan.node_kills):
            goal = (number + 1) * turns // (plan.node_kills + 1)
            await self.history.wait_taken(goal)
            leader = await self.fleet.wait_leader()
            victim = leader if number % 2 == 0 else random.choice(self.fleet.numbers)
            self.leaders_killed += victim == leader
            await self.fleet.kill(victim)
            await asyncio.sleep(DOWN_S)
            await self.fleet.start(victim)
        await self.fleet.wait_leader()

    def end(self) -> None:
        for program in self.programs:
            if program.running.returncode is None:
                launch.send(program.running.pid, signal.SIGKILL)


def judge(crowd: Crowd) -> list[str]:
    faults = find_faults(crowd.history)
    said = Counter(line.split()[0] for program in crowd.programs for line in program.said)
    if said["accepted"]:
        faults.append(f"{said['accepted']} stale writes were accepted")
    if not crowd.plan.pauses <= said["refused"]:
        faults.append("a paused holder was not refused")
    for program in crowd.programs:
        served = {line.split()[1] for line in program.said if line.startswith("served")}
        if program.kind != "dying" and len(served) != program.count:
            faults.append(f"{program.name}: {len(served)} of {program.count} were served")
        expected = -signal.SIGKILL if program.kind == "dying" else 0
        if program.running.returncode != expected:
            faults.append(f"{program.name} ended with code {program.running.returncode}")
    return faults + crowd.fleet.ended


def figures(crowd: Crowd, gathered_s: float, took_s: float) -> dict[str, object]:
    said = Counter(line.split()[0] for program in crowd.programs for line in program.said)
    losses = Counter(
        line.split(None, 2)[2]
        for program in crowd.programs
        for line in program.said
        if line.startswith("again")
    )
    came = [at for _, key, _, at in crowd.history.turns if key == CAME]
    gaps = sorted((b - a) * 1e3 for a, b in itertools.pairwise(came))
    return {
        "contenders": crowd.plan.contenders,
        "programs": len(crowd.programs),
        "all_in_the_queue_s": round(gathered_s, 1),
        "turns": len(came),
        "served": said["served"],
        "programs_killed": crowd.plan.kills,
        "holders_paused": crowd.plan.pauses,
        "stale_puts_refused": said["refused"],
        "stale_puts_accepted": said["accepted"],
        "began_again": dict(losses),
        "node_kills": crowd.plan.node_kills,
        "leaders_among_them": crowd.leaders_killed,
        "took_s": round(took_s, 1),
        "handovers_per_s": round(len(gaps) / took_s, 1),
        "handover_median_ms": round(statistics.median(gaps), 2),
        "handover_p90_ms": round(gaps[int(len(gaps) * 0.9)], 2),
        "handover_max_ms": round(gaps[-1], 1),
    }


async def run(folder: Path, plan: Plan) -> tuple[dict[str, object], list[str]]:
    """Runs a crowd; returns the figures, and what is wrong."""
    async with (
        running(folder, 3, proxied=False) as fleet,
        aio.connect(fleet.endpoints, timeout_s=30) as client,
        asyncio.timeout(WAIT_S),
    ):
        crowd = Crowd(fleet, plan, client)
        history = crowd.history
        began = (await client.range(KEYS, prefix=True)).revision + 1
        async with (
            client.watch(KEYS, prefix=True, start_revision=began) as places,
            client.watch(TURNS, prefix=True, start_revision=began) as turns,
        ):
            following = [
                asyncio.create_task(history.follow_places(places)),
                asyncio.create_task(history.follow_turns(turns)),
                asyncio.create_task(crowd.tell()),
            ]
            first = client.lock(LOCK, ttl=30)
            await first.acquire()
            try:
                began_s = time.monotonic()
                await crowd.start()
                await crowd.wait_standing(plan.contenders + 1)
                gathered_s = time.monotonic() - began_s
                began_s = time.monotonic()
                await first.release()
                await crowd.run()
                took_s = time.monotonic() - began_s
                # What is heard of this has heard of all before.
                last = await client.put(f"{KEYS}end")
                while last.revision not in history.places:
                    await asyncio.sleep(0.05)
                last = await client.put(f"{TURNS}end", "0 end")
                while history.turns[-1][0] != last.revision:
                    await asyncio.sleep(0.05)
                history.turns.pop()
            finally:
                crowd.end()
                for task in following:
                    task.cancel()
        await fleet.wait_digests_equal()
        return figures(crowd, gathered_s, took_s), judge(crowd)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.locks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, default in vars(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N")
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="locks-") as folder:
        found, faults = asyncio.run(run(Path(folder), plan))
    print(json.dumps(found, indent=2))
    print("\n".join(faults) or "all as promised")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
