"""Rounds of faults on real nodes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.rounds import Report, run_rounds


async def run(path: Path, nodes: int, rounds: int) -> Report:
    seed = random.randrange(1 << 32)
    report = await run_rounds(path, nodes=nodes, rounds=rounds, seed=seed)
    print(report.totals())
    wrong = "\n".join(one.line() for one in report.rounds if one.problems)
    assert not wrong, f"seed {seed} of {nodes} nodes:\n{wrong}"
    assert all(one.acknowledged and one.reads for one in report.rounds)
    return report


async def test_a_round(tmp_path: Path) -> None:
    await run(tmp_path / "fleet", 3, 1)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("nodes", [3, 5])
async def test_many_rounds(tmp_path: Path, nodes: int) -> None:
    await run(tmp_path / "fleet", nodes, 20)
