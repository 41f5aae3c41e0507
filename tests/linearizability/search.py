"""The search for an order that explains what was answered.

After Wing and Gong 1993, with the memory of Lowe 2017: configurations that were looked at are not looked at again.
A configuration is which operations have been given their place, and the state that they lead to. It is kept small:

- Operations with a known outcome are counted in the order of their beginning. All before `base` have their place; of
  the rest only those that are concurrent with the one at `base` can have one, so a short mask says which.
- Those with an unknown outcome have a mask of their own. A configuration is of no use if another one differs from it
  only in having used fewer of them: whatever the first can do the second can.
- Of equal operations with an unknown outcome the one that began first goes first, for nothing tells them apart but
  that it may go earlier.
- An operation that changes nothing and fits gets its place at once, for it is in nobody's way.
- A write that nobody sees gets its place, as soon as it can have one, right before another write.
- A state is not left for good as long as an operation without a place fits only there.
- Operations with an unknown outcome get a place only right before one with a known outcome that needs them there: that
  without them would not fit, or lead elsewhere. They are tried last, for most orders need none of them.
"""

from __future__ import annotations

import bisect
import enum
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.linearizability.history import Operation
from tests.linearizability.models import Model

StateT = TypeVar("StateT", bound=Hashable)
InputT = TypeVar("InputT", bound=Hashable)
OutputT = TypeVar("OutputT")

LOOKS_PER_CLOCK = 256


class Verdict(enum.Enum):
    """What became of a search."""

    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    UNDECIDED = "undecided"
    """Time ran out."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, and how many configurations were looked at for it."""

    verdict: Verdict
    configurations: int


@dataclass(frozen=True, slots=True)
class _Configuration(Generic[StateT]):
    base: int
    window: int
    """Bit i: known operation `base + i` has its place. Bit 0 is never set."""
    used: int
    """Bit i: so has operation i of those with an unknown outcome."""
    state: StateT


