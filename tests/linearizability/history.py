"""Operations on an object, as the clients that called them saw them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True)
class Operation(Generic[InputT, OutputT]):
    """One call: it took effect, at once, somewhere between its beginning and its end.

    One without an end (`returned_s` is None) has an unknown outcome: it takes effect at any time after its beginning,
    or never. Those that surely had no effect don't belong into a history.
    """

    client: str
    key: str
    """Operations on different keys know nothing of each other."""
    input: InputT
    output: OutputT | None
    """Means nothing without an end."""
    called_s: float
    returned_s: float | None

    def __post_init__(self) -> None:
        if self.returned_s is not None and self.returned_s < self.called_s:
            raise ValueError(f"{self} returned before it was called")

    @property
    def known(self) -> bool:
        """Whether its outcome is known."""
        return self.returned_s is not None

    def forgotten(self) -> Operation[InputT, OutputT]:
        """The same with an unknown outcome: whatever explains the one explains the other."""
        return replace(self, output=None, returned_s=None)


History = list[Operation[InputT, OutputT]]


def split_by_key(
    operations: Iterable[Operation[InputT, OutputT]],
) -> dict[str, History[InputT, OutputT]]:
    """Returns the history of each key. All together are linearizable if and only if each is (Herlihy and Wing 1990)."""
    found: dict[str, History[InputT, OutputT]] = {}
    for operation in operations:
        found.setdefault(operation.key, []).append(operation)
    return found
