"""Channels under constant load while real servers come, drain, go and are killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

import coordinator_client
from coordinator_client import aio
from tests.cluster import echo_server
from tests.cluster.echo_server import SAY, SERVICE
from tests.cluster.harness import Cluster, wait_until

WAIT_S = 20.0
CALLERS = 8
CALL_TIMEOUT_S = 5.0


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.errors: list[grpc.RpcError] = []
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def note(self, outcome: bytes | grpc.RpcError) -> None:
        with self._lock:
            if isinstance(outcome, grpc.RpcError):
                self.errors.append(outcome)
            else:
                self.answers[outcome.decode()] += 1

    def wait_for(self, *ids: str) -> None:
        """Waits until each of these, and no other, has answered from now on."""

        def only_these() -> bool:
            before = Counter(self.answers)
            threading.Event().wait(0.2)
            return set(Counter(self.answers) - before) == set(ids)

        wait_until(only_these, WAIT_S, lambda: f"not {ids}: {self.answers}")


def call_blocking(cluster: Cluster, tally: Tally) -> None:
    with (
        coordinator_client.connect(cluster.endpoints) as client,
        client.discover(SERVICE) as view,
        coordinator_client.grpc_channel(view) as channel,
    ):

        def call() -> None:
            say: Callable[..., bytes] = channel.unary_unary(SAY)
            while not tally.stop.is_set():
                try:
                    tally.note(say(b"", timeout=CALL_TIMEOUT_S))
                except grpc.RpcError as error:
                    tally.note(error)

        callers = [threading.Thread(target=call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()


def call_asyncio(cluster: Cluster, tally: Tally) -> None:
    async def main() -> None:
        async with (
            aio.connect(cluster.endpoints) as client,
            client.discover(SERVICE) as view,
            aio.grpc_channel(view) as channel,
        ):
            say: Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]] = channel.unary_unary(SAY)

            async def call() -> None:
                while not tally.stop.is_set():
                    try:
                        tally.note(await say(b"", timeout=CALL_TIMEOUT_S))
                    except grpc.RpcError as error:
                        tally.note(error)

            await asyncio.gather(*(call() for _ in range(CALLERS)))

    asyncio.run(main())


@contextmanager
def running(cluster: Cluster, id: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, echo_server.__file__, id, ",".join(cluster.endpoints)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "registered\n"
            yield server
        finally:
            server.kill()


@pytest.mark.full
@pytest.mark.parametrize("load", [call_blocking, call_asyncio])
def test_calls_survive_what_happens_to_servers(
    cluster: Cluster, load: Callable[[Cluster, Tally], None]
) -> None:
    tally = Tally()
    thread = threading.Thread(target=load, args=(cluster, tally))
    with ExitStack() as stack:
        stack.callback(thread.join, WAIT_S)
        stack.callback(tally.stop.set)
        servers = {id: stack.enter_context(running(cluster, id)) for id in ("a", "b")}
        thread.start()
        tally.wait_for("a", "b")
        for id in ("c", "d"):
            servers[id] = stack.enter_context(running(cluster, id))
        tally.wait_for("a", "b", "c", "d")
        for id in ("a", "b"):
            servers[id].communicate(timeout=WAIT_S)  # ends its input
            assert servers[id].returncode == 0
            tally.wait_for(*(set("abcd") - set("ab"[: "ab".index(id) + 1])))
        assert not tally.errors, "coming, draining and going cost no call"

        servers["c"].kill()
        servers["c"].wait()
        tally.wait_for("d")
        servers["e"] = stack.enter_context(running(cluster, "e"))
        tally.wait_for("d", "e")
        tally.stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()
    print(f"{sum(tally.answers.values())} calls, {len(tally.errors)} lost: {tally.errors}")
    assert {error.code() for error in tally.errors} <= {grpc.StatusCode.UNAVAILABLE}
    # Every caller has one call under way at most.
    assert len(tally.errors) <= CALLERS
