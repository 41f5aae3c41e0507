"""The asyncio face against real nodes that are killed and paused under it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from coordinator_client import aio
from tests.cluster.harness import Cluster

WAIT_S = 15
TTL_S = 3.0


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[aio.Client]:
    async with aio.connect(cluster.endpoints, timeout_s=10) as client:
        yield client


async def attached(session: aio.Session) -> str:
    async with asyncio.timeout(WAIT_S):
        while (endpoint := session.endpoint) is None:
            await asyncio.sleep(0.01)
    return endpoint


async def test_everything_outlives_the_node_that_it_is_attached_to(
    cluster: Cluster, client: aio.Client
) -> None:
    """A session, a watch, a registration and a view, all on the node that is killed; twice."""
    told: list[aio.Session] = []
    async with (
        client.session(TTL_S, on_lost=told.append) as session,
        client.watch("/w/", prefix=True) as watch,
        client.discover("pay") as view,
        client.register("pay", "127.0.0.1", 80, id="i-1", ttl=TTL_S) as mine,
    ):
        await session.put("/ephemeral")
        await view.wait_for(1, WAIT_S)
        first = mine.session
        written: list[str] = []
        seen: list[str] = []
        for round_ in range(2):
            endpoint = await attached(session)
            node = cluster.endpoints.index(endpoint) + 1
            await asyncio.to_thread(cluster.kill, node)
            started = time.monotonic()
            lowest_s = TTL_S
            while time.monotonic() - started < TTL_S + 0.5:
                written.append(f"{round_}.{len(written)}")
                await client.put("/w/x", written[-1])
                lowest_s = min(lowest_s, session.remaining_s)
                await asyncio.sleep(0.05)
            assert lowest_s > 0
            await asyncio.to_thread(cluster.restart, node)
        while not seen or seen[-1] != written[-1]:
            seen += [event.kv.text for event in (await watch.next(WAIT_S)).events]
        assert seen == written
        assert not told
        assert await client.get("/ephemeral") is not None
        assert mine.session is first
        assert [instance.id for instance in view.instances()] == ["i-1"]
    assert await client.get("/ephemeral") is None
    assert await client.instances("pay") == ()


async def test_calls_find_the_leader_and_the_next_one(cluster: Cluster) -> None:
    """Watches stay where they were begun."""
    leader = await asyncio.to_thread(cluster.leader)
    first, then = cluster.endpoints[leader % 3], cluster.endpoints[leader - 1]
    async with aio.connect([first, *cluster.endpoints], shuffle=False) as client:
        async with client.watch("/w") as watch:
            await client.put("/w", "1")
            assert client.endpoint == then and watch.endpoint == first
        await asyncio.to_thread(cluster.kill, leader)
        for step in range(3):
            await client.put("/w", str(step))
        following = cluster.endpoints[await asyncio.to_thread(cluster.leader) - 1]
        assert client.endpoint == following != then


async def test_a_paused_node_is_noticed(cluster: Cluster) -> None:
    """It keeps its connections and answers nothing: calls, a session and a watch must leave it by themselves."""
    leader = await asyncio.to_thread(cluster.leader)
    paused = leader % 3 + 1
    rotated = cluster.endpoints[paused - 1 :] + cluster.endpoints[: paused - 1]
    # Without the leader's, to which calls would go.
    endpoints = [e for e in rotated if e != cluster.endpoints[leader - 1]]
    async with (
        aio.connect(endpoints, shuffle=False) as client,
        aio.connect(cluster.endpoints[leader - 1]) as other,
        client.session(4) as session,
        client.watch("/w") as watch,
    ):
        assert await attached(session) == watch.endpoint == client.endpoint == endpoints[0]
        await asyncio.to_thread(cluster.pause, paused)
        await other.put("/w", "1")
        started = time.monotonic()
        assert await client.get("/w") is not None
        assert time.monotonic() - started < 4
        batch = await watch.next(WAIT_S)
        assert [event.kv.text for event in batch.events] == ["1"]
        assert not session.lost.is_set()
        assert session.endpoint != endpoints[0]


async def test_without_a_majority_writes_are_not_applied_or_unknown(
    cluster: Cluster, client: aio.Client
) -> None:
    await client.put("/k", "before")
    for node in (1, 2):
        await asyncio.to_thread(cluster.kill, node)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises((aio.OutcomeUnknown, aio.Unavailable)):
            await client.put("/k", "during", timeout_s=1.5)
        with pytest.raises((aio.DeadlineExceeded, aio.Unavailable)):
            await client.get("/k", timeout_s=1.5)
        stale = await client.get("/k", local=True)
    assert stale is not None and stale.text == "before"
    await asyncio.to_thread(cluster.restart, 1)
    await client.put("/k", "after")
