"""Disasters, and the way out of them, with real nodes."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from coordinator_client import aio
from coordinator_client.pb import session_pb2
from tests.cluster.harness import Cluster
from tests.cluster.load import writers


async def coordinator(*arguments: str) -> str:
    """Runs the program on a folder; returns what it printed."""
    command = [sys.executable, "-m", "coordinator", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def open_session(endpoint: str) -> int:
    """Opens a session that nobody keeps alive; returns its id."""
    async with grpc.aio.insecure_channel(endpoint) as channel:
        call: Any = channel.unary_unary(
            "/coordinator.v1.Session/Open",
            request_serializer=session_pb2.SessionOpenRequest.SerializeToString,
            response_deserializer=session_pb2.SessionOpenResponse.FromString,
        )
        reply: session_pb2.SessionOpenResponse = await call(
            session_pb2.SessionOpenRequest(ttl_ms=600_000)
        )
        return reply.id


@pytest.mark.full
async def test_a_snapshot_saved_under_writes_becomes_a_new_cluster(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "backup.snapshot"
    follower = await asyncio.to_thread(cluster.leader) % 3
    told: list[tuple[int, int]] = []
    async with aio.connect(cluster.endpoints[follower]) as client:
        session = await open_session(cluster.endpoints[follower])
        await client.put("/owned", "x", session=session)
        async with writers(cluster.endpoints, 2):
            before = await client.put("/kept", "v" * 1000)
            saved = await client.save_snapshot(
                file, progress=lambda received, size: told.append((received, size))
            )
        last = await client.put("/lost", "")
        assert before.revision <= saved.revision < last.revision
        assert told[-1] == (saved.size_bytes, saved.size_bytes) == (file.stat().st_size,) * 2
        old = await client.status(cluster.endpoints[follower])
    for i in (1, 2, 3):
        await asyncio.to_thread(cluster.kill, i)
    assert (await coordinator("inspect", str(file))).rstrip().endswith("ok")
    peers = ",".join(f"{node.name}={node.peer}" for node in cluster.nodes)
    for node in cluster.nodes:
        shutil.rmtree(node.data_dir)
        await coordinator(
            *("restore", str(file), "--data-dir", node.data_dir),
            *("--name", node.name, "--cluster", peers),
        )
    await asyncio.to_thread(cluster.recover)
    async with aio.connect(cluster.endpoints) as client:
        kept = await client.get("/kept")
        assert kept is not None and kept.mod_revision == before.revision
        assert await client.get("/lost") is None
        assert session in [record.id for record in await client.sessions()]
        owned = await client.get("/owned")
        assert owned is not None and owned.session == session
        status = await client.status(cluster.endpoints[0])
        assert status.cluster_id not in (0, old.cluster_id)
        assert status.revision > last.revision
        with pytest.raises(aio.Compacted):
            async with client.watch(b"/", prefix=True, start_revision=last.revision + 1) as watch:
                async for _ in watch:
                    pass
        assert (await client.put("/new", "")).revision > saved.revision + 10**9
    await asyncio.to_thread(cluster.wait_digests_equal)


@pytest.mark.full
async def test_the_last_survivor_goes_on_and_grows_to_three_again(cluster: Cluster) -> None:
    async with aio.connect(cluster.endpoints) as client:
        for i in range(50):
            await client.put(f"/k/{i}", "v")
        old = await client.status(cluster.endpoints[0])
    await asyncio.to_thread(cluster.wait_digests_equal)
    for i in (1, 2, 3):
        await asyncio.to_thread(cluster.kill, i)
    survivor = cluster.nodes[0]
    made = await coordinator("force-new-cluster", "--data-dir", survivor.data_dir)
    assert "the new cluster" in made
    await asyncio.to_thread(cluster.restart, 1)
    async with aio.connect(survivor.client) as client:
        assert len((await client.range("/k/", prefix=True)).kvs) == 50
        status = await client.status(survivor.client)
        assert status.cluster_id != old.cluster_id
        assert [m.name for m in await client.members()] == ["n1"]
        await client.put("/after", "")
        for i in (2, 3):
            node = cluster.nodes[i - 1]
            await client.add_member(node.name, node.peer)
            await asyncio.to_thread(cluster.join, i)
            await client.promote_member(node.name, wait=True, timeout_s=20)
        assert [m.voter for m in await client.members(linearizable=True)] == [True] * 3
    await asyncio.to_thread(cluster.wait_digests_equal)
