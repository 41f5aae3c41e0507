"""Measures three nodes of Coordinator, of etcd and of ZooKeeper on this machine, side by side: `make bench`.

One system has the machine at a time, in rounds that take turns. Every system keeps its default durability: a write is
on the disks of a majority when it is acknowledged. Clients and servers share the machine, so a rate is what is left
for the servers after the client took its share; the processor time of the servers for each operation does not depend
on that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop

from benchmarks.peers.report import Sample, table
from benchmarks.peers.systems import JAR, PROGRAMS, SYSTEMS
from benchmarks.peers.workloads import CALLERS_MAX, HOT, VALUE, WORKLOADS, closed_loop, key_of

WARM_UP_CALLERS = 64


async def measure(name: str, workloads: list[str], seconds: float) -> dict[str, Sample]:
    """Runs workloads on a fresh cluster of a system."""
    found: dict[str, Sample] = {}
    with tempfile.TemporaryDirectory() as folder:
        system = SYSTEMS[name](Path(folder) / name)
        try:
            client = await system.connect()
            callers = max((WARM_UP_CALLERS, *(WORKLOADS[w][0] for w in workloads)))
            await client.prepare([key_of(c) for c in range(min(callers, CALLERS_MAX))], VALUE)
            await client.prepare([HOT], VALUE)
            warm_up = WORKLOADS["put, 64 callers"][1](client)
            await closed_loop(system, WARM_UP_CALLERS, min(seconds, 3.0), warm_up)
            for workload in workloads:
                count, make = WORKLOADS[workload]
                found[workload] = await closed_loop(system, count, seconds, make(client))
            await client.close()
        finally:
            system.stop()
    return found


def installed(name: str) -> bool:
    """Whether a system can be started here."""
    program = PROGRAMS.get(name)
    if program is None or shutil.which(program) is not None:
        return name != "zookeeper" or JAR.exists()
    return False


def versions(systems: list[str]) -> str:
    """Returns what was measured, and on what."""
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    ]
    if "etcd" in systems:
        told = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False)
        lines.append(told.stdout.splitlines()[0] if told.stdout else "etcd")
    if "zookeeper" in systems:
        jars = sorted(path.stem for path in JAR.parent.glob("zookeeper-[0-9]*.jar"))
        lines.append(" ".join(jars).replace("-", " ") or "zookeeper")
    return "; ".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="separated by commas")
    parser.add_argument(
        "--workloads", help="only those whose names contain one of these, separated by semicolons"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--json", metavar="FILE", help="write the samples there as well")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1.5
    systems = options.systems.split(",")
    if unknown := set(systems) - SYSTEMS.keys():
        parser.error(f"no such system: {', '.join(sorted(unknown))}")
    for name in [name for name in systems if not installed(name)]:
        print(
            f"{name} is not installed: left out (make etcd, or apt install zookeeper)", flush=True
        )
        systems.remove(name)
    words = (options.workloads or "").split(";")
    workloads = [w for w in WORKLOADS if any(word in w for word in words)]
    if not workloads:
        parser.error(f"no such workload; there are: {'; '.join(WORKLOADS)}")
    results: dict[str, dict[str, list[Sample]]] = {w: {s: [] for s in systems} for w in workloads}
    for number in range(options.rounds):
        for name in systems:
            print(f"round {number + 1} of {options.rounds}: {name} ...", flush=True)
            samples = uvloop.run(measure(name, workloads, options.seconds))
            for workload, sample in samples.items():
                results[workload][name].append(sample)
    print(f"\n{versions(systems)}; {options.rounds} rounds of {options.seconds:g} s\n")
    print(table(results))
    if options.json:
        raw = {
            w: {s: [asdict(sample) for sample in found] for s, found in by.items()}
            for w, by in results.items()
        }
        Path(options.json).write_text(json.dumps(raw, indent=2))


if __name__ == "__main__":
    main()
