"""A run as a page of the documentation, with plots."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.peers.report import Results, table
from benchmarks.peers.systems import JAR

PAGE = Path("docs/benchmarks.md")
PLOTS = Path("docs/benchmarks")
LIBRARIES = ("grpcio", "uvloop", "kazoo")
INTRODUCTION = """# Benchmarks

Three nodes of Coordinator, of etcd and of ZooKeeper on one machine, one system at a time, in rounds that take turns;
`make bench` measures the same on yours. Every system keeps its default durability: a write is on the disks of a
majority when it is acknowledged. Clients and servers share the machine, so a rate is what is left for the servers after
the client took its share; the processor time of the servers for each operation depends less on that.

Each system is driven by the fastest Python client there is: Coordinator by its client library, etcd by stubs of
`grpc.aio`, ZooKeeper by a bare client on asyncio, for which kazoo has a row of its own. Values have 128 bytes.

- A linearizable get of ZooKeeper is a `sync` and a read, sent together; a range is a list of names and a read of each.
- Watchers are spread over 8 clients. An event of ZooKeeper carries no value: each watcher reads it. Rates of events are
  with a writer that puts as fast as they are delivered.
- Sessions have a TTL of 5 s. The expiry lag is from the last keep-alive and the TTL until a watcher sees the key go,
  when all sessions end at once.
- The gap of writes is the longest time without an acknowledged write, under a writer that puts every 10 ms. Where a
  client knows one member only, an attempt that has no answer within 0.3 s goes to the next member.
- Unary calls are those of etcd's API, one operation each, at the member that leads, on etcd and on Coordinator: through
  stubs of `grpc.aio`, and through h2load (of nghttp2, in C) with 4 connections, which takes less of the machine.
  "grpcio" is Coordinator with grpcio's server in place of its own. The echo is a call that does nothing.
- Watchers with a stream each are those of etcd's API too, of a bare client on asyncio.
- Ratios are Coordinator's figure divided by the peer's; a verdict says whether it is what the project aims at.
"""


def systems_measured(systems: list[str]) -> list[str]:
    """Returns the versions of all that was measured."""
    lines = [f"Coordinator {version('raft-coordinator')}"]
    if "etcd" in systems:
        told = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False)
        lines.append(
            told.stdout.splitlines()[0].replace(" Version:", "") if told.stdout else "etcd"
        )
    if "zookeeper" in systems:
        jars = sorted(path.stem for path in JAR.parent.glob("zookeeper-[0-9]*.jar"))
        lines.append(" ".join(jars).replace("zookeeper-", "ZooKeeper ") or "ZooKeeper")
    return lines


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return f"no {library}"


def machine() -> list[str]:
    """Returns what it was measured on."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    gib = f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "memory unknown"
    model = cpu[1] if cpu else platform.machine()
    libraries = ", ".join(_version(name) for name in LIBRARIES)
    return [
        f"{os.cpu_count()} cores ({model}), {gib}, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, {libraries}",
    ]


def page(results: Results, units: Mapping[str, str], facts: list[str], plots: list[str]) -> str:
    """Returns the page; `plots`: names of files beside the page's folder of the same name."""
    parts = [INTRODUCTION, "## A run\n", "".join(f"- {fact}\n" for fact in facts)]
    parts.append(table(results, units) + "\n")
    parts += [f"![{name.removesuffix('.svg')}]({PLOTS.name}/{name})\n" for name in plots]
    return "\n".join(parts)


def facts_of(systems: list[str], rounds: int, seconds: float) -> list[str]:
    command = " ".join(["python", "benchmarks/run.py", *sys.argv[1:]])
    return [
        *systems_measured(systems),
        *machine(),
        f"{datetime.now(UTC):%Y-%m-%d}, `{command}`: {rounds} rounds, {seconds:g} s for each loop",
    ]


def file_name(unit: str) -> str:
    return re.sub(r"[^a-z]+", "-", unit.lower()).strip("-") + ".svg"


def draw(results: Results, units: Mapping[str, str], folder: Path) -> list[str]:
    """Writes a plot for each unit, and returns their file names. The same results give the same bytes."""
    import matplotlib  # only benchmarks install it

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "benchmarks"
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for unit in dict.fromkeys(units[row] for row in results):
        rows = [row for row in results if units[row] == unit]
        systems = list(dict.fromkeys(system for row in rows for system in results[row]))
        figure, axes = plt.subplots(figsize=(9, 1 + 0.2 * len(rows) * (len(systems) + 1)))
        height = 0.8 / len(systems)
        for number, system in enumerate(systems):
            measured = [
                (at, results[row][system])
                for at, row in enumerate(rows)
                if results[row].get(system)
            ]
            values = [[sample.value for sample in samples] for _, samples in measured]
            middles = [median(of_row) for of_row in values]
            spread = [
                [middle - min(of_row) for middle, of_row in zip(middles, values, strict=True)],
                [max(of_row) - middle for middle, of_row in zip(middles, values, strict=True)],
            ]
            places = [at + number * height for at, _ in measured]
            axes.barh(places, middles, height, xerr=spread, label=system)
        axes.set_yticks([at + 0.4 - height / 2 for at in range(len(rows))], rows)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel(f"{unit} (logarithmic; bars are medians, whiskers the spread)")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(systems), frameon=False)
        figure.savefig(folder / file_name(unit), metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        names.append(file_name(unit))
    return names


def write(results: Results, units: Mapping[str, str], facts: list[str], root: Path) -> None:
    """Writes the page and its plots below the root of the project."""
    plots = draw(results, units, root / PLOTS)
    for old in (root / PLOTS).glob("*.svg"):
        if old.name not in plots:
            old.unlink()
    (root / PAGE).write_text(page(results, units, facts, plots))
