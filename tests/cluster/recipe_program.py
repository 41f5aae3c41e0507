"""A program that uses every recipe at once: `python recipe_program.py NAME COUNT ENDPOINTS`.

It prints a line of JSON for each turn that it had: the recipe, and what it saw. It has one turn after the other until a
line comes in. `COUNT` programs work on the same names.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable

from coordinator_client import aio

TTL_S = 30.0
TIMEOUT_S = 60.0
PERMITS = 2
PACE_S = 0.03
GO = "go"


def say(recipe: str, **saw: object) -> None:
    print(json.dumps({"recipe": recipe} | saw), flush=True)


class Worker:
    """One program's part in every recipe."""

    def __init__(self, client: aio.Client, name: str, count: int) -> None:
        self._client = client
        self._name = name
        self._count = count
        self._stop = asyncio.Event()

    async def run(self) -> None:
        turns: dict[str, Callable[[int], Awaitable[dict[str, object]]]] = {
            "lock": self.lock,
            "rwlock-writer": self.write,
            "rwlock-reader": self.read,
            "semaphore": self.semaphore,
            "election": self.lead,
            "counter": self.count,
            "queue": self.take,
            "queue-claims": self.claim,
            "priority-queue": self.take_urgent,
        }
        async with asyncio.TaskGroup() as group:
            for recipe, turn in turns.items():
                group.create_task(self._repeat(recipe, turn))
            group.create_task(self.barrier())
            group.create_task(self.rehearse())
            group.create_task(self.observe())
            group.create_task(self.cache())
            group.create_task(self._wait_stop())

    async def _wait_stop(self) -> None:
        await asyncio.to_thread(sys.stdin.readline)
        self._stop.set()

    async def _repeat(
        self, recipe: str, turn: Callable[[int], Awaitable[dict[str, object]]]
    ) -> None:
        number = 0
        while not self._stop.is_set():
            say(recipe, **await turn(number))
            number += 1
            await asyncio.sleep(PACE_S)

    async def _number(self, key: str) -> int:
        kv = await self._client.get(key)
        return int(kv.text) if kv else 0

    async def lock(self, number: int) -> dict[str, object]:
        """Adds one to a number, which only one that is alone can."""
        async with self._client.lock("alone", ttl=TTL_S) as lock:
            found = await self._number("/lock/number")
            await lock.guarded_put("/lock/number", str(found + 1))
            return {"number": found + 1, "fence": lock.fence}

    async def write(self, number: int) -> dict[str, object]:
        """Writes two keys that are only equal while no writer is there."""
        async with self._client.rwlock("shared", ttl=TTL_S).writer() as writer:
            found = await self._number("/rwlock/left")
            for side in ("left", "right"):
                await writer.guarded_put(f"/rwlock/{side}", str(found + 1))
            return {"number": found + 1}

    async def read(self, number: int) -> dict[str, object]:
        async with self._client.rwlock("shared", ttl=TTL_S).reader():
            left = await self._number("/rwlock/left")
            await asyncio.sleep(0)
            return {"left": left, "right": await self._number("/rwlock/right")}

    async def semaphore(self, number: int) -> dict[str, object]:
        mine = f"/semaphore/{self._name}"
        async with self._client.semaphore("few", PERMITS, ttl=TTL_S) as permit:
            await permit.guarded_put(mine)
            inside = (await self._client.range("/semaphore/", prefix=True)).count
            await asyncio.sleep(PACE_S)
            await self._client.delete(mine)
            return {"inside": inside}

    async def lead(self, number: int) -> dict[str, object]:
        election = self._client.election("head", ttl=TTL_S)
        async with election:
            fence = await election.campaign(self._name)
            leader = await election.leader()
            await election.guarded_put("/election/last", self._name)
            return {"fence": fence, "leader": leader.fence if leader else 0}

    async def observe(self) -> None:
        async with self._client.election("head").observe() as leaders:
            while not self._stop.is_set():
                try:
                    leader = await leaders.next(1.0)
                except aio.DeadlineExceeded:
                    continue  # perhaps all have had their last turn
                if leader is not None:
                    say("observer", fence=leader.fence)

    async def count(self, number: int) -> dict[str, object]:
        return {"sum": await self._client.counter("all").add()}

    async def take(self, number: int) -> dict[str, object]:
        """Puts one and takes one, so that there is one for everybody in the end."""
        jobs = self._client.queue("jobs")
        put = f"{self._name}.{number}"
        await jobs.put(put)
        return {"put": put, "taken": (await jobs.take()).text}

    async def claim(self, number: int) -> dict[str, object]:
        loans = self._client.queue("loans")
        put = f"{self._name}.{number}"
        await loans.put(put)
        async with self._client.session(TTL_S) as session, await loans.claim(session) as claim:
            return {"put": put, "taken": claim.item.text}

    async def take_urgent(self, number: int) -> dict[str, object]:
        """Of a queue of its own it gets all in their order; of one for all, one for each that it put."""
        own = self._client.priority_queue(f"own-{self._name}")
        priorities = [random.randrange(1000) for _ in range(5)]
        for priority in priorities:
            await own.put(str(priority), priority)
        taken = [int((await own.take()).text) for _ in priorities]
        shared = self._client.priority_queue("shared")
        put = f"{self._name}.{number}"
        await shared.put(put, priorities[0])
        return {
            "in_order": taken == sorted(priorities),
            "put": put,
            "taken": (await shared.take()).text,
        }

    async def barrier(self) -> None:
        say("barrier", passed=False)
        await self._client.barrier(GO).wait()
        say("barrier", passed=True)

    async def rehearse(self) -> None:
        """Enters and leaves in rounds; the first program says which one is the last."""
        number, last = 0, False
        while not last:
            stage = f"/stage/{number:06d}"
            if self._name == "p0":
                await self._client.put(f"{stage}/last", str(self._stop.is_set()))
            await self._client.put(f"{stage}/came/{self._name}")
            double = self._client.double_barrier("stage", self._count, ttl=TTL_S)
            await double.enter()
            came = (await self._client.range(f"{stage}/came/", prefix=True)).count
            kv = await self._client.get(f"{stage}/last")
            last = kv is not None and kv.text == "True"
            await self._client.put(f"{stage}/done/{self._name}")
            await double.leave()
            done = (await self._client.range(f"{stage}/done/", prefix=True)).count
            say("double-barrier", came=came, done=done)
            number += 1
            await asyncio.sleep(PACE_S)

    async def cache(self) -> None:
        """Compares a cache with what the cluster holds, while all write below its prefix."""
        number = 0
        async with self._client.cache("/cache/") as cache:
            while not self._stop.is_set():
                key = f"/cache/{random.randrange(20)}"
                if number % 4 == 3:
                    await self._client.delete(key)
                else:
                    await self._client.put(key, f"{self._name}.{number}")
                found = await self._client.range("/cache/", prefix=True)
                await cache.wait_for_revision(found.revision, TIMEOUT_S)
                # The cache may be further than that, so that it is asked for at one revision.
                revision = cache.revision
                view = cache.range()
                then = await self._client.range("/cache/", prefix=True, revision=revision)
                say("cache", equal=view == then.kvs)
                number += 1
                await asyncio.sleep(PACE_S)


async def main() -> None:
    name, count, endpoints = sys.argv[1:]
    async with aio.connect(endpoints, shuffle=False, timeout_s=TIMEOUT_S) as client:
        await Worker(client, name, int(count)).run()


if __name__ == "__main__":
    asyncio.run(main())
