"""Starts and kills the others, and tells what happens, and when."""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from scripts.environment import ROOT
from scripts.localcluster.cluster import LocalCluster
from scripts.localcluster.layout import EXIT_FAILED, ClusterError, plan_nodes, require_free_ports
from scripts.localcluster.terminal import colour
from scripts.story.speech import hear

BASE_PORT_DEFAULT = 2379
BASE_PORTS = range(BASE_PORT_DEFAULT, 12379, 100)
PATIENCE_S = 20.0
PAUSE_S = 1.5
"""Between the scenes, for people to read and orders to be paid."""
NAME_WIDTH = 10
COLOURS = {"cluster": 36, "orders": 33, "payments": 35, "": 1}


class StoryError(Exception):
    """The story does not go as it should."""


class Cast:
    """The programs of the story, and what they say, told on the terminal as it is heard."""

    def __init__(self, endpoints: str) -> None:
        self._began = time.monotonic()
        self._endpoints = endpoints
        self._playing: dict[str, subprocess.Popen[str]] = {}
        self._said: queue.Queue[tuple[float, str, str]] = queue.Queue()

    def enter(self, name: str, module: str, *arguments: str) -> None:
        """Starts a program."""
        self._playing[name] = player = subprocess.Popen(
            [sys.executable, "-m", f"scripts.story.{module}", *arguments, self._endpoints],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C ends the story in its own order.
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        threading.Thread(target=self._listen, args=(name, player), daemon=True).start()

    def _listen(self, name: str, player: subprocess.Popen[str]) -> None:
        assert player.stdout is not None
        for line in player.stdout:
            when, text = hear(line)
            self._said.put((when, name, text))

    def kill(self, name: str) -> float:
        """Ends a program with SIGKILL; returns when."""
        player = self._playing.pop(name)
        now = time.monotonic()
        player.kill()
        player.wait()
        return now

    def ask_to_leave(self, name: str) -> float:
        """Ends a program with SIGTERM, so that it says goodbye; returns when."""
        player = self._playing.pop(name)
        now = time.monotonic()
        player.terminate()
        player.wait(PATIENCE_S)
        return now

    def tell(self, name: str, text: str, when: float | None = None) -> None:
        """Prints a line of the story."""
        at_ms = ((when or time.monotonic()) - self._began) * 1000
        code = COLOURS.get(name.partition("-")[0], 0)
        print(f"{at_ms:7.0f} ms  {colour(f'{name:<{NAME_WIDTH}}', code)}  {text}", flush=True)

    def listen(self, seconds: float) -> None:
        """Tells what is said for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self._tell_next(left)
            except queue.Empty:
                return

    def wait_for(self, name: str, beginning: str) -> float:
        """Tells what is said until `name` says something that begins so; returns when that was so."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                when, speaker, text = self._tell_next(max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise StoryError(f"{name} never says: {beginning}") from None
            if speaker == name and text.startswith(beginning):
                return when

    def _tell_next(self, timeout_s: float) -> tuple[float, str, str]:
        when, name, text = self._said.get(timeout=timeout_s)
        self.tell(name, text, when)
        return when, name, text

    def close(self) -> None:
        for player in self._playing.values():
            player.kill()
            player.wait()


def play(cast: Cast) -> None:
    """The story itself."""
    cast.enter("orders", "orders")
    cast.wait_for("orders", "watches")
    for name in ("payments-1", "payments-2"):
        cast.enter(name, "payments", name)
        cast.wait_for("orders", f"sees {name}")
    cast.listen(PAUSE_S)

    cast.tell("", "kill -9 payments-1")
    killed = cast.kill("payments-1")
    gone = cast.wait_for("orders", "payments-1 is gone")
    cast.tell("", f"orders knew {(gone - killed) * 1000:.0f} ms after the kill")
    cast.listen(PAUSE_S)

    cast.tell("", "start payments-3")
    cast.enter("payments-3", "payments", "payments-3")
    cast.wait_for("orders", "sees payments-3")
    cast.listen(PAUSE_S)

    cast.tell("", "ask payments-2 to leave (SIGTERM)")
    asked = cast.ask_to_leave("payments-2")
    gone = cast.wait_for("orders", "payments-2 is gone")
    cast.tell("", f"orders knew {(gone - asked) * 1000:.0f} ms later")
    cast.listen(PAUSE_S)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="of the cluster (default: a temporary one)")
    parser.add_argument(
        "--base-port", type=int, help="of the cluster (default: ports that are free)"
    )
    return parser.parse_args(arguments)


def choose_base_port(folder: Path) -> int:
    """Returns a port from which on three nodes find theirs free."""
    for port in BASE_PORTS:
        try:
            require_free_ports(plan_nodes(folder, 3, port))
        except ClusterError:
            continue
        return port
    raise StoryError("no free ports")


def run(folder: Path, base_port: int | None) -> None:
    cluster = LocalCluster(folder)
    port = base_port or choose_base_port(folder)
    endpoints = ",".join(node.client for node in plan_nodes(folder, 3, port))
    cast = Cast(endpoints)
    cast.tell("cluster", "three nodes start, each a program of its own")
    try:
        cluster.start(3, port)
        leader = cluster.wait_leader()
        cast.tell("cluster", f"they chose {leader} to lead; all three serve: {endpoints}")
        play(cast)
    finally:
        cast.close()
        cluster.stop()
    cast.tell("", "the end; `make run` starts a cluster for you")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="coordinator-demo-") as folder:
            run(options.data_dir or Path(folder) / "cluster", options.base_port)
    except (ClusterError, StoryError) as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED
    return 0
