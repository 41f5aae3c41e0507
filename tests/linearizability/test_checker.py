"""Histories that are known to be right or wrong, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from tests.linearizability.checker import check
from tests.linearizability.history import Operation
from tests.linearizability.models import (
    Add,
    Answer,
    Counter,
    CounterInput,
    Delete,
    Get,
    Put,
    Read,
    Register,
    RegisterInput,
    Swap,
)
from tests.linearizability.narrowing import narrow
from tests.linearizability.oracle import RegisterOperation, any_history, is_linearizable
from tests.linearizability.search import Verdict, search

NOTHING = Answer(None)


def op(
    called: float,
    returned: float | None,
    input: RegisterInput,
    output: Answer | None = None,
    key: str = "k",
) -> RegisterOperation:
    answer = None if returned is None else output or Answer()
    return Operation(f"c{called:g}", key, input, answer, called, returned)


RIGHT: dict[str, list[RegisterOperation]] = {
    "empty": [],
    "one after the other": [op(0, 1, Put("a")), op(2, 3, Get(), Answer("a"))],
    "read while written, before": [op(0, 9, Put("a")), op(1, 2, Get(), NOTHING)],
    "read while written, after": [op(0, 9, Put("a")), op(1, 2, Get(), Answer("a"))],
    "touching times are concurrent": [op(0, 1, Put("a")), op(1, 2, Get(), NOTHING)],
    "unknown, never": [op(0, None, Put("a")), op(1, 2, Get(), NOTHING)],
    "unknown, at once": [op(0, None, Put("a")), op(1, 2, Get(), Answer("a"))],
    "unknown, much later": [
        op(0, None, Put("a")),
        op(1, 2, Put("b")),
        op(3, 4, Get(), Answer("b")),
        op(5, 6, Get(), Answer("a")),
    ],
    "unknown swap that must have been": [
        op(0, 1, Put("a")),
        op(2, None, Swap("a", "b")),
        op(3, 4, Swap("a", "c"), Answer("b", done=False)),
    ],
    "chain of unknown writes": [
        op(0, None, Put("a")),
        op(0, None, Swap("b", "c")),
        op(0, None, Swap("a", "b")),
        op(1, 2, Get(), Answer("c")),
    ],
    "unknown delete": [
        op(0, 1, Put("a")),
        op(2, None, Delete()),
        op(3, 4, Delete(), NOTHING),
    ],
    "two swaps, one wins": [
        op(0, 1, Put("a")),
        op(2, 5, Swap("a", "b")),
        op(2, 5, Swap("a", "c"), Answer("b", done=False)),
    ],
    "keys apart": [op(0, 1, Put("a")), op(2, 3, Get(), NOTHING, key="l")],
}

WRONG: dict[str, list[RegisterOperation]] = {
    "stale read": [
        op(0, 1, Put("a")),
        op(2, 3, Put("b")),
        op(4, 5, Get(), Answer("a")),
    ],
    "lost acknowledged write": [op(0, 1, Put("a")), op(2, 3, Get(), NOTHING)],
    "lost update": [
        op(0, 1, Put("a")),
        op(2, 4, Swap("a", "b")),
        op(3, 5, Swap("a", "c")),
    ],
    "value that nobody wrote": [op(0, 1, Put("a")), op(0, 3, Get(), Answer("z"))],
    "read from the future": [op(0, 1, Get(), Answer("a")), op(2, 3, Put("a"))],
    "reads that go back": [
        op(0, 9, Put("a")),
        op(1, 2, Get(), Answer("a")),
        op(3, 4, Get(), NOTHING),
    ],
    "reads in different orders": [
        op(0, 20, Put("a")),
        op(0, 20, Put("b")),
        op(1, 2, Get(), Answer("a")),
        op(3, 4, Get(), Answer("b")),
        op(5, 6, Get(), Answer("a")),
    ],
    "swap applied twice": [
        op(0, 1, Put("a")),
        op(2, 3, Swap("a", "b")),
        op(4, 5, Swap("b", "a")),
        op(6, 7, Get(), Answer("b")),
    ],
    "unknown write seen, then gone": [
        op(0, 1, Put("a")),
        op(2, None, Put("b")),
        op(3, 4, Get(), Answer("b")),
        op(5, 6, Get(), Answer("a")),
    ],
    "unknown write takes effect twice": [
        op(0, None, Put("a")),
        op(1, 2, Get(), Answer("a")),
        op(3, 4, Put("b")),
        op(5, 6, Get(), Answer("b")),
        op(7, 8, Get(), Answer("a")),
    ],
    "unknown write before it began": [op(0, 1, Get(), Answer("a")), op(2, None, Put("a"))],
    "delete of what is not there": [op(0, 1, Delete(), Answer("a"))],
    "deleted twice": [
        op(0, 1, Put("a")),
        op(2, 3, Delete(), Answer("a")),
        op(4, 5, Delete(), Answer("a")),
    ],
    "deleted and still there": [
        op(0, 1, Put("a")),
        op(2, 3, Delete(), Answer("a")),
        op(4, 5, Get(), Answer("a")),
    ],
    "swap refused although it fits": [
        op(0, 1, Put("a")),
        op(2, 3, Swap("a", "b"), Answer(None, done=False)),
    ],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT.keys())
def test_right(history: list[RegisterOperation]) -> None:
    report = check(Register(), history)
    assert report.verdict is Verdict.LINEARIZABLE
    assert not report.explanation


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG.keys())
def test_wrong(history: list[RegisterOperation]) -> None:
    report = check(Register(), history)
    assert report.verdict is Verdict.NOT_LINEARIZABLE
    assert report.explanation.startswith("key k: no order explains")


def add(
    called: float, returned: float | None, amount: int, total: int | None = None
) -> Operation[CounterInput, int]:
    return Operation(f"c{called:g}", "n", Add(amount), total, called, returned)


def read(called: float, returned: float, total: int) -> Operation[CounterInput, int]:
    return Operation(f"c{called:g}", "n", Read(), total, called, returned)


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([add(0, 1, 2), read(2, 3, 2)], Verdict.LINEARIZABLE),
        ([add(0, 1, 2), read(2, 3, 0)], Verdict.NOT_LINEARIZABLE),
        ([add(0, 1, 1, 1), add(0, 1, 1, 1)], Verdict.NOT_LINEARIZABLE),
        ([add(0, None, 1), add(0, None, 1), read(2, 3, 1)], Verdict.LINEARIZABLE),
        ([add(0, None, 1), add(0, None, 1), read(2, 3, 3)], Verdict.NOT_LINEARIZABLE),
        ([add(0, None, 1), read(2, 3, 1), add(4, 5, 1, 3)], Verdict.NOT_LINEARIZABLE),
    ],
)
def test_counter(history: Sequence[Operation[CounterInput, int]], verdict: Verdict) -> None:
    assert check(Counter(), history).verdict is verdict


def test_the_worst_key_decides() -> None:
    other = [op(0, 1, Put("a"), key="l"), op(2, 3, Get(), Answer("a"), key="l")]
    report = check(Register(), [*WRONG["stale read"], *other])
    assert report.verdict is Verdict.NOT_LINEARIZABLE
    assert "key l" not in report.explanation


def test_no_time_is_no_verdict() -> None:
    history = [op(i, i + 2, Put(str(i))) for i in range(2_000)]
    ticks = iter(range(1_000_000))
    report = check(Register(), history, timeout_s=1, clock=lambda: float(next(ticks)))
    assert report.verdict is Verdict.UNDECIDED
    assert "undecided" in report.explanation


def test_a_counterexample_is_small_and_told_in_words() -> None:
    before = [op(10 * i, 10 * i + 5, Put(f"v{i}")) for i in range(300)]
    reads = [op(10 * i + 6, 10 * i + 9, Get(), Answer(f"v{i}")) for i in range(300)]
    stale = op(1_506.5, 1_508, Get(), Answer("v149"))
    lost = [op(5 * i, None, Put(f"u{i}")) for i in range(20)]
    history = sorted([*before, *reads, stale, *lost], key=lambda one: one.called_s)
    found = narrow(Register(), history)
    known = [one for one in found.operations if one.known]
    assert stale in known
    assert len(known) <= 3
    text = found.describe(Register())
    assert "get -> 'v149'" in text
    assert "whichever of" in text
    assert len(text.splitlines()) <= 6


@settings(max_examples=400)
@given(any_history())
def test_a_counterexample_is_one(history: list[RegisterOperation]) -> None:
    if is_linearizable(history):
        return
    found = narrow(Register(), history)
    rest = search(Register(), found.operations, start=found.start)
    assert rest.verdict is Verdict.NOT_LINEARIZABLE
    if found.start is None:
        assert not is_linearizable(found.operations)
    assert len(found.operations) <= len(history)
