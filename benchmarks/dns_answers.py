"""Measures how fast nodes answer DNS while services come and go: `python benchmarks/dns_answers.py`.

A program asks over UDP at a fixed pace, whatever became of the questions before: a time counts from the moment at
which the question was due, so that waiting counts. Meanwhile other programs register and deregister other services, and
the instances of the one that is asked for change. Clients and nodes share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import random
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.message

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator_client import Client, aio, connect
from tests.cluster.harness import Cluster

SERVICE = "asked"
NAME = f"{SERVICE}.service.coordinator."
CHANGES_PER_S = 20
"""Of the service that is asked for."""
WARM_S = 2.0
LAST_WAIT_S = 2.0
"""How long the last answers are waited for."""
P99_MS_MAX = 5.0


class Asker:
    """Asks nodes in turn and takes the times; one thread, no event loop, so that it adds little to them."""

    def __init__(self, addresses: Sequence[str], instances: int, kind: str) -> None:
        self._instances = instances
        self._question = dns.message.make_query(NAME, kind, id=0, flags=0).to_wire()[2:]
        self._sockets: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        for address in addresses:
            host, _, port = address.rpartition(":")
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.connect((host, int(port)))
            one.setblocking(False)
            self._sockets.append(one)
            self._selector.register(one, selectors.EVENT_READ)
        self._due: dict[int, float] = {}
        """When each question that has no answer was due, by its id."""
        self.times_ms: list[float] = []
        self.wrong: Counter[str] = Counter()

    def close(self) -> None:
        self._selector.close()
        for one in self._sockets:
            one.close()

    def run(self, seconds: float, per_s: int) -> None:
        """Asks at that pace for so long."""
        count = int(seconds * per_s)
        began = time.perf_counter()
        for number in range(count):
            due = began + number / per_s
            while (left := due - time.perf_counter()) > 0:
                self._take(left)
            # Ids are used again after more questions than can be under way.
            id = number % 65536
            self._due[id] = due
            self._sockets[number % len(self._sockets)].send(id.to_bytes(2) + self._question)
            self._take(0)
        end = time.perf_counter() + LAST_WAIT_S
        while self._due and time.perf_counter() < end:
            self._take(0.1)
        self.wrong["no answer"] += len(self._due)
        self._due.clear()

    def _take(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            assert isinstance(key.fileobj, socket.socket)
            with contextlib.suppress(BlockingIOError):
                while True:
                    reply = key.fileobj.recv(4096)
                    due = self._due.pop(int.from_bytes(reply[:2]), None)
                    if due is not None:
                        self.times_ms.append((time.perf_counter() - due) * 1e3)
                        self._check(reply)

    def _check(self, reply: bytes) -> None:
        code, answers = reply[3] & 15, int.from_bytes(reply[6:8])
        if code or reply[2] & 2 or answers != self._instances:
            self.wrong[f"code {code}, {answers} answers, truncated {bool(reply[2] & 2)}"] += 1


async def storm(endpoints: str, per_s: float) -> None:
    """Registers and deregisters at a pace, until it is killed; prints how often it did so, once a second."""
    done = 0

    async def once(client: aio.Client, number: int) -> None:
        nonlocal done
        async with client.register(f"other-{number % 100}", "10.1.0.1", 80):
            # Some are found for a moment.
            await asyncio.sleep(random.random())
        done += 1

    async def tell() -> None:
        while True:
            before = done
            await asyncio.sleep(1)
            print(done - before, flush=True)

    async with aio.connect(endpoints) as client, asyncio.TaskGroup() as group:
        group.create_task(tell())
        loop, number = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            number += 1
            due += 1 / per_s
            group.create_task(once(client, number))
            await asyncio.sleep(max(0.0, due - loop.time()))


async def change(endpoints: str, instances: int) -> None:
    """Defines the instances that are asked for, and replaces one after the other until it is killed."""
    async with aio.connect(endpoints) as client:
        number = 0
        while True:
            await client.put(*definition(number % instances, weight=number % 100 + 1))
            number += 1
            if number == instances:
                print("defined", flush=True)
            if number > instances:
                await asyncio.sleep(1 / CHANGES_PER_S)


def definition(number: int, weight: int) -> tuple[str, str]:
    value = {"address": f"10.2.0.{number + 1}", "port": 80, "weight": weight}
    return f"/services/{SERVICE}/instances/{number}", json.dumps(value)


@contextlib.contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[str]]:
    """This file in another process, which is killed at the end."""
    command = [sys.executable, __file__, "--run", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None and running.stdout.readline()
            yield running
        finally:
            running.kill()


def measure(
    cluster: Cluster,
    client: Client,
    instances: int,
    nodes: Sequence[int],
    options: argparse.Namespace,
) -> dict[str, object]:
    endpoints = ",".join(cluster.endpoints)
    addresses = [cluster.nodes[i - 1].dns for i in nodes]
    with (
        program("change", endpoints, str(instances)),
        program("storm", endpoints, str(options.storm)) as storming,
        contextlib.closing(Asker(addresses, instances, options.type)) as asker,
    ):
        asker.run(WARM_S, options.per_s)
        asker.times_ms.clear()
        asker.wrong.clear()
        before = client.range("/none").revision
        gc.collect()
        gc.disable()
        asker.run(options.seconds, options.per_s)
        gc.enable()
        revisions = client.range("/none").revision - before
        storming.kill()
        assert storming.stdout is not None
        rates = [int(line) for line in storming.stdout][-int(options.seconds) :]
    client.delete(f"/services/{SERVICE}/", prefix=True)
    times = sorted(asker.times_ms)
    return {
        "instances": instances,
        "nodes": [cluster.nodes[i - 1].name for i in nodes],
        "questions": int(options.seconds * options.per_s),
        "answers": len(times),
        "p50_ms": round(times[len(times) // 2], 3),
        "p99_ms": round(times[int(len(times) * 0.99)], 3),
        "p999_ms": round(times[int(len(times) * 0.999)], 3),
        "max_ms": round(times[-1], 3),
        "wrong": dict(+asker.wrong),
        "registrations_per_s": round(sum(rates) / max(1, len(rates)), 1),
        "revisions_per_s": round(revisions / options.seconds, 1),
    }


def run(options: argparse.Namespace) -> list[dict[str, object]]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder) / "cluster")
        try:
            cluster.start()
            leader = cluster.leader()
            with connect(cluster.endpoints) as client:
                for nodes in ([leader], [1, 2, 3]):
                    for instances in (1, 10):
                        figures = measure(cluster, client, instances, nodes, options)
                        print(json.dumps(figures), flush=True)
                        found.append(figures)
        finally:
            cluster.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each of four runs")
    parser.add_argument("--per-s", type=int, default=2000, help="questions per second")
    parser.add_argument("--storm", type=float, default=50.0, help="registrations per second")
    parser.add_argument("--type", choices=("A", "SRV"), default="A")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        part, endpoints, number = options.run
        running = (
            storm(endpoints, float(number)) if part == "storm" else change(endpoints, int(number))
        )
        asyncio.run(running)
        return 0
    slow = [f for f in run(options) if float(str(f["p99_ms"])) > P99_MS_MAX or f["wrong"]]
    print(f"{len(slow)} of 4 runs had wrong answers, or a p99 of more than {P99_MS_MAX} ms")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
