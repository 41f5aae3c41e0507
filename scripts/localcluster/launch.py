"""The operating system's side of a node: start it, know it again, pause it, end it.

A pid alone says little, for the system gives it to another program once its owner is gone. So the time at which the
program began is kept beside the pid, and a pid whose program began at another time is nobody of ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.localcluster.layout import ClusterError, Launch, Node

ROOT = Path(__file__).resolve().parent.parent.parent
END_TIMEOUT_S = 10.0
POLL_S = 0.02

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Those that this very program started: it has to take note of their end, or they stay as zombies."""


def server_command() -> list[str]:
    """Returns how to run the server: that of the checkout's environment, else that of this Python."""
    installed = ROOT / ".venv" / "bin" / "coordinator"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "coordinator"]


def serve_arguments(node: Node, nodes: Sequence[Node], launch: Launch) -> list[str]:
    joined = launch.joined
    if node.name in joined:
        cluster = f"--join={','.join(n.client for n in nodes if n is not node)}"
    else:
        cluster = (
            f"--cluster={','.join(f'{n.name}={n.peer}' for n in nodes if n.name not in joined)}"
        )
    return [
        "serve",
        f"--name={node.name}",
        f"--data-dir={node.data_dir}",
        f"--client-address={node.client}",
        f"--peer-address={node.peer}",
        f"--http-address={node.http}",
        f"--dns-address={node.dns}",
        cluster,
        f"--cluster-token={launch.token}",
    ]


def spawn(node: Node, nodes: Sequence[Node], launch: Launch) -> tuple[int, str]:
    """Starts a node, its output going to its log. Returns its pid and what tells it from others."""
    node.log.parent.mkdir(parents=True, exist_ok=True)
    with node.log.open("ab") as log:
        try:
            # In a session of its own, so that Ctrl-C in a terminal reaches only whoever watches over the nodes.
            child = subprocess.Popen(
                [*server_command(), *serve_arguments(node, nodes, launch)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ClusterError(f"can't run {server_command()[0]}: {error}") from error
    _children[child.pid] = child
    return child.pid, identity(child.pid)


def identity(pid: int) -> str:
    """Returns what tells the program behind a pid from an earlier or later one; empty: there is none."""
    fields = _stat(pid)
    if fields is not None:
        return "" if fields[0] in "ZX" and not _has_threads(pid) else fields[19]
    shown = _ps(pid, "lstart")
    return "" if _ps(pid, "stat").startswith("Z") else shown


def is_running(pid: int, started: str) -> bool:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
        return False
    return identity(pid) == started != ""


def is_paused(pid: int) -> bool:
    fields = _stat(pid)
    return (fields[0] if fields is not None else _ps(pid, "stat")[:1]) == "T"


def _stat(pid: int) -> list[str] | None:
    """Fields of Linux' /proc/PID/stat from `state` on (man 5 proc); None where there is no such file."""
    try:
        # The name before is in parentheses and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _has_threads(pid: int) -> bool:
    """Whether threads besides the first are left; until they are gone, ports and files stay in use."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def _ps(pid: int, column: str) -> str:
    if Path("/proc/self/stat").exists():
        return ""
    command = ["ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def send(pid: int, number: signal.Signals) -> None:
    """Sends a signal; to one that has just ended it is a matter of no consequence."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def end(running: Sequence[tuple[int, str]], timeout_s: float = END_TIMEOUT_S) -> None:
    """Ends programs, each a pid and its identity, together: kindly at first, by force after the timeout."""
    for pid, _ in running:
        send(pid, signal.SIGTERM)
        # One that is paused gets to the other signal only so.
        send(pid, signal.SIGCONT)
    left = _wait_for_end(running, timeout_s)
    kill(left)


def kill(running: Sequence[tuple[int, str]]) -> None:
    """Ends programs at once, and returns when they are gone."""
    for pid, _ in running:
        send(pid, signal.SIGKILL)
    left = _wait_for_end(running, END_TIMEOUT_S)
    if left:
        raise ClusterError(f"pid {left[0][0]} does not end")


def _wait_for_end(running: Sequence[tuple[int, str]], timeout_s: float) -> list[tuple[int, str]]:
    """Returns those that have not ended in time."""
    deadline = time.monotonic() + timeout_s
    left = [one for one in running if is_running(*one)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [one for one in left if is_running(*one)]
    return left
