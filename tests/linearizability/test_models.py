"""The models: one client at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.linearizability.models import (
    Add,
    Answer,
    Anything,
    Counter,
    CounterInput,
    CounterState,
    Delete,
    Get,
    Put,
    Read,
    Register,
    RegisterInput,
    RegisterState,
    Swap,
)
from tests.linearizability.oracle import INPUTS, VALUES, answers, run

ANYTHING = Anything.ANYTHING


@pytest.mark.parametrize(
    ("state", "input", "output", "after"),
    [
        (None, Get(), Answer(None), (None,)),
        ("a", Get(), Answer("a"), ("a",)),
        ("a", Get(), Answer("b"), ()),
        (ANYTHING, Get(), Answer("b"), ("b",)),
        ("a", Put("b"), Answer(), ("b",)),
        ("a", Delete(), Answer("a"), (None,)),
        ("a", Delete(), Answer("b"), ()),
        (None, Delete(), Answer("a"), ()),
        (None, Delete(), Answer(None), (None,)),
        ("a", Delete(), Answer(None), ()),
        (ANYTHING, Delete(), Answer("a"), (None,)),
        ("a", Swap("a", "b"), Answer(), ("b",)),
        ("c", Swap("a", "b"), Answer(), ()),
        (None, Swap(None, "b"), Answer(), ("b",)),
        ("c", Swap("a", "b"), Answer("c", done=False), ("c",)),
        ("c", Swap("a", "b"), Answer("d", done=False), ()),
        ("a", Swap("a", "b"), Answer("a", done=False), ()),
        (ANYTHING, Swap("a", "b"), Answer("c", done=False), ("c",)),
        (ANYTHING, Swap("a", "b"), Answer("a", done=False), ()),
    ],
)
def test_register(
    state: RegisterState, input: RegisterInput, output: Answer, after: tuple[RegisterState, ...]
) -> None:
    assert Register().step(state, input, output) == after


@pytest.mark.parametrize(
    ("state", "input", "output", "after"),
    [
        (2, Read(), 2, (2,)),
        (2, Read(), 3, ()),
        (2, Add(3), 5, (5,)),
        (2, Add(3), None, (5,)),
        (2, Add(3), 6, ()),
        (ANYTHING, Read(), 3, (3,)),
        (ANYTHING, Add(1), 3, (3,)),
        (ANYTHING, Add(1), None, (ANYTHING,)),
    ],
)
def test_counter(
    state: CounterState, input: CounterInput, output: int | None, after: tuple[CounterState, ...]
) -> None:
    assert Counter().step(state, input, output) == after


def test_unknown_outcomes() -> None:
    register, counter = Register(), Counter()
    assert register.outcomes("a", Get()) == ()
    assert register.outcomes("a", Put("b")) == ("b",)
    assert register.outcomes("a", Delete()) == (None,)
    assert register.outcomes("a", Swap("a", "b")) == ("b",)
    assert register.outcomes("c", Swap("a", "b")) == ()
    assert counter.outcomes(2, Add(3)) == (5,)
    assert counter.outcomes(2, Read()) == ()


@given(INPUTS, st.one_of(st.none(), VALUES), st.data())
def test_a_register_steps_as_one_runs(
    input: RegisterInput, state: RegisterState, data: st.DataObject
) -> None:
    register = Register()
    output, after = run(input, state)
    assert register.step(state, input, output) == (after,)
    assert set(register.outcomes(state, input)) == {after} - {state}
    assert not register.only_reads(input, output) or after == state
    assert register.required(input, output) in ((), (state,))
    assert after in (state, *register.produced(input))
    needed = register.needs(input)
    assert after == state or needed in ((), (state,))
    wrong = data.draw(answers(input))
    if wrong != output:
        assert register.step(state, input, wrong) == ()


def test_words() -> None:
    register, counter = Register(), Counter()
    assert register.describe(Get(), Answer("a"), True) == "get -> 'a'"
    assert register.describe(Put("a"), None, False) == "put 'a' -> ?"
    assert register.describe(Delete(), Answer(None), True) == "delete -> None"
    refused = register.describe(Swap("a", "b"), Answer("c", done=False), True)
    assert refused == "swap 'a' for 'b' -> refused, it is 'c'"
    assert counter.describe(Add(2), 5, True) == "add 2 -> 5"
