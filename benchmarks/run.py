"""Measures three nodes of Coordinator, of etcd and of ZooKeeper on this machine, side by side: `make bench`.

One system has the machine at a time, in rounds that take turns. Every system keeps its default durability: a write is
on the disks of a majority when it is acknowledged. Clients and servers share the machine, so a rate is what is left
for the servers after the client took its share; the processor time of the servers for each operation does not depend
on that.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop

from benchmarks.peers.document import facts_of, write
from benchmarks.peers.plan import Found, Scale, measure, units
from benchmarks.peers.report import Sample, table
from benchmarks.peers.systems import JAR, PROGRAMS, SYSTEMS

ROOT = Path(__file__).resolve().parent.parent


def installed(name: str) -> bool:
    """Whether a system can be started here."""
    program = PROGRAMS.get(name)
    if program is None or shutil.which(program) is not None:
        return name != "zookeeper" or JAR.exists()
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="separated by commas")
    parser.add_argument(
        "--workloads", help="only those whose names contain one of these, separated by semicolons"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument(
        "--keys",
        type=int,
        default=1_000_000,
        help="for memory and recovery, in one round; not with --quick",
    )
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md and its plots"
    )
    parser.add_argument("--json", metavar="FILE", help="write the samples there as well")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    systems = options.systems.split(",")
    if unknown := set(systems) - SYSTEMS.keys():
        parser.error(f"no such system: {', '.join(sorted(unknown))}")
    for name in [name for name in systems if not installed(name)]:
        print(
            f"{name} is not installed: left out (make etcd, or apt install zookeeper)", flush=True
        )
        systems.remove(name)
    words = (options.workloads or "").split(";")
    unit_of = units(options.quick, options.keys)
    rows = [row for row in unit_of if any(word in row for word in words)]
    if not rows:
        parser.error(f"no such workload; there are: {'; '.join(unit_of)}")
    # ZooKeeper takes a connection for each session.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found: Found = {}
    for number in range(options.rounds):
        scale = Scale(options.seconds, options.quick, number == 0, options.keys)
        for name in systems:
            print(f"round {number + 1} of {options.rounds}: {name} ...", flush=True)
            for at, samples in uvloop.run(measure(name, rows, scale)).items():
                found.setdefault(at, []).extend(samples)
    results = by_row(found, rows)
    facts = facts_of(systems, options.rounds, options.seconds)
    print("\n" + "\n".join(facts) + "\n")
    print(table(results, unit_of))
    if options.write:
        write(results, unit_of, facts, ROOT)
    if options.json:
        raw = {
            row: {s: [asdict(sample) for sample in samples] for s, samples in by.items()}
            for row, by in results.items()
        }
        Path(options.json).write_text(json.dumps(raw, indent=2))


def by_row(found: Found, rows: list[str]) -> dict[str, dict[str, list[Sample]]]:
    """Returns samples in the order of rows."""
    results: dict[str, dict[str, list[Sample]]] = {}
    for row in rows:
        of_row = {system: samples for (at, system), samples in found.items() if at == row}
        if of_row:
            results[row] = of_row
    return results


if __name__ == "__main__":
    main()
