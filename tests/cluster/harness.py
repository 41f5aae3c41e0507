"""Clusters of real nodes for tests, each in a process of its own, run as scripts/cluster runs them."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from coordinator_client.pb import cluster_pb2
from scripts.localcluster.cluster import LocalCluster
from scripts.localcluster.layout import PORTS_PER_NODE, Node, is_free
from scripts.localcluster.probe import Probe

# Below the ports that systems give to outgoing connections.
PORTS = range(15_000, 32_000)
# Tests run in several processes at once. Each keeps to ports of its own: those of a node that was killed must be free
# when it starts again.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS_MAX = 8
POLL_S = 0.05


def find_base_port(count: int) -> int:
    """Returns a port from which on `count` nodes find the ports they want, all free at the moment."""
    share = len(PORTS) // WORKERS_MAX
    ports = PORTS[share * (WORKER % WORKERS_MAX) :][:share]
    for _ in range(100):
        base = random.choice(ports[: -PORTS_PER_NODE * count])
        wanted = (base + PORTS_PER_NODE * i + offset for i in range(count) for offset in range(4))
        if all(is_free(f"127.0.0.1:{port}") for port in wanted):
            return base
    raise RuntimeError("no free ports")


class Cluster:
    """A cluster in a folder of its own. Nodes are counted from 1, as their names are.

    All methods block; from a coroutine call them with `asyncio.to_thread`. They may be called from several threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cluster = LocalCluster(path)
        self._probe = Probe()
        self._lock = threading.RLock()

    def start(self, nodes: int = 3, wait: bool = True) -> None:
        """Starts all nodes, for the first time or again, and waits until they have a leader."""
        with self._lock:
            fresh = not self._cluster.folder.exists
            # With room for one that joins.
            self._cluster.start(nodes, find_base_port(nodes + 1) if fresh else None)
        if wait:
            self.wait_ready()

    def stop(self) -> None:
        with self._lock:
            self._cluster.stop()

    def close(self) -> None:
        """Ends everything that this object holds, all nodes included."""
        self.stop()
        self._probe.__exit__(None, None, None)

    def kill(self, i: int) -> None:
        with self._lock:
            self._cluster.kill(i)

    def pause(self, i: int) -> None:
        with self._lock:
            self._cluster.pause(i)

    def resume(self, i: int) -> None:
        with self._lock:
            self._cluster.resume(i)

    def restart(self, i: int) -> None:
        """Ends node `i` if it runs, starts it, and waits until it serves."""
        with self._lock:
            self._cluster.restart(i)

    def join(self, i: int | None = None) -> Node:
        """Starts a node that was added as a member: a new one, or node `i`, which has ended, without its data."""
        with self._lock:
            return self._cluster.join(i)

    def forget(self, i: int) -> None:
        """Leaves a node, which has ended, out from now on."""
        with self._lock:
            self._cluster.forget(i)

    def move(self, i: int, peer: str) -> None:
        """Lets node `i` listen for the others at another address when it starts again."""
        with self._lock:
            self._cluster.move(i, peer)

    def end(self, i: int) -> None:
        """Ends node `i` kindly and waits for its end."""
        with self._lock:
            self._cluster.end(i)

    def is_running(self, i: int) -> bool:
        with self._lock:
            self._cluster.refresh()
            return self.nodes[i - 1].pid is not None

    def recover(self) -> None:
        """Undoes what a test did to nodes: paused ones go on, ended ones start; waits for a leader."""
        with self._lock:
            self._cluster.refresh()
            for i, node in enumerate(self._cluster.nodes, 1):
                if node.pid is None:
                    self._cluster.restart(i)
                else:
                    self._cluster.resume(i)
        self.wait_ready()

    @property
    def nodes(self) -> list[Node]:
        return self._cluster.nodes

    @property
    def endpoints(self) -> list[str]:
        """Client addresses of all nodes, in their order."""
        return [node.client for node in self.nodes]

    def log(self, i: int) -> str:
        """Returns all that node `i` ever logged."""
        path = self.nodes[i - 1].log
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_ready(self) -> int:
        """Waits until all running nodes agree on a leader; returns its number."""
        with self._lock:
            name = self._cluster.wait_leader()
        return self._number(name)

    def leader(self, timeout_s: float = 15.0) -> int:
        """Returns the number of the node that says it leads, in the newest term that any node knows."""
        found: list[cluster_pb2.StatusResponse] = []

        def one_leads() -> bool:
            statuses = self.statuses().values()
            term = max((status.term for status in statuses), default=0)
            found[:] = [
                status
                for status in statuses
                if status.role == cluster_pb2.StatusResponse.LEADER and status.term == term
            ]
            return bool(found)

        wait_until(one_leads, timeout_s, lambda: "no node leads")
        return self._number(found[0].name)

    def status(self, i: int, digest: bool = False) -> cluster_pb2.StatusResponse | None:
        """Returns the status of node `i`; None if it does not answer."""
        timeout_s = 5.0 if digest else 0.5
        return self._probe.status(self.nodes[i - 1].client, digest, timeout_s)

    def statuses(self, digest: bool = False) -> dict[int, cluster_pb2.StatusResponse]:
        """Returns the status of every node that answers, by number."""
        asked = {i: self.status(i, digest) for i in self._present()}
        return {i: status for i, status in asked.items() if status is not None}

    def digests(self) -> dict[int, tuple[int, str]]:
        """Returns applied index and digest of the state of every node that answers, by number."""
        statuses = self.statuses(digest=True)
        return {i: (status.applied_index, status.digest) for i, status in statuses.items()}

    def wait_digests_equal(self, timeout_s: float = 20.0) -> str:
        """Waits until all running nodes have applied the same index; returns their digest.

        Fails if they have different ones then.
        """
        latest: dict[int, tuple[int, str]] = {}

        def all_at_one_index() -> bool:
            latest.clear()
            latest.update(self.digests())
            present = len(self._present())
            return len(latest) == present and len({index for index, _ in latest.values()}) == 1

        wait_until(all_at_one_index, timeout_s, lambda: f"different indices: {latest}")
        digests = {digest for _, digest in latest.values()}
        assert len(digests) == 1, f"same log, different state: {latest}"
        return digests.pop()

    def _present(self) -> list[int]:
        with self._lock:
            self._cluster.refresh()
            return [i for i, node in enumerate(self.nodes, 1) if node.pid is not None]

    def _number(self, name: str) -> int:
        return [node.name for node in self.nodes].index(name) + 1


def wait_until(
    condition: Callable[[], bool], timeout_s: float, otherwise: Callable[[], str]
) -> None:
    """Waits for something that can only be asked about; fails with `otherwise()` after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{otherwise()} (after {timeout_s} s)"
        time.sleep(POLL_S)
