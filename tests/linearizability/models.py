"""What objects answer when they are asked by one client at a time."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

StateT = TypeVar("StateT", bound=Hashable)
InputT = TypeVar("InputT", bound=Hashable, contravariant=True)
OutputT = TypeVar("OutputT", contravariant=True)


class Model(Protocol[StateT, InputT, OutputT]):
    """An object without concurrency. Every method is pure; states can be compared and hashed."""

    def start(self) -> StateT:
        """The state before the first operation."""
        ...

    def anything(self) -> StateT:
        """A state that stands for every state: whatever is answered from any state may be answered from this one."""
        ...

    def step(self, state: StateT, input: InputT, output: OutputT | None) -> tuple[StateT, ...]:
        """States in which an operation may leave the object when it answers like this; none if it can't."""
        ...

    def outcomes(self, state: StateT, input: InputT) -> tuple[StateT, ...]:
        """States in which an operation with an unknown answer may leave the object, the same state aside."""
        ...

    def needs(self, input: InputT) -> tuple[StateT, ...]:
        """The only state besides `anything` in which an operation may change something; none: it may in many."""
        ...

    def is_blind(self, input: InputT) -> bool:
        """Whether an operation leads to the same state, from whatever state."""
        ...

    def required(self, input: InputT, output: OutputT | None) -> tuple[StateT, ...]:
        """The only state besides `anything` in which an operation answers like this; none: there may be many."""
        ...

    def produced(self, input: InputT) -> tuple[StateT, ...]:
        """All states to which an operation may change the object. Only for models that require states."""
        ...

    def only_reads(self, input: InputT, output: OutputT | None) -> bool:
        """Whether an operation with this answer changes nothing, in whatever state."""
        ...

    def describe(self, input: InputT, output: OutputT | None, known: bool) -> str:
        """An operation in words."""
        ...


class Anything(enum.Enum):
    """A state of which nothing is known."""

    ANYTHING = "anything"


# --- a register: one key -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Get:
    """Read the value."""


@dataclass(frozen=True, slots=True)
class Put:
    """Write a value."""

    value: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the value, if there is one."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Write `value` if the value is `expected` (None: if there is none); else read it."""

    expected: str | None
    value: str


RegisterInput = Get | Put | Delete | Swap


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation on a register answered."""

    value: str | None = None
    """Of Get, Delete and a Swap that was refused: the value as it was before; None: there was none."""
    done: bool = True
    """Of Swap: whether the value was the one expected."""


RegisterState = str | None | Anything


class Register:
    """A key: a value, or none."""

    def __init__(self, value: str | None = None) -> None:
        self._start = value

    def start(self) -> RegisterState:
        return self._start

    def anything(self) -> RegisterState:
        return Anything.ANYTHING

    def step(
        self, state: RegisterState, input: RegisterInput, output: Answer | None
    ) -> tuple[RegisterState, ...]:
        assert output is not None
        free = state is Anything.ANYTHING
        match input:
            case Put(value):
                return (value,)
            case Get():
                return (output.value,) if free or state == output.value else ()
            case Delete():
                return (None,) if free or state == output.value else ()
            case Swap(expected, value) if output.done:
                return (value,) if free or state == expected else ()
            case Swap(expected, _):
                fits = output.value != expected and (free or state == output.value)
                return (output.value,) if fits else ()

    def outcomes(self, state: RegisterState, input: RegisterInput) -> tuple[RegisterState, ...]:
        match input:
            case Get():
                return ()
            case Delete():
                return () if state is None else (None,)
            case Put(value):
                return () if state == value else (value,)
            case Swap(expected, value):
                fits = state is Anything.ANYTHING or state == expected
                return (value,) if fits and state != value else ()

    def needs(self, input: RegisterInput) -> tuple[RegisterState, ...]:
        return (input.expected,) if isinstance(input, Swap) else ()

    def is_blind(self, input: RegisterInput) -> bool:
        return isinstance(input, Put | Delete)

    def required(self, input: RegisterInput, output: Answer | None) -> tuple[RegisterState, ...]:
        assert output is not None
        match input:
            case Put():
                return ()
            case Swap(expected, _) if output.done:
                return (expected,)
            case _:
                return (output.value,)

    def produced(self, input: RegisterInput) -> tuple[RegisterState, ...]:
        match input:
            case Get():
                return ()
            case Delete():
                return (None,)
            case Put(value) | Swap(_, value):
                return (value,)

    def only_reads(self, input: RegisterInput, output: Answer | None) -> bool:
        match input:
            case Get():
                return True
            case Put():
                return False
            case Delete():
                return output is not None and output.value is None
            case Swap():
                return output is not None and not output.done

    def describe(self, input: RegisterInput, output: Answer | None, known: bool) -> str:
        match input:
            case Get():
                words, answer = "get", output and repr(output.value)
            case Put(value):
                words, answer = f"put {value!r}", output and "done"
            case Delete():
                words, answer = "delete", output and repr(output.value)
            case Swap(expected, value):
                words = f"swap {expected!r} for {value!r}"
                answer = output and ("done" if output.done else f"refused, it is {output.value!r}")
        return f"{words} -> {answer if known else '?'}"


# --- a counter -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Add:
    """Raise the counter; answers the sum, or None if the sum was not told."""

    amount: int


@dataclass(frozen=True, slots=True)
class Read:
    """Answers the sum."""


CounterInput = Add | Read
CounterState = int | Anything


class Counter:
    """A number to which is added."""

    def __init__(self, value: int = 0) -> None:
        self._start = value

    def start(self) -> CounterState:
        return self._start

    def anything(self) -> CounterState:
        return Anything.ANYTHING

    def step(
        self, state: CounterState, input: CounterInput, output: int | None
    ) -> tuple[CounterState, ...]:
        match input:
            case Read():
                assert output is not None
                return (output,) if isinstance(state, Anything) or state == output else ()
            case Add(amount) if isinstance(state, Anything):
                return (state if output is None else output,)
            case Add(amount):
                return (state + amount,) if output in (None, state + amount) else ()

    def outcomes(self, state: CounterState, input: CounterInput) -> tuple[CounterState, ...]:
        if isinstance(input, Read) or isinstance(state, Anything) or not input.amount:
            return ()
        return (state + input.amount,)

    def needs(self, input: CounterInput) -> tuple[CounterState, ...]:
        return ()

    def is_blind(self, input: CounterInput) -> bool:
        return False

    def required(self, input: CounterInput, output: int | None) -> tuple[CounterState, ...]:
        return ()

    def produced(self, input: CounterInput) -> tuple[CounterState, ...]:
        return ()

    def only_reads(self, input: CounterInput, output: int | None) -> bool:
        return isinstance(input, Read)

    def describe(self, input: CounterInput, output: int | None, known: bool) -> str:
        words = "read" if isinstance(input, Read) else f"add {input.amount}"
        return f"{words} -> {output if known else '?'}"
