"""Counts the gRPC calls that are lost while the servers behind a channel come and go: `python benchmarks/channels.py`.

Real gRPC servers register; one program for each face of the client (grpc and grpc.aio) calls them all the while through
a balanced channel. In each round one instance is drained with `coordctl drain` and then killed, one deregisters with a
time to drain, and one is killed under load; as many new ones come. A failed call is explained if it was under way to
the last kind when that was killed. Any other is a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import coordinator_client
from coordinator_client import aio
from tests.cluster import echo_server
from tests.cluster.echo_server import DRAIN_S, SAY, SERVICE
from tests.cluster.harness import Cluster, wait_until

ROOT = Path(__file__).resolve().parent.parent
FACES = ("blocking", "asyncio")
CALLERS = 16
"""In each program; each has one call under way at most."""
INTERVAL_S = 0.04
"""From the beginning of one call of a caller to that of the next."""
CALL_TIMEOUT_S = 10.0
NOTICE_S = 0.1
"""How long after a kill the system may take to break the connections: a call is on its way into the void until then."""
INSTANCES = 3
WAIT_S = 30.0


@dataclass
class Call:
    id: str
    began: float
    ended: float
    outcome: str
    """The id of the instance that answered, or the name of a status code."""

    @property
    def failed(self) -> bool:
        return self.outcome.isupper()


# --- the programs that call ---------------------------------------------------------------------------


class Record:
    """Writes down what became of calls, a line each."""

    def __init__(self, face: str) -> None:
        self._face = face
        self._lock = threading.Lock()
        self._count = 0

    def begin(self) -> tuple[str, float]:
        with self._lock:
            self._count += 1
            return f"{self._face}-{self._count}", time.monotonic()

    def end(self, id: str, began: float, outcome: bytes | grpc.RpcError) -> None:
        word = outcome.code().name if isinstance(outcome, grpc.RpcError) else outcome.decode()
        with self._lock:
            print(id, began, time.monotonic(), word, flush=True)


def wait_input_ends(then: Callable[[], object]) -> None:
    threading.Thread(target=lambda: (sys.stdin.read(), then()), daemon=True).start()


def call_blocking(endpoints: str, record: Record) -> None:
    stop = threading.Event()
    wait_input_ends(stop.set)
    with (
        coordinator_client.connect(endpoints) as client,
        client.discover(SERVICE) as view,
        coordinator_client.grpc_channel(view) as channel,
    ):

        def call(number: int) -> None:
            say: Callable[..., bytes] = channel.unary_unary(SAY)
            due = time.monotonic() + INTERVAL_S * number / CALLERS
            while not stop.wait(max(0.0, due - time.monotonic())):
                id, began = record.begin()
                try:
                    record.end(id, began, say(id.encode(), timeout=CALL_TIMEOUT_S))
                except grpc.RpcError as error:
                    record.end(id, began, error)
                due = max(due + INTERVAL_S, began)

        callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()


async def call_asyncio(endpoints: str, record: Record) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    wait_input_ends(lambda: loop.call_soon_threadsafe(stop.set))
    async with (
        aio.connect(endpoints) as client,
        client.discover(SERVICE) as view,
        aio.grpc_channel(view) as channel,
    ):
        say: Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]] = channel.unary_unary(SAY)

        async def call(number: int) -> None:
            due = time.monotonic() + INTERVAL_S * number / CALLERS
            while not stop.is_set():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                id, began = record.begin()
                try:
                    record.end(id, began, await say(id.encode(), timeout=CALL_TIMEOUT_S))
                except grpc.RpcError as error:
                    record.end(id, began, error)
                due = max(due + INTERVAL_S, began)

        await asyncio.gather(*(call(number) for number in range(CALLERS)))


# --- what happens to the servers ----------------------------------------------------------------------


@dataclass
class Scene:
    """The servers, and what was done to them."""

    cluster: Cluster
    folder: Path
    servers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    killed: dict[str, float] = field(default_factory=dict)
    """When instances were killed under load."""
    drained: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    _count: int = 0

    def log(self, id: str) -> list[str]:
        path = self.folder / f"{id}.log"
        return path.read_text().split() if path.exists() else []

    def come(self) -> None:
        """Starts a server and waits until it is called."""
        self._count += 1
        id = f"s{self._count}"
        words = (id, ",".join(self.cluster.endpoints), str(self.folder / f"{id}.log"))
        server = self.servers[id] = subprocess.Popen(
            [sys.executable, echo_server.__file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert server.stdout is not None and server.stdout.readline() == "registered\n"

    def wait_called(self, id: str) -> None:
        """Waits until both programs call it."""

        def called() -> bool:
            return len({name.partition("-")[0] for name in self.log(id)}) == len(FACES)

        wait_until(called, WAIT_S, lambda: f"{id} is not called")

    def wait_all_called(self) -> None:
        for id in self.servers:
            self.wait_called(id)

    def oldest(self) -> tuple[str, subprocess.Popen[str]]:
        id = next(iter(self.servers))
        return id, self.servers.pop(id)

    def drain_by_command(self) -> None:
        """Drains an instance as an operator does; after that nobody misses it, however it ends."""
        id, server = self.oldest()
        command = ["coordctl", "--endpoints", ",".join(self.cluster.endpoints), "drain"]
        # Beside this Python, if the environment is not on the path.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            [*command, SERVICE, id],
            capture_output=True,
            text=True,
            env=os.environ | {"PATH": path},
        )
        assert done.returncode == 0, done.stderr
        time.sleep(DRAIN_S)
        self.drained.append(id)
        self._end(server)

    def drain_by_program(self) -> None:
        """Ends a program that deregisters with a time to drain."""
        id, server = self.oldest()
        server.communicate(timeout=WAIT_S)
        assert server.returncode == 0
        self.drained.append(id)

    def kill(self) -> None:
        id, server = self.oldest()
        self.killed[id] = time.monotonic()
        self._end(server)

    def _end(self, server: subprocess.Popen[str]) -> None:
        server.kill()
        server.communicate()

    def close(self) -> None:
        for server in self.servers.values():
            self._end(server)


@contextlib.contextmanager
def calling(scene: Scene, face: str) -> Iterator[None]:
    """A program that calls, from when its first call was answered."""
    path = scene.folder / face
    command = [sys.executable, __file__, "--run", face, ",".join(scene.cluster.endpoints)]
    with path.open("w") as out:
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out)
        try:
            wait_until(lambda: path.stat().st_size > 0, WAIT_S, lambda: f"{face}: no call")
            yield
            program.communicate(timeout=WAIT_S)
            assert program.returncode == 0
        finally:
            program.kill()
            program.wait()
    for line in path.read_text().splitlines():
        id, began, ended, outcome = line.split()
        scene.calls.append(Call(id, float(began), float(ended), outcome))


def perform(scene: Scene, rounds: int) -> None:
    for _ in range(INSTANCES):
        scene.come()
    with calling(scene, "blocking"), calling(scene, "asyncio"):
        scene.wait_all_called()
        for _ in range(rounds):
            for ending in (scene.drain_by_command, scene.drain_by_program, scene.kill):
                scene.come()
                scene.wait_all_called()
                ending()
        # What a kill did shows while the programs go on.
        time.sleep(1)


# --- the verdict --------------------------------------------------------------------------------------


def unexplained(scene: Scene) -> list[str]:
    """Describes the calls that failed though they were not under way to an instance that was killed under load."""
    reached = {name: id for id in scene.folder.glob("*.log") for name in id.read_text().split()}
    found = []
    for call in scene.calls:
        if not call.failed:
            continue
        server = reached[call.id].stem if call.id in reached else None
        # One that no server began with was on its way; the time says where to.
        killed = scene.killed.values() if server is None else [scene.killed.get(server, 0.0)]
        if call.outcome != "UNAVAILABLE" or not any(
            call.began < at + NOTICE_S and at < call.ended for at in killed
        ):
            since = [round(call.began - at, 3) for at in scene.killed.values()]
            found.append(f"{call.id} to {server}: {call.outcome}, began {since} s after the kills")
    return found


def figures(scene: Scene, face: str) -> dict[str, object]:
    calls = [call for call in scene.calls if call.id.startswith(face)]
    times = sorted((call.ended - call.began) * 1e3 for call in calls if not call.failed)
    took = max(call.ended for call in calls) - min(call.began for call in calls)
    return {
        "face": face,
        "calls": len(calls),
        "calls_per_s": round(len(calls) / took, 1),
        "instances": len({call.outcome for call in calls if not call.failed}),
        "failed": dict(Counter(call.outcome for call in calls if call.failed)),
        "p50_ms": round(times[len(times) // 2], 1),
        "p99_ms": round(times[int(len(times) * 0.99)], 1),
        "max_ms": round(times[-1], 1),
    }


def measure(folder: Path, rounds: int) -> tuple[dict[str, object], list[str]]:
    cluster = Cluster(folder / "cluster")
    scene = Scene(cluster, folder)
    try:
        cluster.start()
        perform(scene, rounds)
    finally:
        scene.close()
        cluster.close()
    faults = unexplained(scene)
    failed = sum(call.failed for call in scene.calls)
    if failed > CALLERS * len(FACES) * len(scene.killed):
        faults.append(f"{failed} calls failed, more than can have been under way")
    return {
        "drained": len(scene.drained),
        "killed": len(scene.killed),
        "faces": [figures(scene, face) for face in FACES],
        "failed": failed,
        "not_explained": faults,
    }, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        face, endpoints = options.run
        if face == "blocking":
            call_blocking(endpoints, Record(face))
        else:
            asyncio.run(call_asyncio(endpoints, Record(face)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found, faults = measure(Path(folder), options.rounds)
    print(json.dumps(found, indent=2))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
