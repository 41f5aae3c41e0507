"""Members come and go, and leaders hand over, under load: nothing acknowledged is lost, and writing goes on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coordinator_client import aio
from scripts.localcluster.layout import ClusterError, plan_next_node
from tests.cluster.harness import Cluster, wait_until
from tests.cluster.load import check_kept, writers

GAP_S_MAX = 2.0


@dataclass
class Tally:
    """How the writes of a client went that tries again only what was surely not applied."""

    acknowledged: int = 0
    failed: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def steady_writes(endpoints: list[str]) -> AsyncIterator[Tally]:
    """Writes through all nodes until the block ends; the client library retries as its documentation says."""
    tally, stop = Tally(), asyncio.Event()

    async def write(number: int) -> None:
        order = [*endpoints[number:], *endpoints[:number]]
        async with aio.connect(order, shuffle=False) as client:
            count = 0
            while not stop.is_set():
                count += 1
                try:
                    await client.put(f"/steady/{number}/{count}", "x")
                    tally.acknowledged += 1
                except aio.CoordinatorError as error:
                    tally.failed.append(f"{type(error).__name__}: {error}")

    async with asyncio.TaskGroup() as group:
        for number in range(len(endpoints)):
            group.create_task(write(number))
        try:
            yield tally
        finally:
            stop.set()


def voters(members: tuple[aio.Member, ...]) -> list[str]:
    return [member.name for member in members if member.voter]


async def add_and_join(cluster: Cluster, client: aio.Client) -> int:
    """Adds one more member, starts its node and lets it vote; returns its number."""
    planned = plan_next_node(cluster.path, cluster.nodes)
    added = await client.add_member(planned.name, planned.peer)
    assert not added.voter
    node = await asyncio.to_thread(cluster.join)
    assert (node.name, node.peer) == (planned.name, planned.peer)
    promoted = await client.promote_member(node.name, wait=True, timeout_s=20)
    assert promoted.voter and promoted.id == added.id
    return len(cluster.nodes)


async def remove_and_wait(cluster: Cluster, client: aio.Client, number: int) -> None:
    """Removes a member, sees its node stop and say so, and forgets the node."""
    await client.remove_member(cluster.nodes[number - 1].name)
    await asyncio.to_thread(
        wait_until, lambda: not cluster.is_running(number), 20.0, lambda: "it does not stop"
    )
    assert "this member was removed from the cluster" in cluster.log(number)
    await asyncio.to_thread(cluster.forget, number)


async def test_a_fourth_node_joins_votes_and_goes_under_writes(cluster: Cluster) -> None:
    first = list(cluster.endpoints)
    async with aio.connect(first) as client, writers(first) as running:
        for i in range(200):
            await client.put(f"/before/{i}", "x" * 100)
        began = time.monotonic()
        number = await add_and_join(cluster, client)
        assert number == 4
        members = await client.members(linearizable=True, lag=True)
        assert voters(members) == ["n1", "n2", "n3", "n4"]
        assert members[3].lag is not None and members[3].connected
        status = await client.status(cluster.endpoints[3])
        assert (status.name, status.role) == ("n4", "follower")
        async with aio.connect(cluster.endpoints[3]) as fourth:
            await fourth.put("/through/4", "")
            found = await fourth.get("/before/199")
            assert found is not None
        await asyncio.to_thread(cluster.restart, 4)
        await asyncio.sleep(1)
        await remove_and_wait(cluster, client, 4)
        assert voters(await client.members(linearizable=True)) == ["n1", "n2", "n3"]
    for writer in running:
        assert writer.longest_wait_s(began) < GAP_S_MAX, writer.name
    for endpoint in cluster.endpoints:
        await check_kept(endpoint, running)


async def test_a_dead_member_is_replaced_under_its_name(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    dead = leader % 3 + 1
    left = [e for i, e in enumerate(cluster.endpoints, 1) if i != dead]
    async with aio.connect(left) as client, writers(left, 2) as running:
        before = {m.name: m.id for m in await client.members()}
        await asyncio.to_thread(cluster.kill, dead)
        node = cluster.nodes[dead - 1]
        await client.remove_member(node.name)
        added = await client.add_member(node.name, node.peer)
        assert added.id not in before.values()
        await asyncio.to_thread(cluster.join, dead)
        await client.promote_member(node.name, wait=True, timeout_s=20)
        members = await client.members(linearizable=True)
        assert voters(members) == ["n1", "n2", "n3"]
        assert {m.name: m.id for m in members} == {**before, node.name: added.id}
    for endpoint in cluster.endpoints:
        await check_kept(endpoint, running)


async def test_whoever_leads_can_be_removed(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    name = cluster.nodes[leader - 1].name
    left = [e for i, e in enumerate(cluster.endpoints, 1) if i != leader]
    async with aio.connect(left) as client, steady_writes(left) as tally:
        await remove_and_wait(cluster, client, leader)
        assert name not in voters(await client.members(linearizable=True))
        await asyncio.sleep(0.5)
    assert not tally.failed
    assert tally.acknowledged


@pytest.mark.full
async def test_a_removed_node_that_was_away_is_told_when_it_comes_back(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    away = leader % 3 + 1
    name = cluster.nodes[away - 1].name
    async with aio.connect(cluster.endpoints) as client:
        await asyncio.to_thread(cluster.kill, away)
        await client.remove_member(name)
    with pytest.raises(ClusterError, match="has ended"):
        await asyncio.to_thread(cluster.restart, away)
    assert "this member was removed from the cluster" in cluster.log(away)
    assert "Traceback" not in cluster.log(away)
    await asyncio.to_thread(cluster.forget, away)


async def test_a_node_that_was_not_added_is_told_how(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="coordctl member add n4"):
        await asyncio.to_thread(cluster.join)
    assert len(cluster.nodes) == 3


async def test_the_leader_moves_without_a_failed_write(cluster: Cluster) -> None:
    async with aio.connect(cluster.endpoints) as client, steady_writes(cluster.endpoints) as tally:
        names = [node.name for node in cluster.nodes]
        for name in (*names, *names):
            assert await client.transfer_leadership(name) == name
            await asyncio.sleep(0.2)
        before = await client.transfer_leadership("n1")
        assert await client.transfer_leadership() != before
    assert not tally.failed
    assert tally.acknowledged


@pytest.mark.full
async def test_a_rolling_restart_fails_no_write(cluster: Cluster) -> None:
    """Every node once, the leader of the moment among them; clients retry what was surely not applied."""
    async with steady_writes(cluster.endpoints) as tally:
        for _ in range(2):
            leader = await asyncio.to_thread(cluster.leader)
            for number in (leader, leader % 3 + 1, (leader + 1) % 3 + 1):
                await asyncio.to_thread(cluster.restart, number)
                await asyncio.to_thread(cluster.wait_ready)
                await asyncio.sleep(0.3)
    assert not tally.failed, tally.failed[:5]
    assert tally.acknowledged


async def test_a_leader_that_stops_hands_over_at_once(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    left = [e for i, e in enumerate(cluster.endpoints, 1) if i != leader]
    async with writers(left, 2) as running:
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await asyncio.to_thread(cluster.end, leader)
        await asyncio.sleep(0.5)
    for writer in running:
        # An election would have taken longer than the shortest election timeout.
        assert writer.longest_wait_s(began) < 0.6, writer.name
        assert not writer.unknown


async def test_a_member_moves_to_another_address(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    moved = leader % 3 + 1
    async with aio.connect(cluster.endpoints) as client:
        spare = plan_next_node(cluster.path, cluster.nodes)
        node = cluster.nodes[moved - 1]
        await asyncio.to_thread(cluster.kill, moved)
        told = await client.update_member_address(node.name, spare.peer)
        assert told.peer_address == spare.peer
        await asyncio.to_thread(cluster.move, moved, spare.peer)
        await asyncio.to_thread(cluster.restart, moved)
        third = (leader + 1) % 3 + 1
        await asyncio.to_thread(cluster.kill, third)
        # Now every write needs the one that moved.
        await client.put("/moved", "", timeout_s=20)
        await asyncio.to_thread(cluster.restart, third)


@pytest.mark.full
async def test_all_that_was_changed_survives_a_restart_of_all(cluster: Cluster) -> None:
    async with aio.connect(cluster.endpoints) as client:
        number = await add_and_join(cluster, client)
        await remove_and_wait(cluster, client, 1)
        before = {(m.id, m.name, m.peer_address, m.voter) for m in await client.members()}
    assert number == 4
    for _ in range(2):
        await asyncio.to_thread(cluster.stop)
        await asyncio.to_thread(cluster.start, 3)
        async with aio.connect(cluster.endpoints) as client:
            await client.put("/after", "")
            members = await client.members(linearizable=True)
            assert {(m.id, m.name, m.peer_address, m.voter) for m in members} == before
    assert "who belongs to the cluster is known from there" in cluster.log(3)


@pytest.mark.full
async def test_a_node_joins_a_cluster_whose_log_begins_with_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORDINATOR_LIMITS_JOURNAL_SIZE_BYTES_MAX", str(256 * 1024))
    cluster = Cluster(tmp_path / "cluster")
    try:
        await asyncio.to_thread(cluster.start, 1)
        async with aio.connect(cluster.endpoints) as client:
            count = 0
            # A thousand entries are kept after a snapshot.
            while (await client.status()).snapshot_index < 1_200:
                for _ in range(100):
                    count += 1
                    await client.put(f"/k/{count % 50}", "x" * 200)
            await add_and_join(cluster, client)
            await asyncio.to_thread(cluster.wait_digests_equal)
            assert "took over the leader's snapshot" in cluster.log(2)
            before = await client.members(linearizable=True)
            await asyncio.to_thread(cluster.restart, 2)
            assert voters(before) == voters(await client.members(linearizable=True)) == ["n1", "n2"]
        await asyncio.to_thread(cluster.wait_digests_equal)
    finally:
        await asyncio.to_thread(cluster.close)
