"""Keeps what was worked out of a service until the service changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Generic, TypeVar

V = TypeVar("V", bound=Sized)


class Cache(Generic[V]):
    """Values by what was asked, each good for one revision. Beyond so many items the one asked for longest ago goes."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._values: OrderedDict[Hashable, tuple[int, V, int]] = OrderedDict()
        self.size = 0
        """Items in all values, an empty one counting as one."""

    def get(self, key: Hashable, revision: int, make: Callable[[], V]) -> V:
        """Returns the value for a key at a revision; makes it if it is not here."""
        known = self._values.get(key)
        if known is not None:
            if known[0] == revision:
                self._values.move_to_end(key)
                return known[1]
            self._drop(key)
        made = make()
        size = max(1, len(made))
        if size <= self._items_max:
            self._values[key] = (revision, made, size)
            self.size += size
            while self.size > self._items_max:
                self._drop(next(iter(self._values)))
        return made

    def _drop(self, key: Hashable) -> None:
        self.size -= self._values.pop(key)[2]