def search(
    model: Model[StateT, InputT, OutputT],
    operations: Sequence[Operation[InputT, OutputT]],
    *,
    start: StateT,
    timeout_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Looks for an order of the operations on one object, which is in state `start` before them."""
    return _Search(model, operations).run(start, clock() + timeout_s, clock)


class _Search(Generic[StateT, InputT, OutputT]):
    def __init__(
        self,
        model: Model[StateT, InputT, OutputT],
        operations: Sequence[Operation[InputT, OutputT]],
    ) -> None:
        self._model = model
        ordered = sorted(operations, key=lambda operation: operation.called_s)
        self._known = [
            (operation, operation.called_s, operation.returned_s)
            for operation in ordered
            if operation.returned_s is not None
        ]
        self._open = [
            operation
            for operation in ordered
            if not operation.known and not model.only_reads(operation.input, None)
        ]
        self._twin = self._find_twins()
        self._anything = model.anything()
        self._seen: dict[tuple[int, int, StateT], list[int]] = {}
        self._sort_open()
        self._sort_known()

    def _sort_open(self) -> None:
        model = self._model
        self._blind: list[int] = []
        self._unblind: list[int] = []
        self._needing: dict[StateT, list[int]] = {}
        self._producing_open: dict[StateT, list[int]] = {}
        for i, operation in enumerate(self._open):
            if needed := model.needs(operation.input):
                self._needing.setdefault(needed[0], []).append(i)
            else:
                (self._blind if model.is_blind(operation.input) else self._unblind).append(i)
            for state in model.produced(operation.input):
                self._producing_open.setdefault(state, []).append(i)

    def _sort_known(self) -> None:
        model = self._model
        self._requiring: dict[StateT, list[int]] = {}
        self._producing: dict[StateT, list[int]] = {}
        self._blind_known: list[bool] = []
        """By position: leads to the same state, and answers the same, from whatever state."""
        for position, (operation, _, _) in enumerate(self._known):
            required = model.required(operation.input, operation.output)
            for state in required:
                self._requiring.setdefault(state, []).append(position)
            for state in model.produced(operation.input):
                self._producing.setdefault(state, []).append(position)
            self._blind_known.append(model.is_blind(operation.input) and not required)
        self._unseen: list[bool] = [
            self._blind_known[position]
            and not any(
                state in self._requiring or state in self._needing
                for state in model.produced(operation.input)
            )
            for position, (operation, _, _) in enumerate(self._known)
        ]
        """By position: of those the ones after which nobody looks."""

    def _find_twins(self) -> list[int]:
        """For each operation with an unknown outcome, the bit of the one that must go before it; 0: none."""
        latest: dict[InputT, int] = {}
        twins = []
        for i, operation in enumerate(self._open):
            twins.append(latest.get(operation.input, 0))
            latest[operation.input] = 1 << i
        return twins

    def run(self, start: StateT, deadline_s: float, clock: Callable[[], float]) -> Outcome:
        first = _Configuration(0, 0, 0, start)
        looks = 0
        if not self._known:
            return Outcome(Verdict.LINEARIZABLE, looks)
        self._is_new(first)
        path = [self._successors(first)]
        while path:
            configuration = next(path[-1], None)
            if configuration is None:
                path.pop()
                continue
            looks += 1
            if looks % LOOKS_PER_CLOCK == 0 and clock() > deadline_s:
                return Outcome(Verdict.UNDECIDED, looks)
            if configuration.base == len(self._known):
                return Outcome(Verdict.LINEARIZABLE, looks)
            if self._is_new(configuration):
                path.append(self._successors(configuration))
        return Outcome(Verdict.NOT_LINEARIZABLE, looks)

    def _is_new(self, configuration: _Configuration[StateT]) -> bool:
        """Takes note of a configuration; False: one that can do as much was looked at."""
        key = (configuration.base, configuration.window, configuration.state)
        used = configuration.used
        masks = self._seen.setdefault(key, [])
        if any(mask & ~used == 0 for mask in masks):
            return False
        masks[:] = [mask for mask in masks if used & ~mask != 0]
        masks.append(used)
        return True

    def _successors(self, now: _Configuration[StateT]) -> Iterator[_Configuration[StateT]]:
        model, state = self._model, now.state
        ready, end_s = self._ready(now)
        steps = []
        for position in ready:
            operation = self._known[position][0]
            following = model.step(state, operation.input, operation.output)
            if following == (state,) and model.only_reads(operation.input, operation.output):
                yield self._place(now, 1 << (position - now.base), now.used, state)
                return
            steps.append((position, operation, following))
        for position, _, following in steps:
            for after in following:
                if after == state or not self._is_missed(now, state, now.used, position):
                    seats = 1 << (position - now.base)
                    if self._blind_known[position]:
                        for other in ready:
                            seats |= self._unseen[other] << (other - now.base)
                    yield self._place(now, seats, now.used, after)
        if not self._open or self._is_missed(now, state, now.used, None):
            return
        for between, used in self._chains(now, end_s):
            for position, operation, following in steps:
                for after in model.step(between, operation.input, operation.output):
                    gone = after != between and self._is_missed(now, between, used, position)
                    if after not in following and not gone:
                        yield self._place(now, 1 << (position - now.base), used, after)

    def _is_missed(
        self, now: _Configuration[StateT], state: StateT, used: int, position: int | None
    ) -> bool:
        """Whether one without a place, other than that at `position`, fits only into a state that can not return."""
        if not self._is_left(now, self._requiring.get(state, ()), position):
            return False
        if any(not used >> i & 1 for i in self._producing_open.get(state, ())):
            return False
        return not self._is_left(now, self._producing.get(state, ()), position)

    def _is_left(
        self, now: _Configuration[StateT], positions: Sequence[int], aside: int | None
    ) -> bool:
        """Whether any of the known operations at ascending `positions` has no place yet."""
        for i in range(bisect.bisect_left(positions, now.base), len(positions)):
            position = positions[i]
            if position != aside and not now.window >> (position - now.base) & 1:
                return True
        return False

    def _chains(self, now: _Configuration[StateT], end_s: float) -> Iterator[tuple[StateT, int]]:
        """States to which operations with an unknown outcome may lead, one after the other, the shortest way first."""
        reached: dict[StateT, list[int]] = {now.state: [now.used]}
        frontier = [(now.state, now.used)]
        while frontier:
            state, used = frontier.pop(0)
            for i in self._candidates(state, first=used == now.used):
                operation = self._open[i]
                if operation.called_s > end_s or used >> i & 1 or self._twin[i] & ~used:
                    continue
                for after in self._model.outcomes(state, operation.input):
                    masks = reached.setdefault(after, [])
                    more = used | 1 << i
                    if any(mask & ~more == 0 for mask in masks):
                        continue
                    masks.append(more)
                    frontier.append((after, more))
                    yield after, more

    def _candidates(self, state: StateT, first: bool) -> Iterator[int]:
        """Operations with an unknown outcome that may lead from a state to one that they don't lead to without it."""
        if state == self._anything:
            yield from range(len(self._open))
            return
        if first:
            yield from self._blind
        yield from self._unblind
        yield from self._needing.get(state, ())

    def _ready(self, now: _Configuration[StateT]) -> tuple[list[int], float]:
        """Positions of operations that may be the next, the first to end first, and when the first of them ended."""
        end_s = float("inf")
        found = []
        position, window = now.base, now.window
        while position < len(self._known):
            _, called_s, returned_s = self._known[position]
            if called_s > end_s:
                break
            if not window & 1:
                found.append(position)
                end_s = min(end_s, returned_s)
            position += 1
            window >>= 1
        fitting = [position for position in found if self._known[position][1] <= end_s]
        return sorted(fitting, key=lambda position: self._known[position][2]), end_s

    def _place(
        self, now: _Configuration[StateT], seats: int, used: int, state: StateT
    ) -> _Configuration[StateT]:
        """The configuration after those of the known operations that `seats` says, counted from the base."""
        base, window = now.base, now.window | seats
        while window & 1:
            base += 1
            window >>= 1
        return _Configuration(base, window, used, state)
