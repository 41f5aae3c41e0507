"""The command line `scripts/cluster`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from scripts.localcluster import launch
from scripts.localcluster.cluster import BASE_PORT_DEFAULT, NODES_DEFAULT, LocalCluster
from scripts.localcluster.layout import EXIT_FAILED, ClusterError
from scripts.localcluster.terminal import LogView, colour, instructions, shorten

FOLDER_VARIABLE = "COORDINATOR_CLUSTER_DIR"
FOREGROUND_POLL_S = 0.1
DIM = 2


class Interrupted(Exception):
    """Someone wants this program, and the nodes it watches over, to end."""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/cluster", description="Run a cluster of several nodes on this machine."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(verb: str, text: str, numbered: bool = True) -> argparse.ArgumentParser:
        one = verbs.add_parser(verb, help=text, description=text)
        one.add_argument(
            "--data-dir",
            type=Path,
            default=default_folder(),
            metavar="DIR",
            help=f"folder of the cluster (default: ${FOLDER_VARIABLE}, or .cluster in the checkout)",
        )
        if numbered:
            one.add_argument("node", type=node_number, metavar="N", help="node, counted from 1")
        return one

    start = add("start", "Start all nodes, and show their logs until Ctrl-C stops them.", False)
    start.add_argument("--nodes", type=int, help=f"how many (default: {NODES_DEFAULT})")
    start.add_argument(
        "--base-port",
        type=int,
        metavar="PORT",
        help=f"of the first node; others follow at +10 (default: {BASE_PORT_DEFAULT})",
    )
    start.add_argument(
        "--detach", action="store_true", help="return when the cluster is ready; nodes go on"
    )
    add("stop", "Stop all nodes.", False)
    add("status", "Show which nodes run, and what they say of themselves.", False)
    add("kill", "End a node with SIGKILL, as a power cut would.")
    add("pause", "Make a node stand still (SIGSTOP).")
    add("resume", "Let a node go on that was paused.")
    add("restart", "End a node if it runs, start it, and wait until it serves.")
    join = add(
        "join",
        "Start a node that joins, once `coordctl member add` told the cluster of it: a new one, or node N"
        " anew, without its data.",
        False,
    )
    join.add_argument("node", type=node_number, nargs="?", metavar="N", help="node, from 1")
    add("forget", "Strike a node off the list that was removed from the cluster and has ended.")
    logs = add("logs", "Print the log of a node.")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    return parser.parse_args(arguments)


def default_folder() -> Path:
    return Path(os.environ.get(FOLDER_VARIABLE) or launch.ROOT / ".cluster")


def node_number(text: str) -> int:
    """Takes 2 and n2 for the second node."""
    return int(text.removeprefix("n"))


class Interruptions:
    """Takes note of the signals that end a program at a terminal, for it to stop where it is safe to."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._seen = False
        self._before = {number: signal.signal(number, self._note) for number in self.NUMBERS}

    def restore(self) -> None:
        """Gives the signals the meaning that they had before."""
        for number, action in self._before.items():
            signal.signal(number, action)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._seen = True

    def check(self) -> None:
        """Raises Interrupted if there was a signal."""
        if self._seen:
            raise Interrupted


def start(cluster: LocalCluster, options: argparse.Namespace) -> None:
    interruptions = Interruptions()
    try:
        start_interruptibly(cluster, options, interruptions)
    finally:
        interruptions.restore()


def start_interruptibly(
    cluster: LocalCluster, options: argparse.Namespace, interruptions: Interruptions
) -> None:
    cluster.start(options.nodes, options.base_port)
    view = LogView(cluster.nodes)

    def look() -> None:
        interruptions.check()
        if not options.detach:
            view.show()

    try:
        leader = cluster.wait_leader(between=look)
        print(instructions(cluster.nodes, leader), flush=True)
        if options.detach:
            print(f"Stop them with: scripts/cluster stop{data_dir_option(cluster)}")
            return
        print("Ctrl-C stops them.\n", flush=True)
        watch_over(cluster, view, look)
    except (ClusterError, Interrupted, OSError) as error:
        # However often someone presses Ctrl-C now: it goes on until the nodes have ended.
        cluster.stop()
        if isinstance(error, ClusterError):
            raise
    with contextlib.suppress(OSError):
        view.show()
        print("All nodes have stopped.", flush=True)


def watch_over(cluster: LocalCluster, view: LogView, look: Callable[[], None]) -> None:
    """Shows logs until the cluster is stopped as a whole; single nodes may come and go."""
    ended: set[str] = set()
    while not cluster.folder.launch.stopped:
        look()
        time.sleep(FOREGROUND_POLL_S)
        cluster.refresh()
        now = {node.name for node in cluster.nodes if node.pid is None}
        for name in sorted(now - ended):
            print(colour(f"{name} has ended", DIM))
        ended = now


def data_dir_option(cluster: LocalCluster) -> str:
    path = cluster.folder.path
    return (
        "" if path == default_folder().absolute() else f" --data-dir {shlex.quote(shorten(path))}"
    )


def show_status(cluster: LocalCluster) -> None:
    from scripts.localcluster.probe import ROLES, Probe  # slow to import

    cluster.refresh()
    if not cluster.nodes:
        raise ClusterError(f"there is no cluster in {cluster.folder.path}")
    print(f"{'NAME':<6}{'PID':<9}{'STATE':<10}{'CLIENT':<22}{'ROLE':<10}{'TERM':<6}REVISION")
    with Probe() as probe:
        for node in cluster.nodes:
            paused = cluster.is_paused(node)
            state = "stopped" if node.pid is None else "paused" if paused else "running"
            status = probe.status(node.client) if state == "running" else None
            role = "" if status is None else ROLES.get(status.role, "")
            term, revision = ("", "") if status is None else (status.term, status.revision)
            print(
                f"{node.name:<6}{node.pid or '':<9}{state:<10}{node.client:<22}"
                f"{role:<10}{term!s:<6}{revision}"
            )


def show_log(cluster: LocalCluster, options: argparse.Namespace) -> None:
    cluster.refresh()
    node = cluster.folder.node(options.node)
    view = LogView([node])
    if node.log.exists():
        print(node.log.read_text(errors="replace"), end="", flush=True)
    while options.follow:
        view.show()
        time.sleep(FOREGROUND_POLL_S)


def run(options: argparse.Namespace) -> None:
    cluster = LocalCluster(options.data_dir)
    if options.verb == "start":
        start(cluster, options)
    elif options.verb == "stop":
        cluster.stop()
    elif options.verb == "status":
        show_status(cluster)
    elif options.verb == "join":
        node = cluster.join(options.node)
        print(
            f"{node.name} serves at {node.client}; `coordctl member promote {node.name}` lets it vote."
        )
    elif options.verb == "logs":
        show_log(cluster, options)
    else:
        verbs = {
            "kill": cluster.kill,
            "pause": cluster.pause,
            "resume": cluster.resume,
            "restart": cluster.restart,
            "forget": cluster.forget,
        }
        verbs[options.verb](options.node)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        run(options)
    except ClusterError as error:
        print(f"scripts/cluster: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        return EXIT_FAILED
    return 0
