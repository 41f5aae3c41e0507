"""One seed is one story: told twice, in two processes, with sets in another order."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import describe, parse_seeds, replay_command
from tests.simulation.profile import FAULTS, profile_of
from tests.simulation.scenario import Report, run_seed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_tells_the_same_story_twice(seed: int) -> None:
    first, second = run_seed(seed), run_seed(seed, io.StringIO())
    assert first.noted == second.noted
    assert first.digest == second.digest
    assert first.steps > 1_000


def test_another_seed_tells_another_story() -> None:
    assert run_seed(1).digest != run_seed(2).digest


def test_the_story_does_not_depend_on_the_hashes_of_a_process() -> None:
    stories = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "3"],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert stories == {f"{run_seed_line(run_seed(3))}\n"}


def run_seed_line(report: Report) -> str:
    return (
        f"seed {report.seed}: trace {report.digest}, {report.steps} steps, {report.seconds:.1f} s"
    )


def test_a_trace_tells_what_happened() -> None:
    out = io.StringIO()
    report = run_seed(1, out)
    lines = out.getvalue().splitlines()
    assert len(lines) > 1_000
    assert any("n1 boots" in line for line in lines)
    assert any("Append(" in line for line in lines)
    assert set(report.noted) <= set(lines)


def test_every_fault_has_its_method_and_its_turn() -> None:
    drawn: set[str] = set()
    for seed in range(200):
        drawn |= profile_of(seed).faults.keys()
    assert drawn == FAULTS.keys()


def test_a_failure_names_the_command_that_shows_it() -> None:
    report = Report(7, "", ["something was lost"])
    text = describe(report)
    assert "something was lost" in text
    assert replay_command(7) in text
    assert replay_command(7).endswith("python -m tests.simulation --seed 7 --trace")


def test_ranges_of_seeds() -> None:
    assert parse_seeds("5") == range(5, 6)
    assert parse_seeds("5..7") == range(5, 8)
