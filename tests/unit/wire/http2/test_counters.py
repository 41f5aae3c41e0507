"""Totals of abuse."""

from __future__ import annotations

from coordinator.wire.http2 import Code, Counters
from coordinator.wire.http2.counters import KINDS


def test_all_kinds_are_there_from_the_beginning() -> None:
    counters = Counters()
    assert counters.totals == dict.fromkeys(KINDS, 0)
    assert len(set(KINDS)) == len(KINDS)


def test_counting() -> None:
    counters = Counters()
    counters.count("rapid_reset")
    for code in Code:
        counters.count_failure(code)
    assert counters.totals["rapid_reset"] == 1
    assert sum(counters.totals.values()) == 1 + len(Code)
    assert counters.totals["flow_control_errors"] == 1
