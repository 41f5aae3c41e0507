"""A sorted map that can be held still: what changes while it is held is put aside, once, for whoever holds it.

So taking a hold costs nothing, however large the map is, and a hold is read in pages while the map goes on. A worked
example, with two entries and a page of one:

    map           hold: put aside    page
    a=1 b=2       hold()             a=1
    a=9 b=2       a=1
    a=9           a=1 b=2            b=2
    a=9 c=3       a=1 b=2 c=nothing  none
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from sortedcontainers import SortedList

Key = TypeVar("Key", bound=int | bytes)
Value = TypeVar("Value")


class Held(Generic[Key, Value]):
    """A shelf at one moment, until it is released. Values are shared with the shelf, and must not be changed."""

    def __init__(self, shelf: Shelf[Key, Value]) -> None:
        self._shelf = shelf
        self._aside: dict[
            Key, Value | None
        ] = {}  # by keys that were set or removed since; None: was not there
        self._gone: SortedList = SortedList()  # keys that were there and are removed, ascending

    def get(self, key: Key) -> Value | None:
        """Returns the value that a key had; None if it was not there."""
        return self._aside[key] if key in self._aside else self._shelf.get(key)

    def pages(self, limit: int) -> Iterator[list[tuple[Key, Value]]]:
        """Yields the entries in ascending order of the key, in pages for which `limit` keys were looked at.

        Between pages the shelf may change.
        """
        last: Key | None = None
        while True:
            keys: list[Any] = self._shelf.keys_after(last, limit)
            gone = list(islice(self._gone.irange(last, None, (False, False)), limit))
            if gone:
                # A key that was removed and set again is in both.
                keys = sorted({*keys, *gone})[:limit]
            entries = ((key, self.get(key)) for key in keys)
            yield [(key, value) for key, value in entries if value is not None]
            if len(keys) < limit:
                return
            last = keys[-1]

    def put_aside(self, key: Key, value: Value | None, removed: bool) -> None:
        """A key is about to change that has this value now. Called by the shelf."""
        if key not in self._aside:
            self._aside[key] = value
            if removed:
                self._gone.add(key)
        elif removed and self._aside[key] is not None and key not in self._gone:
            self._gone.add(key)


class Shelf(Generic[Key, Value]):
    """Values by key. They are never changed in place once a hold may know them (see `holds_taken`)."""

    def __init__(self) -> None:
        self._values: dict[Key, Value] = {}
        self._keys: SortedList = SortedList()  # of _values
        self._holds: list[Held[Key, Value]] = []
        self.holds_taken = 0
        """Ever: a value that is younger than the last hold is known to none."""

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def get(self, key: Key) -> Value | None:
        return self._values.get(key)

    def above(self, key: Key) -> Iterator[Value]:
        """Yields the values of greater keys, ascending by the key. Nothing may change meanwhile."""
        return map(self._values.__getitem__, self._keys.irange(key, None, (False, False)))

    def keys_after(self, key: Key | None, limit: int) -> list[Key]:
        """Returns at most `limit` keys, ascending, that are greater than a key, or from the least one on."""
        return list(islice(self._keys.irange(key, None, (False, False)), limit))

    def set(self, key: Key, value: Value) -> None:
        old = self._values.get(key)
        for held in self._holds:
            held.put_aside(key, old, removed=False)
        if old is None:
            self._keys.add(key)
        self._values[key] = value

    def remove(self, key: Key) -> Value | None:
        """Removes a key; returns its value, None if it was not there."""
        value = self._values.get(key)
        if value is None:
            return None
        for held in self._holds:
            held.put_aside(key, value, removed=True)
        self._keys.remove(key)
        return self._values.pop(key)

    def hold(self) -> Held[Key, Value]:
        """Returns the shelf as it is, to be given back with `release`."""
        self.holds_taken += 1
        held = Held(self)
        self._holds.append(held)
        return held

    def release(self, held: Held[Key, Value]) -> None:
        """From now on, `held` is of no more use."""
        self._holds.remove(held)

    def containers(self) -> Iterator[dict[Any, Any] | SortedList]:
        """Yields all that takes memory in proportion to the content, for whoever empties a shelf out of use."""
        yield self._values
        yield self._keys
