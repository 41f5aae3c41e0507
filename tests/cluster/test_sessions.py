"""Services vanish when they die, and only then."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from coordinator_client import aio
from tests.cluster.harness import Cluster

TTL_S = 3.0

SERVICE = """
import sys, time
import coordinator_client as coordinator
with coordinator.connect(sys.argv[1]) as client:
    with client.register("payments", "127.0.0.1", 8080, id="doomed", ttl=float(sys.argv[2])):
        print("registered", flush=True)
        time.sleep(60)
"""


async def gone_after(view: aio.ServiceView, instance_id: str, since: float) -> float:
    """Waits until the view lacks the instance; returns the seconds since then."""
    async for change in view.changes():
        if change.type is aio.ChangeType.REMOVED and change.instance.id == instance_id:
            break
    assert instance_id not in {i.id for i in view.instances()}
    return time.monotonic() - since


async def test_a_killed_service_disappears_from_every_view_within_ttl_and_a_second(
    cluster: Cluster,
) -> None:
    clients = [aio.connect(endpoint) for endpoint in cluster.endpoints]
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, ",".join(cluster.endpoints), str(TTL_S)],
        stdout=subprocess.PIPE,
    )
    try:
        assert service.stdout is not None
        line = await asyncio.to_thread(service.stdout.readline)
        assert line == b"registered\n"
        views = [await client.discover("payments").open() for client in clients]
        for view in views:
            assert [i.id for i in await view.wait_for(1, 5)] == ["doomed"]
        await asyncio.sleep(TTL_S / 2)
        killed_at = time.monotonic()
        service.send_signal(signal.SIGKILL)
        async with asyncio.timeout(TTL_S + 5):
            lags = await asyncio.gather(*(gone_after(v, "doomed", killed_at) for v in views))
        print("gone after", [f"{lag:.2f} s" for lag in lags])
        assert max(lags) < TTL_S + 1
        for view in views:
            await view.close()
    finally:
        service.kill()
        service.wait()
        assert service.stdout is not None
        service.stdout.close()
        for client in clients:
            await client.close()


GRACEFUL = """
import sys, time
import coordinator_client as coordinator
with coordinator.connect(sys.argv[1]) as client:
    with client.session(ttl=20.0, disconnect_grace=0.5) as session:
        session.put("/g", "here")
        time.sleep(0.5)  # for the first keep-alive, which ties the session to its stream
        print("ready", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("through", ["leader", "follower"])
async def test_a_crash_is_noticed_by_the_broken_stream(cluster: Cluster, through: str) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    number = leader if through == "leader" else leader % 3 + 1
    async with (
        aio.connect(cluster.endpoints) as client,
        client.watch("/g", deletes=True, puts=False) as watch,
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            GRACEFUL,
            cluster.endpoints[number - 1],
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        finally:
            process.kill()
            await process.wait()
        killed_at = time.monotonic()
        batch = await watch.next(10)
        lag = time.monotonic() - killed_at
        print(f"gone after {lag:.2f} s")
        assert 0.4 < lag < 3.0
        assert [event.cause for event in batch.events] == [aio.Cause.CONNECTION_LOST]


async def test_a_stopped_or_killed_node_costs_no_session_its_life(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    order = [cluster.endpoints[leader % 3], *cluster.endpoints]
    async with (
        aio.connect(order, shuffle=False) as client,
        aio.connect(cluster.endpoints) as witness,
        client.session(ttl=20.0, disconnect_grace=1.0) as session,
    ):
        await session.put("/g", "here")
        await asyncio.to_thread(cluster.restart, leader % 3 + 1)  # ends it with SIGTERM
        await asyncio.sleep(2.5)
        assert await witness.get("/g") is not None
        endpoint = session.endpoint
        assert endpoint is not None
        await asyncio.to_thread(cluster.kill, cluster.endpoints.index(endpoint) + 1)
        await asyncio.sleep(2.5)
        assert await witness.get("/g", timeout_s=10) is not None
        assert not session.lost.is_set()


async def test_a_client_on_a_killed_node_keeps_its_session_through_another(
    cluster: Cluster,
) -> None:
    victim = await asyncio.to_thread(cluster.leader) % 3 + 1
    order = [cluster.endpoints[victim - 1], *cluster.endpoints]
    async with (
        aio.connect(order, shuffle=False) as client,
        aio.connect(cluster.endpoints) as witness,
    ):
        async with client.session(ttl=TTL_S) as session:
            await session.put("/e", "here")
            while session.endpoint is None:
                await asyncio.sleep(0.01)
            assert session.endpoint == order[0]
            await asyncio.to_thread(cluster.kill, victim)
            for _ in range(int(3 * TTL_S / 0.25)):
                await asyncio.sleep(0.25)
                found = await witness.get("/e")
                assert found is not None and found.session == session.id
            assert not session.lost.is_set()
        assert await witness.get("/e") is None


@pytest.mark.full
async def test_sessions_outlive_their_leader_and_a_restart_of_all(cluster: Cluster) -> None:
    async with aio.connect(cluster.endpoints) as client, client.session(ttl=6.0) as session:
        await session.put("/e", "here")
        leader = await asyncio.to_thread(cluster.leader)
        await asyncio.to_thread(cluster.kill, leader)
        await asyncio.to_thread(cluster.restart, leader)
        assert await client.get("/e") is not None
        for number in (1, 2, 3):
            await asyncio.to_thread(cluster.kill, number)
        await asyncio.to_thread(cluster.start, 3)
        await asyncio.sleep(6.0)
        assert not session.lost.is_set()
        assert await client.get("/e", timeout_s=10) is not None


async def test_a_silent_session_ends_everywhere_and_says_why(cluster: Cluster) -> None:
    async with (
        aio.connect(cluster.endpoints[0]) as client,
        client.watch("/e/", prefix=True) as watch,
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys, time, coordinator_client as c\n"
            "client = c.connect(sys.argv[1])\n"
            "session = client.session(ttl=1.0).open()\n"
            "session.put('/e/1', ''), session.put('/e/2', '')\n"
            "print('ready', flush=True)\n"
            "time.sleep(60)\n",
            cluster.endpoints[1],
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            os.kill(process.pid, signal.SIGSTOP)
            causes: dict[bytes, aio.Cause] = {}
            revisions = set()
            async with asyncio.timeout(5):
                while len(causes) < 2:
                    for event in (batch := await watch.next()).events:
                        if event.type is aio.EventType.DELETE:
                            causes[event.key] = event.cause
                            revisions.add(batch.revision)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        assert set(causes) == {b"/e/1", b"/e/2"}
        assert set(causes.values()) == {aio.Cause.SESSION_EXPIRED}
        assert len(revisions) == 1


@pytest.mark.full
async def test_a_session_survives_many_changes_of_leader(cluster: Cluster) -> None:
    async with (
        aio.connect(cluster.endpoints) as client,
        client.session(ttl=5.0) as session,
    ):
        await session.put("/e", "here")
        for _ in range(8):
            leader = await asyncio.to_thread(cluster.leader)
            await asyncio.to_thread(cluster.kill, leader)
            await asyncio.to_thread(cluster.restart, leader)
            found = await client.get("/e", timeout_s=10)
            assert found is not None and not session.lost.is_set()
