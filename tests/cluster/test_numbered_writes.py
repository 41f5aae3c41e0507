"""Writes under way while their leader is killed: each is applied once, and its result arrives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

import coordinator_client
from coordinator_client import Put, aio
from coordinator_client.calls import Method, Reply, Request
from coordinator_client.failures import CallFailed, Failure
from tests.cluster.harness import Cluster, wait_until

CALLERS = 32
WAIT_S = 30


class Appender:
    """Appends to a log and counts up, without any guard: what is applied twice is there twice."""

    def __init__(self, client: aio.Client, name: str) -> None:
        self._client = client
        self._name = name
        self.appended: dict[bytes, str] = {}
        self.counted = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            text = f"{self._name}.{len(self.appended)}"
            result = await self._client.put("/log/", text, sequence=True)
            assert result.key not in self.appended
            self.appended[result.key] = text
            done = await self._client.txn().then(Put(f"/count/{self._name}", text)).commit()
            assert done.succeeded
            self.counted += 1


def note_lost_answers(client: aio.Client) -> list[Failure]:
    """Returns a list that grows by each attempt that may have been applied although it failed."""
    lost: list[Failure] = []
    connection = client._connection
    attempt = connection.attempt

    async def look_on(
        endpoint: str,
        method: Method[Request, Reply],
        request: Request,
        timeout_s: float,
        *,
        safe: bool = False,
    ) -> Reply:
        try:
            return await attempt(endpoint, method, request, timeout_s, safe=safe)
        except CallFailed as failed:
            if not failed.failure.surely_not_applied:
                lost.append(failed.failure)
            raise

    connection.attempt = look_on  # type: ignore[method-assign]  # looks on
    return lost


@pytest.mark.full
async def test_each_write_is_applied_once_though_leaders_are_killed(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    async with aio.connect(from_node(cluster, leader), shuffle=False, timeout_s=WAIT_S) as client:
        lost = note_lost_answers(client)
        appenders = [Appender(client, f"c{i}") for i in range(CALLERS)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for appender in appenders:
                group.create_task(appender.run(stop))
            for _ in range(2):
                leader = await asyncio.to_thread(cluster.leader)
                # In the middle of it: what is under way stands in the leader's journal, or does not.
                await progress(appenders, 5)
                await asyncio.to_thread(cluster.kill, leader)
                await progress(appenders, 5)
                await asyncio.to_thread(cluster.restart, leader)
            stop.set()
        assert lost, "no answer was lost: nothing was put to the test"
        log = {kv.key: kv.text async for kv in client.range_all("/log/", prefix=True)}
        counts = {kv.name: kv.version async for kv in client.range_all("/count/", prefix=True)}
    expected = {key: text for appender in appenders for key, text in appender.appended.items()}
    assert log == expected
    assert len(set(log.values())) == len(log)
    assert counts == {f"/count/c{i}": appenders[i].counted for i in range(CALLERS)}


def from_node(cluster: Cluster, node: int) -> list[str]:
    """Returns all endpoints, that of the node first."""
    return cluster.endpoints[node - 1 :] + cluster.endpoints[: node - 1]


async def progress(appenders: Sequence[Appender], rounds: int) -> None:
    """Waits until every appender has come further by some rounds."""
    goals = [appender.counted + rounds for appender in appenders]
    async with asyncio.timeout(WAIT_S):
        while any(a.counted < goal for a, goal in zip(appenders, goals, strict=True)):
            await asyncio.sleep(0.02)


def test_the_same_from_threads(cluster: Cluster) -> None:
    leader = cluster.leader()
    counted = [0] * 16
    problems: list[Exception] = []
    stop = threading.Event()

    def count(number: int) -> None:
        try:
            while not stop.is_set():
                client.put(f"/count/{number}", prev=True)
                counted[number] += 1
        except Exception as problem:
            problems.append(problem)

    with coordinator_client.connect(
        from_node(cluster, leader), shuffle=False, timeout_s=WAIT_S
    ) as client:
        threads = [threading.Thread(target=count, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        await_progress(counted, problems)
        cluster.kill(leader)
        await_progress(counted, problems)
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)
        assert problems == []
        found = {kv.name: kv.version for kv in client.range_all("/count/", prefix=True)}
    assert found == {f"/count/{number}": done for number, done in enumerate(counted)}


def await_progress(counted: list[int], problems: list[Exception]) -> None:
    """Waits until every thread has counted further, or one has failed."""
    goals = [done + 10 for done in counted]

    def further() -> bool:
        return bool(problems) or all(
            done >= goal for done, goal in zip(counted, goals, strict=True)
        )

    wait_until(further, WAIT_S, lambda: f"no progress: {counted}, not {goals}")
