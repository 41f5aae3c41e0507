"""A cluster whose nodes are restarted one after the other, and what is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.rolling import Tally, roll


def test_the_longest_gap_counts_from_the_first_moment_to_the_last() -> None:
    tally = Tally(times=[1.0, 2.0, 2.5, 9.0])
    assert tally.longest_gap_s(1.5, 3.0) == 0.5
    assert tally.longest_gap_s(1.5, 8.0) == 5.5
    assert tally.longest_gap_s(0.5, 1.5) == 0.5


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_no_write_fails_while_every_node_is_restarted(tmp_path: Path) -> None:
    done, tally = await roll(tmp_path / "fleet", 1)
    assert len(done) == 3
    assert not tally.failures, tally.failures[:5]
