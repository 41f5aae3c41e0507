"""Random kills and pauses, one node at a time, under writers, watches and a session."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from coordinator_client import aio
from tests.cluster.harness import Cluster
from tests.cluster.load import check_kept, writers


async def follow(client: aio.Client, seen: list[tuple[int, bytes]], stop: asyncio.Event) -> None:
    async with client.watch("/load/", prefix=True, start_revision=2) as watch:
        while not stop.is_set():
            try:
                batch = await watch.next(1.0)
            except aio.DeadlineExceeded:
                continue
            seen += [(batch.revision, event.key) for event in batch.events]


async def rounds(cluster: Cluster, seconds: float, seed: int) -> int:
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        number = rng.choice((1, 2, 3))
        if rng.random() < 0.5:
            await asyncio.to_thread(cluster.kill, number)
            await asyncio.sleep(rng.uniform(0, 2))
            await asyncio.to_thread(cluster.restart, number)
        else:
            await asyncio.to_thread(cluster.pause, number)
            await asyncio.sleep(rng.uniform(0, 3))
            await asyncio.to_thread(cluster.resume, number)
        await asyncio.to_thread(cluster.wait_ready)
        await asyncio.sleep(rng.uniform(0, 0.5))
        count += 1
    return count


async def run(cluster: Cluster, seconds: float) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    stop = asyncio.Event()
    seen: list[list[tuple[int, bytes]]] = [[] for _ in cluster.endpoints]
    clients = [
        aio.connect([*cluster.endpoints[i:], *cluster.endpoints[:i]], shuffle=False)
        for i in range(3)
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for client, one in zip(clients, seen, strict=True):
                group.create_task(follow(client, one, stop))
            async with clients[0].session(ttl=8.0) as session:
                await session.put("/e", "here")
                async with writers(cluster.endpoints) as running:
                    count = await rounds(cluster, seconds, seed)
                assert not session.lost.is_set(), session.lost_reason
                found = await clients[1].get("/e", timeout_s=10)
                assert found is not None and found.session == session.id
            last = (await clients[0].range("/load/", prefix=True, count_only=True)).revision
            async with asyncio.timeout(20):
                while any(not one or one[-1][0] < last - 2 for one in seen):
                    await asyncio.sleep(0.05)
            stop.set()
    finally:
        for client in clients:
            await client.close()
    acknowledged = sum(len(w.acknowledged) for w in running)
    unknown = sum(len(w.unknown) for w in running)
    print(f"{count} rounds, {acknowledged} writes acknowledged, {unknown} unknown")
    await check_kept(cluster.endpoints[0], running)
    shortest = min(len(one) for one in seen)
    for one in seen:
        revisions = [revision for revision, _ in one]
        assert revisions == sorted(set(revisions))
        assert one[:shortest] == seen[0][:shortest]
    keys = {key for _, key in seen[0]}
    for writer in running:
        assert all(key.encode() in keys for key in writer.acknowledged)


@pytest.mark.full
async def test_a_few_faults(cluster: Cluster) -> None:
    await run(cluster, 10.0)


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_many_faults(cluster: Cluster) -> None:
    await run(cluster, 120.0)
