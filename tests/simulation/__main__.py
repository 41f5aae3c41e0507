"""Runs simulations: `python -m tests.simulation --seeds 1000..1999`, or one step by step: `--seed 7 --trace`."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.scenario import Report, run_seed


def replay_command(seed: int) -> str:
    """What to type to see a seed again."""
    return f".venv/bin/python -m tests.simulation --seed {seed} --trace"


def describe(report: Report) -> str:
    """What went wrong with a seed, and how to see it again."""
    shown = [f"  {complaint[-600:]}" for complaint in report.complaints[:10]]
    return "\n".join(
        [f"seed {report.seed} fails:", *shown, f"  again: {replay_command(report.seed)}"]
    )


def run_quietly(seed: int) -> Report:
    """Runs a seed and leaves no garbage."""
    report = run_seed(seed)
    report.noted.clear()
    gc.collect()
    return report


def reports_of(seeds: range, jobs: int) -> Iterator[Report]:
    """Runs seeds, in this process or in several; in order."""
    if jobs == 1:
        yield from map(run_quietly, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_quietly, seeds, chunksize=4)


def parse_seeds(text: str) -> range:
    """`5` or `5..9`, both ends included."""
    first, dots, last = text.partition("..")
    return range(int(first), int(last if dots else first) + 1)


def run_all(reports: Iterable[Report], seeds: range) -> int:
    """Prints what comes of seeds; returns how many failed."""
    begun, failed, passed = time.monotonic(), 0, 0
    entries = acknowledged = reads = told = heirs = 0
    for report in reports:
        if report.complaints:
            failed += 1
            print(describe(report), flush=True)
        else:
            passed += 1
        entries, acknowledged = entries + report.entries, acknowledged + report.acknowledged
        reads, told = reads + report.reads, told + report.told
        heirs += report.heirs
        if (passed + failed) % 100 == 0:
            rate = (passed + failed) / (time.monotonic() - begun)
            print(
                f"up to seed {report.seed}: {passed} passed, {failed} failed, {rate:.1f} seeds/s",
                flush=True,
            )
    rate = len(seeds) / (time.monotonic() - begun)
    print(
        f"seeds {seeds[0]}..{seeds[-1]}: {passed} passed, {failed} failed, {rate:.1f} seeds/s; {entries} entries, "
        f"{acknowledged} writes acknowledged, {reads} reads, {told} batches watched, {heirs} heirs"
    )
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="one seed")
    what.add_argument("--seeds", type=parse_seeds, metavar="FIRST..LAST", help="many seeds")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        report = run_seed(arguments.seed, sys.stdout if arguments.trace else None)
        print(
            f"seed {report.seed}: trace {report.digest}, {report.steps} steps, {report.seconds:.1f} s"
        )
        if report.complaints:
            print(describe(report))
        return bool(report.complaints)
    return bool(run_all(reports_of(arguments.seeds, arguments.jobs), arguments.seeds))


if __name__ == "__main__":
    sys.exit(main())
