"""Leaky buckets."""

from __future__ import annotations

import pytest

from coordinator.wire.http2 import Code, Counters, Http2Limits, Rate
from coordinator.wire.http2.budgets import Budget, Budgets
from coordinator.wire.http2.failures import ConnectionFailure


def test_burst_and_rate() -> None:
    counters = Counters()
    budget = Budget("ping_flood", Rate(per_s=8, burst=5), counters)
    for _ in range(5):
        budget.spend(100.0)
    for eighth in range(1, 50):
        budget.spend(100.0 + eighth / 8)
    with pytest.raises(ConnectionFailure) as raised:
        budget.spend(100.0 + 49 / 8)
    assert raised.value.code == Code.ENHANCE_YOUR_CALM
    assert raised.value.reason == "too_many_pings"
    assert counters.totals["ping_flood"] == 1


def test_a_clock_that_steps_back() -> None:
    budget = Budget("ping_flood", Rate(per_s=1, burst=3), Counters())
    for now in (50.0, 10.0, 10.0):
        budget.spend(now)
    with pytest.raises(ConnectionFailure):
        budget.spend(10.0)


def test_each_budget_counts_for_itself() -> None:
    counters = Counters()
    budgets = Budgets(Http2Limits(), counters)
    for name in Budgets.__slots__:
        budget = getattr(budgets, name)
        with pytest.raises(ConnectionFailure):
            while True:
                budget.spend(0.0)
    floods = [count for kind, count in counters.totals.items() if count]
    assert floods == [1] * len(Budgets.__slots__)
