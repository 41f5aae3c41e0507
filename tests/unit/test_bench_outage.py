"""What counts as the gap of writes."""

from __future__ import annotations

from benchmarks.peers.outage import longest_gap_s


def test_the_gap_lasts_from_the_last_write_before_to_the_first_after() -> None:
    assert longest_gap_s([0.0, 5.0, 5.5, 8.0, 8.5], from_s=5.6) == 2.5


def test_what_was_over_before_does_not_count() -> None:
    assert longest_gap_s([0.0, 5.0, 5.25, 5.5], from_s=5.1) == 0.25
    assert longest_gap_s([0.0], from_s=1.0) == 0.0
