"""Whole histories: is each key linearizable, and if one is not, what shows it?"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from tests.linearizability.history import Operation, split_by_key
from tests.linearizability.models import Model
from tests.linearizability.narrowing import narrow
from tests.linearizability.search import Verdict, search

StateT = TypeVar("StateT", bound=Hashable)
InputT = TypeVar("InputT", bound=Hashable)
OutputT = TypeVar("OutputT")

NARROWING_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Report:
    """What is known of a history."""

    verdict: Verdict
    """Of the worst key: one that is not linearizable, else one that is undecided."""
    configurations: int
    """How many were looked at, for all keys."""
    explanation: str = ""
    """For people: a counterexample for each key that is not linearizable, the names of those undecided."""


def check(
    model: Model[StateT, InputT, OutputT],
    operations: Iterable[Operation[InputT, OutputT]],
    *,
    timeout_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Decides about a history of many keys, each of which begins in the model's first state.

    `timeout_s` bounds the search over all keys; what is not decided by then is UNDECIDED. What is found to be wrong is
    narrowed down in another NARROWING_TIMEOUT_S at most.
    """
    deadline_s = clock() + timeout_s
    verdict, looks, lines = Verdict.LINEARIZABLE, 0, []
    for key, history in sorted(split_by_key(operations).items()):
        left_s = max(0.0, deadline_s - clock())
        found = search(model, history, start=model.start(), timeout_s=left_s, clock=clock)
        looks += found.configurations
        if found.verdict is Verdict.NOT_LINEARIZABLE:
            verdict = Verdict.NOT_LINEARIZABLE
            example = narrow(model, history, timeout_s=NARROWING_TIMEOUT_S, clock=clock)
            lines.append(example.describe(model))
        elif found.verdict is Verdict.UNDECIDED:
            lines.append(f"key {key}: undecided after {found.configurations} configurations")
            if verdict is Verdict.LINEARIZABLE:
                verdict = Verdict.UNDECIDED
    return Report(verdict, looks, "\n".join(lines))
