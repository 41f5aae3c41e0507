"""The smallest part of a history that shows what is wrong.

A part is made only in ways after which it is still wrong only if the whole is:

- *Its end*: what ends later is forgotten, what begins later left out, for nothing can depend on what comes later.
- *Its beginning*: what ended before is left out and the state unknown; what was under way then has an unknown outcome,
  for it may have come before something that was left out.
- *In between*: what only reads is left out; what writes has an unknown outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.linearizability.history import History, Operation
from tests.linearizability.models import Model
from tests.linearizability.search import Verdict, search

StateT = TypeVar("StateT", bound=Hashable)
InputT = TypeVar("InputT", bound=Hashable)
OutputT = TypeVar("OutputT")


@dataclass(frozen=True)
class Counterexample(Generic[StateT, InputT, OutputT]):
    """Operations of one key that no order explains."""

    start: StateT
    operations: tuple[Operation[InputT, OutputT], ...]

    def describe(self, model: Model[StateT, InputT, OutputT]) -> str:
        """Several lines for people: what each operation was, and from when to when."""
        known = [operation for operation in self.operations if operation.known]
        unknown = [
            operation
            for operation in self.operations
            if not operation.known and not model.only_reads(operation.input, None)
        ]
        seen = {
            state
            for operation in known
            for state in model.required(operation.input, operation.output)
        }
        # The others may have taken effect or not; nobody looked.
        shown = [one for one in unknown if seen.intersection(model.produced(one.input))]
        began_s = min(operation.called_s for operation in self.operations)
        free = self.start == model.anything()
        state = "from whatever state" if free else f"from {self.start!r}"
        lines = [f"key {self.operations[0].key}: no order explains, {state}"]
        for operation in sorted((*known, *shown), key=lambda operation: operation.called_s):
            ended_s = operation.returned_s
            end = "?" if ended_s is None else f"{(ended_s - began_s) * 1000:.1f}"
            words = model.describe(operation.input, operation.output, operation.known)
            span = f"{(operation.called_s - began_s) * 1000:9.1f} to {end:>9} ms"
            lines.append(f"  {operation.client:>8}  {span}  {words}")
        if len(unknown) > len(shown):
            count = len(unknown) - len(shown)
            lines.append(f"  whichever of {count} others took effect, and whenever")
        return "\n".join(lines)


def narrow(
    model: Model[StateT, InputT, OutputT],
    operations: Sequence[Operation[InputT, OutputT]],
    *,
    timeout_s: float = 20.0,
    clock: Callable[[], float] = time.monotonic,
) -> Counterexample[StateT, InputT, OutputT]:
    """Returns what is left of a history of one key that is not linearizable. What is not found in time stays."""
    deadline_s = clock() + timeout_s

    def is_wrong(part: History[InputT, OutputT], start: StateT) -> bool:
        left_s = deadline_s - clock()
        if left_s <= 0:
            return False
        found = search(model, part, start=start, timeout_s=left_s, clock=clock)
        return found.verdict is Verdict.NOT_LINEARIZABLE

    start, part = model.start(), list(operations)
    ends = sorted({end for one in part if (end := one.returned_s) is not None})
    last = _first(lambda i: is_wrong(_until(part, ends[i]), start), len(ends))
    if last < len(ends):
        part = _until(part, ends[last])
    cuts = [end for end in ends[:last] if end < ends[min(last, len(ends) - 1)]]
    free = model.anything()
    kept = _first(lambda i: not is_wrong(_since(part, cuts[i]), free), len(cuts))
    if kept:
        start, part = free, _since(part, cuts[kept - 1])
    for one in sorted(part, key=lambda operation: operation.called_s):
        if one.known:
            rest = [other for other in part if other is not one]
            if not model.only_reads(one.input, one.output):
                rest.append(one.forgotten())
            if is_wrong(rest, start):
                part = rest
    return Counterexample(start, tuple(part))


def _first(holds: Callable[[int], bool], count: int) -> int:
    """The smallest number below `count` from which on `holds`; `count` if there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _until(operations: History[InputT, OutputT], end_s: float) -> History[InputT, OutputT]:
    return [
        one if one.returned_s is not None and one.returned_s <= end_s else one.forgotten()
        for one in operations
        if one.called_s <= end_s
    ]


def _since(operations: History[InputT, OutputT], cut_s: float) -> History[InputT, OutputT]:
    return [
        one if one.called_s > cut_s else one.forgotten()
        for one in operations
        if one.returned_s is None or one.returned_s > cut_s
    ]
