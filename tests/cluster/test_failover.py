"""Nodes die under load: nothing acknowledged is lost, and writing goes on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from coordinator_client import aio
from tests.cluster.harness import Cluster
from tests.cluster.load import check_kept, writers

GAP_S_MAX = 2.0


async def test_a_write_through_any_node_is_readable_at_once_through_any_other(
    cluster: Cluster,
) -> None:
    clients = [aio.connect(endpoint) for endpoint in cluster.endpoints]
    try:
        for round_ in range(30):
            writer = clients[round_ % 3]
            await writer.put("/k", str(round_))
            for reader in clients:
                found = await reader.get("/k")
                assert found is not None and found.text == str(round_)
    finally:
        for client in clients:
            await client.close()


@pytest.mark.parametrize("victim", ["leader", "follower"])
async def test_a_killed_node_loses_no_acknowledged_write_and_blocks_nobody(
    cluster: Cluster, victim: str
) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    number = leader if victim == "leader" else leader % 3 + 1
    async with writers(cluster.endpoints) as running:
        await asyncio.sleep(1.0)
        killed_at = time.monotonic()
        await asyncio.to_thread(cluster.kill, number)
        await asyncio.sleep(3.0)
        await asyncio.to_thread(cluster.restart, number)
        await asyncio.sleep(1.0)
    for writer in running:
        assert writer.longest_wait_s(killed_at) < GAP_S_MAX, writer.name
    for endpoint in cluster.endpoints:
        await check_kept(endpoint, running)


async def test_a_paused_leader_loses_nothing_and_answers_nothing_stale(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    others = [e for i, e in enumerate(cluster.endpoints, 1) if i != leader]
    async with aio.connect(cluster.endpoints[leader - 1]) as old, aio.connect(others) as new:
        await old.put("/k", "before")
        await asyncio.to_thread(cluster.pause, leader)
        await new.put("/k", "after", timeout_s=10)
        # Asked while it sleeps, answered when it wakes: it must not answer from what it knew.
        asked = asyncio.create_task(old.get("/k", timeout_s=10))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(cluster.resume, leader)
        found = await asked
        assert found is not None and found.text == "after"


async def test_restarting_all_keeps_every_key_and_revision(cluster: Cluster) -> None:
    async with aio.connect(cluster.endpoints) as client:
        for i in range(50):
            await client.put(f"/k/{i}", str(i))
        before = [kv async for kv in client.range_all("/k/", prefix=True)]
        revision = (await client.range("/k/", prefix=True, count_only=True)).revision
    digest = await asyncio.to_thread(cluster.wait_digests_equal)
    for number in (1, 2, 3):
        await asyncio.to_thread(cluster.kill, number)
    await asyncio.to_thread(cluster.start, 3)
    async with aio.connect(cluster.endpoints) as client:
        after = [kv async for kv in client.range_all("/k/", prefix=True)]
        assert after == before
        assert (await client.range("/k/", prefix=True, count_only=True)).revision == revision
        assert (await client.put("/more", "")).revision == revision + 1
    assert await asyncio.to_thread(cluster.wait_digests_equal) != digest


@pytest.mark.full
async def test_five_nodes_go_on_with_two_killed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "five")
    try:
        await asyncio.to_thread(cluster.start, 5)
        leader = await asyncio.to_thread(cluster.leader)
        async with writers(cluster.endpoints, 5) as running:
            await asyncio.sleep(1.0)
            killed_at = time.monotonic()
            await asyncio.to_thread(cluster.kill, leader)
            await asyncio.to_thread(cluster.kill, leader % 5 + 1)
            await asyncio.sleep(4.0)
            await asyncio.to_thread(cluster.recover)
        for writer in running:
            assert writer.longest_wait_s(killed_at) < GAP_S_MAX, writer.name
        for endpoint in cluster.endpoints:
            await check_kept(endpoint, running)
        await asyncio.to_thread(cluster.wait_digests_equal)
    finally:
        await asyncio.to_thread(cluster.close)
