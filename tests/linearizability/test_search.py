"""The search against a brute-force oracle, and against histories that a real register made."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linearizability.history import Operation
from tests.linearizability.models import (
    Answer,
    Anything,
    Get,
    Put,
    Register,
    RegisterInput,
    RegisterState,
)
from tests.linearizability.oracle import (
    RegisterOperation,
    altered,
    any_history,
    is_linearizable,
    run,
    true_history,
)
from tests.linearizability.search import Verdict, search


def verdict(history: list[RegisterOperation], start: RegisterState = None) -> Verdict:
    return search(Register(), history, start=start).verdict


def expected(history: list[RegisterOperation], start: RegisterState = None) -> Verdict:
    fine = is_linearizable(history, start)
    return Verdict.LINEARIZABLE if fine else Verdict.NOT_LINEARIZABLE


@settings(max_examples=600)
@given(any_history())
def test_agrees_with_brute_force(history: list[RegisterOperation]) -> None:
    assert verdict(history) is expected(history)


@settings(max_examples=300)
@given(st.data())
def test_agrees_with_brute_force_about_histories_that_are_nearly_right(data: st.DataObject) -> None:
    history = data.draw(true_history(clients=3, size=6).filter(bool))
    changed = data.draw(altered(history))
    assert verdict(changed) is expected(changed)


@settings(max_examples=300)
@given(any_history())
def test_from_anything_is_from_some_start(history: list[RegisterOperation]) -> None:
    """A start of which nothing is known admits what any start admits; "other" stands for values that nobody names."""
    some = any(is_linearizable(history, start) for start in (None, "a", "b", "c", "other"))
    found = verdict(history, Anything.ANYTHING)
    assert found is Verdict.LINEARIZABLE or not some


@settings(max_examples=300)
@given(true_history())
def test_accepts_what_a_register_did(history: list[RegisterOperation]) -> None:
    assert verdict(history) is Verdict.LINEARIZABLE


def busy_history(
    rng: random.Random, operations: int, clients: int, unknown: float
) -> list[RegisterOperation]:
    """What many clients see of one register, each calling without a pause, with values that are written once."""
    planned: list[tuple[float, str, RegisterInput, float, float | None]] = []
    for client in range(clients):
        now = rng.random()
        for number in range(operations // clients):
            effect = now + rng.random()
            end = effect + rng.random()
            lost = rng.random() < unknown
            input: RegisterInput = Get() if rng.random() < 0.4 else Put(f"{client}.{number}")
            when = effect if not lost else effect + rng.choice((0.0, 20.0, float("inf")))
            planned.append((when, f"c{client}", input, now, None if lost else end))
            now = end
    state: RegisterState = None
    found = []
    for effect, name, input, called, ended in sorted(planned, key=lambda plan: plan[0]):
        answer, after = run(input, state)
        state = after if effect != float("inf") else state
        output = None if ended is None else answer
        found.append(Operation(name, "k", input, output, called, ended))
    return found


def test_thousands_of_operations_of_many_clients_take_few_looks() -> None:
    history = busy_history(random.Random(1), 5_000, 10, unknown=0.02)
    found = search(Register(), history, start=None)
    assert found.verdict is Verdict.LINEARIZABLE
    assert found.configurations < 100 * len(history)


def test_one_stale_read_among_thousands_is_found() -> None:
    history = busy_history(random.Random(2), 5_000, 10, unknown=0.02)
    history.sort(key=lambda one: one.called_s)
    reads = [i for i, one in enumerate(history) if one.known and isinstance(one.input, Get)]
    middle = reads[len(reads) // 2]
    one, early = history[middle], history[reads[len(reads) // 2 - 100]]
    assert one.output != early.output
    history[middle] = Operation("c", "k", Get(), early.output, one.called_s, one.returned_s)
    found = search(Register(), history, start=None)
    assert found.verdict is Verdict.NOT_LINEARIZABLE
    assert found.configurations < 100 * len(history)


def test_says_when_time_is_over() -> None:
    history = busy_history(random.Random(3), 2_000, 10, unknown=0.0)
    ticks = iter(range(1_000_000))
    found = search(Register(), history, start=None, timeout_s=2, clock=lambda: float(next(ticks)))
    assert found.verdict is Verdict.UNDECIDED


def test_equal_writes_of_unknown_outcome_are_told_apart_by_nothing() -> None:
    """Each of many equal writes may have been the one; only a search that knows that they are equal ends soon."""
    history: list[RegisterOperation] = []
    for i in range(40):
        history.append(Operation("lost", "k", Put("v"), None, 0.0, None))
        history.append(Operation("d", "k", Put(f"w{i}"), Answer(), 4 * i + 1.0, 4 * i + 2.0))
        history.append(Operation("d", "k", Get(), Answer("v"), 4 * i + 3.0, 4 * i + 4.0))
    assert search(Register(), history, start=None).configurations < 1_000
    history.append(Operation("d", "k", Get(), Answer("never written"), 200.0, 201.0))
    found = search(Register(), history, start=None)
    assert found.verdict is Verdict.NOT_LINEARIZABLE
    assert found.configurations < 5_000
