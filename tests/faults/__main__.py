"""The command `python -m tests.faults`."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.rounds import run_rounds


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Run real nodes under faults, and check what clients were promised.",
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--nodes", type=int, choices=(3, 5), default=3)
    parser.add_argument("--seed", type=int, help="decides the faults; default: chance")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="only these rounds")
    parser.add_argument("--minutes", type=float, help="begin no round after so long")
    parser.add_argument("--report", type=Path, help="write all figures to this file, as JSON")
    parser.add_argument("--keep", type=Path, help="folder for data and logs, which stays")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse(sys.argv[1:])
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    end_s = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        report = asyncio.run(
            run_rounds(
                options.keep or Path(folder),
                nodes=options.nodes,
                rounds=options.rounds,
                seed=seed,
                only=options.only,
                end_s=end_s,
            )
        )
    print(report.totals())
    if options.report is not None:
        options.report.write_text(json.dumps(report.as_dict(), indent=2) + "\n")
    return int(report.wrong)


if __name__ == "__main__":
    sys.exit(main())
