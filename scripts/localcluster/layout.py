"""Which nodes a cluster has, on which ports, and the files of its folder.

DIR/cluster.json   {"nodes": [{"name", "pid", "client", "peer", "http", "dns", "data_dir"}, …]}, for everyone
DIR/launch.json    what only these scripts need: the cluster's token, and which process a pid stands for
DIR/lock           held by whoever changes the two files above
DIR/n1/            data of node n1; its log is DIR/n1/log
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
PORTS_PER_NODE = 10
LOCK_TIMEOUT_S = 60.0

EXIT_FAILED = 1
EXIT_USAGE = 2


class ClusterError(Exception):
    """A verb can't be done; the message is for the person who asked."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class Node:
    """One entry of cluster.json. Addresses are host:port; `pid` is None when the node does not run."""

    name: str
    pid: int | None
    client: str
    peer: str
    http: str
    dns: str
    data_dir: str

    @property
    def log(self) -> Path:
        return Path(self.data_dir) / "log"

    @property
    def listening(self) -> tuple[str, ...]:
        """The addresses that a node binds today."""
        return self.client, self.peer, self.http, self.dns


@dataclass
class Launch:
    """The content of launch.json."""

    token: str = field(default_factory=lambda: secrets.token_hex(8))
    started: dict[str, str] = field(default_factory=dict)
    """By name of a node, what tells its process from another one with the same pid."""
    joined: list[str] = field(default_factory=list)
    """Names of the nodes that were not among the first: they ask the others about the cluster."""
    stopped: bool = False
    """The cluster was stopped as a whole, so whoever watches over it may go."""


def plan_nodes(folder: Path, count: int, base_port: int) -> list[Node]:
    """Returns the nodes of a new cluster; raises ClusterError (usage) where that can't be."""
    last = base_port + PORTS_PER_NODE * (count - 1) + 3
    if count < 1:
        raise ClusterError("a cluster has at least one node", EXIT_USAGE)
    if base_port < 1 or last > 65535:
        raise ClusterError(
            f"ports {base_port} to {last} are not all between 1 and 65535", EXIT_USAGE
        )
    return [plan_node(folder, i + 1, base_port + PORTS_PER_NODE * i) for i in range(count)]


def plan_node(folder: Path, number: int, port: int) -> Node:
    """Returns a node with the ports from `port` on."""
    return Node(
        name=f"n{number}",
        pid=None,
        client=f"{HOST}:{port}",
        peer=f"{HOST}:{port + 1}",
        http=f"{HOST}:{port + 2}",
        dns=f"{HOST}:{port + 3}",
        data_dir=str(folder / f"n{number}"),
    )


def plan_next_node(folder: Path, nodes: Sequence[Node]) -> Node:
    """Returns one more node for a cluster that has some; raises ClusterError where that can't be."""
    number = 1 + max(int(node.name.removeprefix("n")) for node in nodes)
    port = max(port_of(node.client) for node in nodes) + PORTS_PER_NODE
    if port + 3 > 65535:
        raise ClusterError("there are no ports left above those of the other nodes")
    return plan_node(folder, number, port)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def is_free(address: str) -> bool:
    """Whether nobody listens on an address of this machine."""
    with socket.socket() as probe:
        # As servers do, so that connections that are only lingering don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port_of(address)))
        except OSError:
            return False
    return True


class Folder:
    """The folder of one cluster. `nodes` and `launch` are what was read, or is to be written."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.nodes: list[Node] = []
        self.launch = Launch()

    @property
    def exists(self) -> bool:
        return (self.path / "cluster.json").exists()

    def node(self, number: int) -> Node:
        """Returns node `number`, counted from 1."""
        if not self.exists:
            raise ClusterError(f"there is no cluster in {self.path}: start one first")
        if not 1 <= number <= len(self.nodes):
            raise ClusterError(
                f"there is no node {number}: the cluster in {self.path} has {len(self.nodes)}",
                EXIT_USAGE,
            )
        return self.nodes[number - 1]

    def read(self) -> None:
        """Reads what is there; without a cluster.json there are no nodes."""
        if not self.exists:
            self.nodes, self.launch = [], Launch()
            return
        try:
            entries = json.loads((self.path / "cluster.json").read_text())["nodes"]
            self.nodes = [Node(**entry) for entry in entries]
            self.launch = Launch(**json.loads((self.path / "launch.json").read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ClusterError(
                f"{self.path}/cluster.json and launch.json can't be read ({error});"
                " remove the folder to begin anew"
            ) from error
        for node in self.nodes:
            # The folder may have been moved.
            node.data_dir = str(self.path / node.name)

    def write(self) -> None:
        self._write("launch.json", asdict(self.launch))
        self._write("cluster.json", {"nodes": [asdict(node) for node in self.nodes]})

    def _write(self, name: str, content: object) -> None:
        draft = self.path / f"{name}.new"
        draft.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(draft, self.path / name)

    @contextlib.contextmanager
    def locked(self, create: bool = False) -> Iterator[None]:
        """Holds the folder's lock, with what is there read; raises ClusterError if it is not to be had."""
        if create:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ClusterError(f"can't make the folder {self.path}: {error.strerror}") from None
        if not self.path.is_dir():
            self.read()
            yield
            return
        with (self.path / "lock").open("w") as file:
            self._wait_for_lock(file.fileno())
            self.read()
            yield

    def _wait_for_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"{self.path}/lock is held by another scripts/cluster for too long"
                    ) from None
                time.sleep(0.02)


def require_free_ports(nodes: Sequence[Node]) -> None:
    """Raises ClusterError if a node could not bind its addresses."""
    for node in nodes:
        for address in node.listening:
            if not is_free(address):
                raise ClusterError(
                    f"port {port_of(address)}, for {node.name}, is in use:"
                    " end what listens there, or choose others with --base-port"
                )
