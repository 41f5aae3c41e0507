"""How elections are measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.elections import count_elections, measure, summary


def test_a_distribution_in_words() -> None:
    text = summary([i / 1000 for i in range(1, 101)])
    assert text.startswith("100 trials: min 1 ms, p10 11 ms, median 51 ms, p90 91 ms, max 100 ms")
    assert summary([0.5]).startswith("1 trials: min 500 ms")


@pytest.mark.full
async def test_a_survivor_takes_writes_soon(tmp_path: Path) -> None:
    [took_s] = await measure(tmp_path / "fleet", 1, load=False)
    assert 0 < took_s < 15


@pytest.mark.full
async def test_busy_neighbours_cause_no_election(tmp_path: Path) -> None:
    assert await count_elections(tmp_path / "fleet", 10.0) == 0
