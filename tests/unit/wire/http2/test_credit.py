"""The connection's window: given back on receipt, withheld when too much is unread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.wire.http2.credit import Credit
from coordinator.wire.http2.failures import ConnectionFailure


def test_given_back_on_receipt_in_few_steps() -> None:
    credit = Credit(window=100, unread_max=1_000)
    updates = []
    for _ in range(50):
        credit.take(10)
        if credit.due:
            updates.append(credit.give_back())
    assert updates == [50] * 10
    assert credit.unread == 500


def test_withheld_above_the_limit() -> None:
    credit = Credit(window=1_000, unread_max=100)
    credit.take(300)
    assert credit.owed == 100
    credit.release(50)
    assert credit.owed == 150
    credit.release(250)
    assert credit.owed == 300


def test_more_than_allowed() -> None:
    credit = Credit(window=10, unread_max=100)
    credit.take(10)
    with pytest.raises(ConnectionFailure):
        credit.take(1)


@given(st.lists(st.integers(-60, 60), max_size=100), st.integers(0, 200), st.integers(60, 300))
def test_nothing_is_lost(steps: list[int], unread_max: int, window: int) -> None:
    """What is open, owed and withheld is always the whole window, and withheld is what is unread above the limit."""
    credit = Credit(window, unread_max)
    for step in steps:
        if step > 0 and step <= credit.window:
            credit.take(step)
        elif step < 0:
            credit.release(min(-step, credit.unread))
        if credit.due:
            credit.give_back()
        withheld = max(0, credit.unread - unread_max)
        assert credit.window + credit.owed + withheld == window
        assert credit.owed >= 0
        assert credit.window > 0 or withheld, "a client that is read may always go on"
