"""Seeds: a few, other ones each time, in every run of the tests; thousands in `make test-all`.

SEED=1000 begins with that seed, SEEDS=5000 makes it so many in the long test. A failure says how to see it again.
"""

from __future__ import annotations

import gc
import os
import time

import pytest

from tests.simulation.__main__ import describe, run_quietly

SHORT_PARTS = 4
"""The seeds come in so many tests, so that several processes can share them."""
SHORT_PART = 16
LONG_PART = 100
SEEDS = int(os.environ.get("SEEDS") or 2_000)


def first_seed() -> int:
    return int(os.environ.get("SEED") or time.time_ns() // 1_000_000 % 10**10)


def run_seeds(first: int, count: int) -> None:
    print(f"seeds {first}..{first + count - 1}")
    # Each seed is followed by a collection, which need not look at all that the other tests have brought along.
    gc.collect()
    gc.freeze()
    try:
        reports = [run_quietly(seed) for seed in range(first, first + count)]
    finally:
        gc.unfreeze()
    failed = [describe(report) for report in reports if report.complaints]
    if failed:
        pytest.fail("\n".join(failed), pytrace=False)
    # A simulation in which nothing happens finds nothing.
    assert sum(report.acknowledged for report in reports) > 20 * count
    assert sum(report.reads for report in reports) > 10 * count
    assert sum(report.told for report in reports) > 20 * count
    assert sum(report.undecided for report in reports) <= count // 8


@pytest.mark.parametrize("part", range(SHORT_PARTS))
def test_a_few_seeds(part: int) -> None:
    run_seeds(first_seed() + part * SHORT_PART, SHORT_PART)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(-(-SEEDS // LONG_PART)))
def test_many_seeds(part: int) -> None:
    run_seeds(first_seed() + part * LONG_PART, min(LONG_PART, SEEDS - part * LONG_PART))
