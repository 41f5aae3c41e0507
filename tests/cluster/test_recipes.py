"""Queues, counters, barriers and caches while the nodes under them are killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from coordinator_client import DeadlineExceeded, aio
from tests.cluster.harness import Cluster

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

WAIT_S = 60
CLIENTS = 3
PUTTERS = 6
TAKERS = 6
TTL_S = 30


@pytest.fixture
async def clients(cluster: Cluster) -> AsyncIterator[list[aio.Client]]:
    """One at each node to begin with; all know all nodes."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                aio.connect(
                    cluster.endpoints[i:] + cluster.endpoints[:i], shuffle=False, timeout_s=WAIT_S
                )
            )
            for i in range(CLIENTS)
        ]


class Workload:
    """Putters, and takers of two kinds, on one queue; everybody counts."""

    def __init__(self) -> None:
        self.put: list[str] = []
        self.taken: list[str] = []
        self.sums: list[int] = []
        self.stop = asyncio.Event()

    async def putting(self, client: aio.Client, name: str) -> None:
        queue, counter = client.queue("jobs"), client.counter("jobs")
        number = 0
        while not self.stop.is_set():
            text = f"{name}.{number}"
            await queue.put(text)
            self.put.append(text)
            self.sums.append(await counter.add())
            number += 1

    async def taking(self, client: aio.Client) -> None:
        queue = client.queue("jobs")
        while (text := (await queue.take()).text) != "end":
            self.taken.append(text)

    async def claiming(self, client: aio.Client) -> None:
        queue = client.queue("jobs")
        async with client.session(TTL_S) as session:
            while True:
                async with await queue.claim(session) as claim:
                    text = claim.item.text
                if text == "end":
                    return
                self.taken.append(text)

    async def progress(self, items: int) -> None:
        """Waits until so many items more were taken."""
        goal = len(self.taken) + items
        async with asyncio.timeout(WAIT_S):
            while len(self.taken) < goal:
                await asyncio.sleep(0.02)


async def test_nothing_is_lost_or_done_twice_though_nodes_are_killed(
    cluster: Cluster, clients: list[aio.Client]
) -> None:
    work = Workload()
    async with AsyncExitStack() as stack:
        caches = [await stack.enter_async_context(client.cache("/counters/")) for client in clients]
        async with asyncio.TaskGroup() as takers:
            for i in range(TAKERS):
                client = clients[i % CLIENTS]
                takers.create_task(work.claiming(client) if i % 2 else work.taking(client))
            async with asyncio.TaskGroup() as putters:
                for i in range(PUTTERS):
                    putters.create_task(work.putting(clients[i % CLIENTS], f"p{i}"))
                for follower in (False, True):
                    await work.progress(30)
                    victim = await asyncio.to_thread(cluster.leader)
                    victim = victim % 3 + 1 if follower else victim
                    await asyncio.to_thread(cluster.kill, victim)
                    await work.progress(30)
                    await asyncio.to_thread(cluster.restart, victim)
                work.stop.set()
            for _ in range(TAKERS):
                await clients[0].queue("jobs").put("end")
        assert Counter(work.taken) == Counter(work.put)
        assert (await clients[0].range("/queues/jobs/", prefix=True)).count == 0
        assert sorted(work.sums) == list(range(1, len(work.put) + 1))
        assert await clients[1].counter("jobs").get() == len(work.put)
        found = await clients[2].range("/", prefix=True)
        for cache in caches:
            await cache.wait_for_revision(found.revision, WAIT_S)
            assert not cache.stale
            assert cache.range() == tuple(
                kv for kv in found.kvs if kv.name.startswith("/counters/")
            )
    print(f"{len(work.put)} items")


async def test_a_cache_is_equal_to_the_cluster_through_kills_and_compaction(
    cluster: Cluster, clients: list[aio.Client]
) -> None:
    """Each node is killed once, and with it the watch of a cache; history is compacted up to the newest revision."""
    written = 0

    async def write(count: int) -> int:
        nonlocal written
        revision = 0
        for _ in range(count):
            key = f"/c/{written * 7 % 50}"
            if written % 3 == 2:
                revision = (await clients[0].delete(key)).revision
            else:
                revision = (await clients[0].put(key, str(written))).revision
            written += 1
        return revision

    caches = [await client.cache("/c/").open() for client in clients]
    followed = [cache.changes() for cache in caches]
    views: list[dict[bytes, aio.KeyValue]] = [{} for _ in caches]
    for victim in range(1, 4):
        await write(40)
        await asyncio.to_thread(cluster.kill, victim)
        revision = await write(40)
        await clients[0].compact(revision)
        await asyncio.to_thread(cluster.restart, victim)
        revision = await write(40)
        found = await clients[0].range("/c/", prefix=True)
        for cache, changes, view in zip(caches, followed, views, strict=True):
            await cache.wait_for_revision(revision, WAIT_S)
            assert cache.range() == found.kvs
            await follow(changes, view)
            assert tuple(view[key] for key in sorted(view)) == found.kvs
    for cache in caches:
        await cache.close()


async def follow(changes: aio.CacheChanges, view: dict[bytes, aio.KeyValue]) -> None:
    """Brings a view of one's own up to date with what is told."""
    while True:
        try:
            change = await changes.next(0)
        except DeadlineExceeded:
            return
        assert view.get(change.key) == change.prev
        if change.kv is None:
            del view[change.key]
        else:
            view[change.key] = change.kv


async def test_barriers_hold_and_open_though_the_leader_is_killed(
    cluster: Cluster, clients: list[aio.Client]
) -> None:
    barrier = clients[0].barrier("go")
    await barrier.create()
    inside: list[int] = []

    async def run(number: int) -> None:
        client = clients[number % CLIENTS]
        await client.barrier("go").wait(WAIT_S)
        async with client.double_barrier("together", 6, ttl=TTL_S):
            inside.append(number)
            # Nobody leaves before all are in.
            async with asyncio.timeout(WAIT_S):
                while len(inside) < 6:
                    await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(run(number))
        await asyncio.sleep(0.3)
        leader = await asyncio.to_thread(cluster.leader)
        await asyncio.to_thread(cluster.kill, leader)
        assert not inside
        await barrier.remove()
        await asyncio.to_thread(cluster.restart, leader)
        leader = await asyncio.to_thread(cluster.leader)
        await asyncio.to_thread(cluster.kill, leader)
        assert not inside
        group.create_task(run(5))
    assert sorted(inside) == list(range(6))
    assert (await clients[0].range("/double-barriers/", prefix=True)).count == 0
    await asyncio.to_thread(cluster.restart, leader)
