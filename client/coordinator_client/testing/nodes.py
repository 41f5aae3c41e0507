"""Nodes in processes of their own, on free ports of this machine, with their data in a folder of yours."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from coordinator_client._sync.client import Client, connect
from coordinator_client.cli import leash
from coordinator_client.errors import CoordinatorError, SessionNotFound

__all__ = ["Node", "NodeError", "Nodes"]

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
POLL_S = 0.02
START_ATTEMPTS_MAX = 3
"""Somebody else may take a port between the moment it was found free and the start of the node."""


_STARTER = ThreadPoolExecutor(1, "coordinator-starter")
"""On Linux a child that goes with its parent goes with the thread that started it."""


class NodeError(Exception):
    """A node does not do what it was told. The message ends with the last lines of its log."""


class Node:
    """One node; made by `Nodes`."""

    def __init__(self, name: str, folder: Path, client: str, peer: str) -> None:
        self.name = name
        self.endpoint = client
        """host:port for clients."""
        self.peer = peer
        """host:port for the other nodes."""
        self.folder = folder
        """Where it keeps its data."""
        self._arguments: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    def __repr__(self) -> str:
        state = "paused" if self._paused else "runs" if self.running else "does not run"
        return f"<{type(self).__name__} {self.name} at {self.endpoint}: {state}>"

    @property
    def running(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def answers(self) -> bool:
        """Whether it runs and is not paused."""
        return self.running and not self._paused

    @property
    def pid(self) -> int | None:
        """Of its process; None when it does not run."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def log(self) -> str:
        """All that it ever logged."""
        path = self.folder.with_suffix(".log")
        return path.read_text(errors="replace") if path.exists() else ""

    def configure(self, arguments: Sequence[str]) -> None:
        """Sets the arguments of `coordinator serve` with which it starts from now on."""
        self._arguments = list(arguments)

    def start(self) -> None:
        """Starts it if it does not run, with the data that it has. It may take a moment until it serves."""
        if self.running:
            return
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COORDINATOR_")}
        command = [sys.executable, "-m", "coordinator", "serve", *self._arguments]
        with self.folder.with_suffix(".log").open("ab") as log:
            # Should this process be killed, the node goes with it (on Linux).
            self._process = _STARTER.submit(
                subprocess.Popen,
                [sys.executable, leash.__file__, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            ).result()
        self._paused = False

    def pause(self) -> None:
        """Makes it stand still (SIGSTOP), as a process that hangs."""
        self._send(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        self._send(signal.SIGCONT)
        self._paused = False

    def kill(self) -> None:
        """Ends it at once (SIGKILL), as a power cut would; what it acknowledged is on its disk."""
        if self.running:
            self._send(signal.SIGKILL)
            self._wait()

    def stop(self) -> None:
        """Ends it kindly (SIGTERM): it hands over what it leads, and its clients move on."""
        if self.running:
            self.resume()
            self._send(signal.SIGTERM)
            try:
                self._wait()
            except NodeError:
                self.kill()

    def restart(self) -> None:
        """Ends it kindly, and starts it again."""
        self.stop()
        self.start()

    def check(self) -> None:
        """Raises NodeError if it has ended by itself."""
        if self._process is not None and not self.running:
            raise NodeError(
                f"{self.name} ended with code {self._process.returncode}:\n{self._last_words()}"
            )

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise NodeError(f"{self.name} does not end:\n{self._last_words()}") from None
        self._paused = False

    def _last_words(self) -> str:
        return "\n".join(self.log.splitlines()[-10:])


class Nodes(Sequence[Node]):
    """A cluster of nodes, or a single one. A context manager: entering starts all, leaving ends them.

    Raises NodeError if the server is not installed, or if they do not serve within half a minute.
    """

    def __init__(self, folder: Path, count: int = 3) -> None:
        """`folder`: where data and logs go; it must not hold another cluster's."""
        if count < 1:
            raise NodeError("a cluster has at least one node")
        if importlib.util.find_spec("coordinator") is None:
            raise NodeError("the server is not installed here: pip install raft-coordinator")
        self._folder = folder
        self._count = count
        self._nodes: list[Node] = []

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, index: int) -> Node:  # type: ignore[override]  # of one node, no slices
        return self._nodes[index]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    @property
    def endpoints(self) -> list[str]:
        """Client addresses of all nodes."""
        return [node.endpoint for node in self._nodes]

    def connect(self, *, timeout_s: float = 5.0) -> Client:
        """Returns a client of the cluster, to be closed by you. For asyncio: `aio.connect(nodes.endpoints)`."""
        return connect(self.endpoints, timeout_s=timeout_s)

    def start(self) -> Self:
        """Starts all nodes that do not run, and waits until the cluster answers."""
        if self._nodes:
            for node in self._nodes:
                node.start()
            self.wait_ready()
            return self
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            self._plan(attempt)
            try:
                for node in self._nodes:
                    node.start()
                self.wait_ready()
                return self
            except NodeError as error:
                self.close()
                if attempt == START_ATTEMPTS_MAX or "can't listen" not in str(error):
                    raise
        raise AssertionError("unreachable")

    def leader(self) -> Node:
        """Returns the node that leads now. Raises NodeError if none does for half a minute."""
        deadline = time.monotonic() + START_TIMEOUT_S
        with self.connect() as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(CoordinatorError):
                    for member in client.members():
                        for node in self._nodes:
                            if member.leader and node.name == member.name and node.answers:
                                return node
                time.sleep(POLL_S)
        raise NodeError("no node leads")

    def recover(self) -> None:
        """Undoes what a test did to nodes: paused ones go on, ended ones start; waits until the cluster answers."""
        for node in self._nodes:
            if node.running:
                node.resume()
            else:
                node.start()
        self.wait_ready()

    def clear(self) -> None:
        """Ends all sessions and deletes all keys. Revisions go on."""
        with self.connect(timeout_s=START_TIMEOUT_S) as client:
            for session in client.sessions():
                with contextlib.suppress(SessionNotFound):
                    client.close_session(session.id)
            client.delete("", prefix=True)

    def wait_ready(self) -> None:
        """Waits until every node serves and the cluster answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        for node in self._nodes:
            with connect(node.endpoint, timeout_s=1.0) as client:
                while True:
                    for other in self._nodes:
                        other.check()
                    try:
                        client.get("/")
                        node.check()
                        break
                    except CoordinatorError as error:
                        if time.monotonic() > deadline:
                            words = f"{node.name} does not serve: {error}"
                            raise NodeError(f"{words}\n{node.log[-2000:]}") from error
                    time.sleep(POLL_S)

    def close(self) -> None:
        """Ends all nodes. Their data stay in the folder."""
        for node in self._nodes:
            node.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _plan(self, attempt: int) -> None:
        folder = self._folder / f"attempt-{attempt}" if attempt > 1 else self._folder
        folder.mkdir(parents=True, exist_ok=True)
        ports = find_free_ports(2 * self._count)
        self._nodes = [
            Node(f"n{i + 1}", folder / f"n{i + 1}", f"{HOST}:{ports[2 * i]}", f"{HOST}:{port}")
            for i, port in enumerate(ports[1::2])
        ]
        cluster = ",".join(f"{node.name}={node.peer}" for node in self._nodes)
        token = secrets.token_hex(8)
        for node in self._nodes:
            node.configure(
                [
                    f"--name={node.name}",
                    f"--data-dir={node.folder}",
                    f"--client-address={node.endpoint}",
                    f"--peer-address={node.peer}",
                    f"--cluster={cluster}",
                    f"--cluster-token={token}",
                ]
            )


def find_free_ports(count: int) -> list[int]:
    """Returns ports of this machine on which nobody listens at the moment."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            probe = stack.enter_context(socket.socket())
            probe.bind((HOST, 0))
            ports.append(int(probe.getsockname()[1]))
        return ports
