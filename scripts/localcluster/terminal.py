"""What a person at a terminal sees of a local cluster."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from scripts.localcluster import launch
from scripts.localcluster.layout import Node

COLOURS = (36, 33, 35, 32, 34, 31)
"""Of the prefixes of nodes, in turn (ECMA-48, select graphic rendition)."""
READ_SIZE_BYTES = 64 * 1024


def has_colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def colour(text: str, code: int) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if has_colours() else text


class LogView:
    """Shows what nodes add to their logs, each line with the name of its node before it."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Begins at the present end of each log."""
        width = max((len(node.name) for node in nodes), default=0)
        self._logs = [
            _Log(node.log, colour(f"{node.name:<{width}} │ ", COLOURS[i % len(COLOURS)]))
            for i, node in enumerate(nodes)
        ]

    def show(self) -> None:
        """Prints whole lines that came since the last time."""
        for log in self._logs:
            for line in log.read_lines():
                print(log.prefix + line)
        sys.stdout.flush()


class _Log:
    """A log that is read as it grows."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.prefix = prefix
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def read_lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                return self._read(file)
        except OSError:
            return []

    def _read(self, file: BinaryIO) -> list[str]:
        file.seek(self._position)
        added = file.read(READ_SIZE_BYTES)
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def instructions(nodes: Sequence[Node], leader: str) -> str:
    """Returns how to talk to the nodes of a cluster that is ready."""
    listed = "\n".join(
        f"  {node.name}  {node.client}{'  leads' if node.name == leader else ''}" for node in nodes
    )
    endpoints = ",".join(node.client for node in nodes)
    folder = Path(nodes[0].data_dir).parent
    number = "1 node is" if len(nodes) == 1 else f"{len(nodes)} nodes are"
    return f"""
{number} ready, data and logs are in {shorten(folder)}:
{listed}

Talk to them from another terminal:
  export COORDINATOR_ENDPOINTS={endpoints}
  {tool("coordctl")} put /greeting hello
  {tool("coordctl")} get /greeting
  {tool("coordctl")} status
"""


def tool(name: str) -> str:
    """Returns how to call an installed command from the current folder."""
    installed = launch.ROOT / ".venv" / "bin" / name
    return shlex.quote(shorten(installed)) if installed.exists() else name


def shorten(path: Path) -> str:
    """Returns a path as seen from the current folder, where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
