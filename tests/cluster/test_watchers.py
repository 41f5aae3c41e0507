"""Many watches on all nodes see the same events in the same order, whatever happens to a node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from coordinator_client import aio
from tests.cluster.harness import Cluster

WRITERS = 16


class Observer:
    """One watch and what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bytes]] = []
        self.started = asyncio.Event()

    async def run(self, client: aio.Client, endpoints: Sequence[str], count: int) -> None:
        async with client.watch("/w/", prefix=True) as watch:
            self.started.set()
            while len(self.seen) < count:
                batch = await watch.next()
                self.seen += [(batch.revision, event.key) for event in batch.events]


async def write(client: aio.Client, first: int, count: int, unknown: list[str]) -> None:
    """Writes keys, each until it is there: none may be missing, none written twice."""
    for number in range(first, count, WRITERS):
        key = f"/w/{number:06}"
        done = False
        while not done:
            try:
                new = client.txn().when(aio.Key(key).version == 0).then(aio.Put(key, ""))
                await new.commit()
                done = True
            except (aio.OutcomeUnknown, aio.Unavailable, aio.DeadlineExceeded):
                unknown.append(key)


async def run(cluster: Cluster, watches: int, events: int, timeout_s: float) -> None:
    endpoints = cluster.endpoints
    # Each client stays with the endpoint that it finds first; all know all nodes.
    orders = [[*endpoints[i:], *endpoints[:i]] for i in range(len(endpoints))]
    clients = [aio.connect(order, shuffle=False) for order in orders]
    observers = [Observer() for _ in range(watches)]
    unknown: list[str] = []
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            for i, observer in enumerate(observers):
                group.create_task(observer.run(clients[i % 3], endpoints, events))
            for observer in observers:
                await observer.started.wait()
            for i in range(WRITERS):
                group.create_task(write(clients[i % 3], i, events, unknown))
            while not any(len(o.seen) > events // 4 for o in observers):
                await asyncio.sleep(0.05)
            victim = await asyncio.to_thread(cluster.leader)
            await asyncio.to_thread(cluster.kill, victim)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(cluster.restart, victim)
    finally:
        for client in clients:
            await client.close()
    print(f"{watches} watches saw {events} events each in {time.monotonic() - began:.1f} s")
    first = observers[0].seen
    assert len(first) == events
    assert len({key for _, key in first}) == events
    assert [revision for revision, _ in first] == sorted({revision for revision, _ in first})
    for observer in observers:
        assert observer.seen == first


async def test_thirty_watches_see_the_same_thousand_events(cluster: Cluster) -> None:
    await run(cluster, 30, 1_000, 60)


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_two_hundred_watches_see_the_same_ten_thousand_events(cluster: Cluster) -> None:
    await run(cluster, 200, 10_000, 500)
