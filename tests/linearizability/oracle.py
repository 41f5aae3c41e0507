"""Tiny histories, decided by trying everything; and histories made by running an object."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from tests.linearizability.history import Operation
from tests.linearizability.models import (
    Answer,
    Delete,
    Get,
    Put,
    RegisterInput,
    RegisterState,
    Swap,
)

T = TypeVar("T")
RegisterOperation = Operation[RegisterInput, Answer]
OPERATIONS_MAX = 5


def is_linearizable(operations: Sequence[RegisterOperation], start: RegisterState = None) -> bool:
    """Whether some subset of those with an unknown outcome, and all others, have an order that explains them."""
    known = [one for one in operations if one.known]
    unknown = [one for one in operations if not one.known]
    return any(
        _respects_time(order) and _explains(order, start)
        for count in range(len(unknown) + 1)
        for chosen in itertools.combinations(unknown, count)
        for order in itertools.permutations([*known, *chosen])
    )


def _respects_time(order: Sequence[RegisterOperation]) -> bool:
    return not any(
        later.returned_s is not None and later.returned_s < earlier.called_s
        for earlier, later in itertools.combinations(order, 2)
    )


def _explains(order: Sequence[RegisterOperation], state: RegisterState) -> bool:
    for one in order:
        answer, after = run(one.input, state)
        if one.known and answer != one.output:
            return False
        state = after
    return True


def run(input: RegisterInput, state: RegisterState) -> tuple[Answer, RegisterState]:
    """Runs an operation on a register: its answer, and the value after it. Knows nothing of the model."""
    value = state if isinstance(state, str) else None
    match input:
        case Get():
            return Answer(value), value
        case Put(new):
            return Answer(), new
        case Delete():
            return Answer(value), None
        case Swap(expected, new) if value == expected:
            return Answer(), new
        case Swap():
            return Answer(value, done=False), value


VALUES = st.sampled_from(["a", "b", "c"])
INPUTS: st.SearchStrategy[RegisterInput] = st.one_of(
    st.just(Get()),
    st.just(Delete()),
    st.builds(Put, VALUES),
    st.builds(Swap, st.one_of(st.none(), VALUES), VALUES),
)


def answers(input: RegisterInput) -> st.SearchStrategy[Answer]:
    """What an operation may answer, in whatever state."""
    match input:
        case Get() | Delete():
            return st.builds(Answer, st.one_of(st.none(), VALUES))
        case Put():
            return st.just(Answer())
        case Swap(expected, _):
            seen = st.one_of(st.none(), VALUES).filter(lambda value: value != expected)
            return st.one_of(st.just(Answer()), st.builds(Answer, seen, st.just(False)))


@st.composite
def any_history(draw: st.DrawFn) -> list[RegisterOperation]:
    """Operations with times and answers that have nothing to do with each other."""
    found = []
    for i in range(draw(st.integers(1, OPERATIONS_MAX))):
        input = draw(INPUTS)
        called = draw(st.integers(0, 8))
        returned = draw(st.one_of(st.none(), st.integers(called, 9)))
        output = None if returned is None else draw(answers(input))
        found.append(Operation(f"c{i}", "k", input, output, called, returned))
    return found


@st.composite
def true_history(draw: st.DrawFn, clients: int = 4, size: int = 30) -> list[RegisterOperation]:
    """What clients see of a real register that answers after a while, or never.

    Each client calls one operation after the other. One whose outcome it does not learn may take effect long after the
    client went on, or not at all.
    """
    planned: list[tuple[float, str, RegisterInput, float, float | None]] = []
    for client in range(clients):
        now = 0.0
        for _ in range(draw(st.integers(0, size // clients))):
            called = now + draw(st.integers(1, 4))
            effect = called + draw(st.integers(0, 6))
            returned = effect + draw(st.integers(0, 4))
            input = draw(INPUTS)
            match draw(st.sampled_from(["known", "known", "known", "late", "never"])):
                case "known":
                    planned.append((effect, f"c{client}", input, called, returned))
                case "late":
                    late = effect + draw(st.integers(0, 30))
                    planned.append((late, f"c{client}", input, called, None))
                case _:
                    planned.append((float("inf"), f"c{client}", input, called, None))
            now = returned
    found: list[RegisterOperation] = []
    state: RegisterState = None
    for effect, name, input, called, end in sorted(planned, key=lambda plan: plan[0]):
        answer, after = run(input, state)
        if effect != float("inf"):
            state = after
        found.append(Operation(name, "k", input, answer if end is not None else None, called, end))
    return found


@st.composite
def altered(draw: st.DrawFn, history: list[RegisterOperation]) -> list[RegisterOperation]:
    """The same history with one thing changed: an answer, or a time."""
    position = draw(st.integers(0, len(history) - 1))
    one = history[position]
    if one.known and draw(st.booleans()):
        changed = Operation(
            one.client, one.key, one.input, draw(answers(one.input)), one.called_s, one.returned_s
        )
    else:
        end = None if one.returned_s is None else one.called_s + draw(st.integers(0, 1))
        changed = Operation(one.client, one.key, one.input, one.output, one.called_s, end)
    return [*history[:position], changed, *history[position + 1 :]]
