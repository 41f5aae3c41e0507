"""A service that vanishes at once is kept for a while, says so, and is taken back by who registers again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterable

import pytest

from coordinator_client import aio
from coordinator_client.model import Cause
from tests.cluster.harness import Cluster

FLEET = """
import sys, time
from contextlib import ExitStack
import coordinator_client as coordinator
with coordinator.connect(sys.argv[1]) as client, ExitStack() as stack:
    for id in sys.argv[2:]:
        stack.enter_context(client.register("fleet", "127.0.0.1", 8080, id=id, ttl=3))
    print("registered", flush=True)
    time.sleep(60)
"""
IDS = [f"i-{n}" for n in range(6)]
WINDOW_S = 6


async def start(cluster: Cluster, ids: Iterable[str]) -> subprocess.Popen[bytes]:
    """Starts a program that registers instances."""
    command = [sys.executable, "-c", FLEET, ",".join(cluster.endpoints), *ids]
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert program.stdout is not None
    assert await asyncio.to_thread(program.stdout.readline) == b"registered\n"
    program.stdout.close()
    return program


def kill(program: subprocess.Popen[bytes]) -> None:
    program.send_signal(signal.SIGKILL)
    program.wait()


async def until(changes: aio.Changes, view: aio.ServiceView, wanted: dict[str, str]) -> None:
    """Waits until the view holds these instances in these states."""
    while {i.id: i.state.status for i in view.instances()} != wanted:
        await changes.next(WINDOW_S + 10)


@pytest.mark.full
async def test_a_service_that_dies_at_once_is_kept_for_a_while(cluster: Cluster) -> None:
    client = aio.connect(cluster.endpoints)
    programs = []
    try:
        await client.put(
            "/services/fleet/settings", f'{{"guard":{{"window_ms":{WINDOW_S * 1000}}}}}'
        )
        programs.append(await start(cluster, IDS))
        async with client.discover("fleet") as view:
            changes = view.changes()
            await until(changes, view, dict.fromkeys(IDS, "passing"))
            kill(programs[0])
            await until(changes, view, dict.fromkeys(IDS, "critical"))
            for instance in view.instances():
                assert instance.state.guarded and "kept" in instance.state.note
                session = await client.get_session(instance.session)
                assert session.metadata == {"coordinator.guard": "fleet"}
                assert session.ttl_s == WINDOW_S
            programs.append(await start(cluster, IDS[:2]))
            wanted = dict.fromkeys(IDS[:2], "passing") | dict.fromkeys(IDS[2:], "critical")
            await until(changes, view, wanted)
            # Whoever leads next gives the kept ones their time once more, and then lets them go.
            await asyncio.to_thread(cluster.kill, await asyncio.to_thread(cluster.leader))
            causes: dict[str, Cause] = {}
            while len(causes) < len(IDS) - 2:
                change = await changes.next(2 * WINDOW_S + 10)
                if change.type is aio.ChangeType.REMOVED:
                    causes[change.instance.id] = change.cause
            assert causes == dict.fromkeys(IDS[2:], Cause.SESSION_EXPIRED)
            assert {i.id: i.state.status for i in view.instances()} == (
                dict.fromkeys(IDS[:2], "passing")
            )
    finally:
        for program in programs:
            kill(program)
        await client.close()
