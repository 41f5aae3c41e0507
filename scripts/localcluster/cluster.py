"""The verbs of a local cluster. Each leaves cluster.json as things are."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.localcluster import launch
from scripts.localcluster.layout import (
    EXIT_USAGE,
    ClusterError,
    Folder,
    Node,
    plan_next_node,
    plan_nodes,
    port_of,
    require_free_ports,
)

NODES_DEFAULT = 3
BASE_PORT_DEFAULT = 2379
READY_TIMEOUT_S = 30.0
POLL_S = 0.05
LOG_TAIL_LINES = 5


class LocalCluster:
    """A cluster whose nodes run on this machine, in one folder. Safe to use from several programs at once.

    Every method may raise ClusterError, whose message is for people.
    """

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)

    @property
    def nodes(self) -> list[Node]:
        """The nodes as they were found by the verb before."""
        return self.folder.nodes

    def start(self, count: int | None = None, base_port: int | None = None) -> None:
        """Starts all nodes, of a new cluster or of one that was stopped; does not wait for them."""
        fresh = not self.folder.path.exists()
        try:
            with self.folder.locked(create=True):
                self._refresh()
                nodes = self._plan(count, base_port)
                require_free_ports(nodes)
                self.folder.nodes = nodes
                self.folder.launch.stopped = False
                self.folder.write()
                for node in nodes:
                    self._spawn(node)
        except ClusterError:
            if fresh and self.folder.path.is_dir() and not self.folder.exists:
                (self.folder.path / "lock").unlink(missing_ok=True)
                self.folder.path.rmdir()
            raise

    def stop(self) -> None:
        """Ends all nodes. Succeeds if there is nothing to end."""
        with self.folder.locked():
            self._refresh()
            if self.folder.exists:
                self._end(self.nodes)
                self.folder.launch.stopped = True
                self.folder.write()

    def kill(self, number: int) -> None:
        """Ends node `number` as a power cut would."""
        with self.folder.locked():
            node = self._refreshed(number)
            launch.kill(self._running([node]))
            self._refresh()

    def end(self, number: int) -> None:
        """Ends node `number` kindly: it finishes what is under way."""
        with self.folder.locked():
            self._end([self._refreshed(number)])

    def pause(self, number: int) -> None:
        """Makes node `number` stand still; to the others it is as if it were cut off."""
        with self.folder.locked():
            node = self._refreshed(number)
            launch.send(self._pid(node), signal.SIGSTOP)
            self._wait(lambda: self.is_paused(node) or self._ended(node))

    def resume(self, number: int) -> None:
        with self.folder.locked():
            node = self._refreshed(number)
            launch.send(self._pid(node), signal.SIGCONT)
            self._wait(lambda: not self.is_paused(node))

    def restart(self, number: int) -> None:
        """Ends node `number` if it runs, starts it, and returns when it serves."""
        with self.folder.locked():
            node = self._refreshed(number)
            self._end([node])
            require_free_ports([node])
            self.folder.launch.stopped = False
            self._spawn(node)
        self.wait_serving(node)

    def join(self, number: int | None = None) -> Node:
        """Starts a node that joins the cluster, to which it was added before, and returns when it serves.

        A new node; or node `number`, which must have ended, anew and without its data.
        """
        with self.folder.locked():
            self._refresh()
            known = None if number is None else self.folder.node(number)
            if not self.nodes:
                raise ClusterError(f"there is no cluster in {self.folder.path}: start one first")
            node = known or plan_next_node(self.folder.path, self.nodes)
            if node.pid is not None:
                raise ClusterError(f"{node.name} runs: kill it before it joins anew", EXIT_USAGE)
            require_free_ports([node])
            if known is None:
                self.folder.nodes.append(node)
            # Its log stays.
            for path in Path(node.data_dir).glob("*"):
                if path != node.log:
                    path.unlink()
            if node.name not in self.folder.launch.joined:
                self.folder.launch.joined.append(node.name)
            self._spawn(node)
        try:
            self.wait_serving(node)
        except ClusterError:
            if known is None:
                self._drop(node)
            raise
        return node

    def forget(self, number: int) -> None:
        """Strikes a node off the list that was removed from the cluster and has ended."""
        with self.folder.locked():
            node = self._refreshed(number)
            if node.pid is not None:
                raise ClusterError(f"{node.name} runs", EXIT_USAGE)
        self._drop(node)

    def move(self, number: int, peer: str) -> None:
        """Lets node `number` listen for the others at another address when it starts again."""
        with self.folder.locked():
            self.folder.node(number).peer = peer
            self.folder.write()

    def _drop(self, node: Node) -> None:
        with self.folder.locked():
            self._end([n for n in self.nodes if n.name == node.name])
            self.folder.nodes = [n for n in self.nodes if n.name != node.name]
            started, joined = self.folder.launch.started, self.folder.launch.joined
            started.pop(node.name, None)
            self.folder.launch.joined = [name for name in joined if name != node.name]
            self.folder.write()

    def refresh(self) -> None:
        """Finds out what runs."""
        with self.folder.locked():
            self._refresh()

    def is_paused(self, node: Node) -> bool:
        return node.pid is not None and launch.is_paused(node.pid)

    def wait_leader(self, between: Callable[[], None] = lambda: None) -> str:
        """Returns the leader's name once every running node knows it; calls `between` while it waits."""
        from scripts.localcluster.probe import Probe  # slow to import, and not needed by most verbs

        deadline = time.monotonic() + READY_TIMEOUT_S
        with Probe() as probe:
            while True:
                between()
                running = [node for node in self.nodes if node.pid is not None]
                for node in running:
                    self._require_running(node)
                name = probe.leader([node.client for node in running])
                if name is not None:
                    return name
                if time.monotonic() > deadline:
                    logs = ", ".join(str(node.log) for node in running)
                    raise ClusterError(
                        f"no leader within {READY_TIMEOUT_S:.0f} seconds; read {logs}"
                    )
                time.sleep(POLL_S)

    def wait_serving(self, node: Node) -> None:
        from scripts.localcluster.probe import Probe  # slow to import, and not needed by most verbs

        deadline = time.monotonic() + READY_TIMEOUT_S
        running = sum(o.pid is not None and not self.is_paused(o) for o in self.nodes)
        majority = running > len(self.nodes) / 2
        with Probe() as probe:
            # Without a majority it can't do more than answer.
            while (status := probe.status(node.client)) is None or (
                majority and not status.leader_id
            ):
                self._require_running(node)
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"{node.name} does not serve within {READY_TIMEOUT_S:.0f} seconds;"
                        f" read {node.log}"
                    )
                time.sleep(POLL_S)

    def _plan(self, count: int | None, base_port: int | None) -> list[Node]:
        if not self.folder.exists:
            return plan_nodes(
                self.folder.path,
                NODES_DEFAULT if count is None else count,
                BASE_PORT_DEFAULT if base_port is None else base_port,
            )
        running = [node.name for node in self.nodes if node.pid is not None]
        if running:
            raise ClusterError(
                f"the cluster in {self.folder.path} runs already ({', '.join(running)});"
                " start single nodes of it with `scripts/cluster restart N`"
            )
        port = port_of(self.nodes[0].client)
        if count not in (None, len(self.nodes)) or base_port not in (None, port):
            raise ClusterError(
                f"the cluster in {self.folder.path} has {len(self.nodes)} nodes from port {port}"
                " on, and keeps them; choose another --data-dir for another cluster",
                EXIT_USAGE,
            )
        return self.nodes

    def _spawn(self, node: Node) -> None:
        node.pid, started = launch.spawn(node, self.nodes, self.folder.launch)
        self.folder.launch.started[node.name] = started
        self.folder.write()

    def _end(self, nodes: Sequence[Node]) -> None:
        launch.end(self._running(nodes))
        self._refresh()

    def _refresh(self) -> None:
        for node in self.nodes:
            if node.pid is not None and self._ended(node):
                node.pid = None
                self.folder.launch.started.pop(node.name, None)
        if self.folder.exists:
            self.folder.write()

    def _refreshed(self, number: int) -> Node:
        self._refresh()
        return self.folder.node(number)

    def _running(self, nodes: Sequence[Node]) -> list[tuple[int, str]]:
        started = self.folder.launch.started
        return [(n.pid, started.get(n.name, "")) for n in nodes if n.pid is not None]

    def _ended(self, node: Node) -> bool:
        return not any(launch.is_running(*one) for one in self._running([node]))

    def _pid(self, node: Node) -> int:
        if node.pid is None:
            raise ClusterError(f"{node.name} does not run")
        return node.pid

    def _require_running(self, node: Node) -> None:
        if self._ended(node):
            raise ClusterError(
                f"{node.name} has ended; read {node.log}, which closes with\n{tail(node.log)}"
            )

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + launch.END_TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError("the system does not deliver the signal")
            time.sleep(launch.POLL_S)


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Returns the last lines of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
