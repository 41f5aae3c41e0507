"""Finds those whose selector has a key, without looking at all."""

from __future__ import annotations

from typing import Generic, TypeVar

from intervaltree import Interval, IntervalTree

from coordinator.state.commands import Selector
from coordinator.state.view import with_prefix

Item = TypeVar("Item")

_Point = tuple[int, bytes]
_END: _Point = (1, b"")
"""Behind all keys."""


def is_prefix(selector: Selector) -> bool:
    """Whether a selector has all keys that begin with its key, and no others."""
    return selector.key != b"" and selector == with_prefix(selector.key)


class SelectorIndex(Generic[Item]):
    """Items by their selectors. One for a key or a prefix is found by looking up the key and what it begins with;
    one for another range in a tree of intervals.
    """

    def __init__(self) -> None:
        # Dicts for their order, which must not depend on where objects lie in memory.
        self._keys: dict[bytes, dict[Item, None]] = {}
        self._prefixes: dict[bytes, dict[Item, None]] = {}
        self._prefix_counts: dict[int, int] = {}
        """How many prefixes have a length."""
        self._prefix_lengths: list[int] = []
        self._ranges = IntervalTree()
        self._range_numbers: dict[Item, int] = {}
        self._last_number = 0

    def add(self, selector: Selector, item: Item) -> None:
        """Adds an item, which is not there yet."""
        if selector.end is None:
            self._keys.setdefault(selector.key, {})[item] = None
        elif is_prefix(selector):
            of_prefix = self._prefixes.get(selector.key)
            if of_prefix is None:
                of_prefix = self._prefixes[selector.key] = {}
                self._count_prefix(len(selector.key), 1)
            of_prefix[item] = None
        elif (interval := _interval(selector, item)) is not None:
            self._ranges.add(interval)
            self._last_number += 1
            self._range_numbers[item] = self._last_number

    def remove(self, selector: Selector, item: Item) -> None:
        """Removes an item that was added with this selector."""
        if selector.end is None:
            _remove(self._keys, selector.key, item)
        elif is_prefix(selector):
            if _remove(self._prefixes, selector.key, item):
                self._count_prefix(len(selector.key), -1)
        elif (interval := _interval(selector, item)) is not None:
            self._ranges.remove(interval)
            del self._range_numbers[item]

    def _count_prefix(self, length: int, change: int) -> None:
        count = self._prefix_counts.get(length, 0) + change
        if count:
            self._prefix_counts[length] = count
        else:
            del self._prefix_counts[length]
        self._prefix_lengths = sorted(self._prefix_counts)

    def find(self, key: bytes) -> list[Item]:
        """Returns the items whose selector has the key, always in the same order."""
        found = list(self._keys.get(key, ()))
        for length in self._prefix_lengths:
            if length > len(key):
                break
            found.extend(self._prefixes.get(key[:length], ()))
        if self._ranges:
            items = [interval.data for interval in self._ranges.at((0, key))]
            found.extend(sorted(items, key=self._range_numbers.__getitem__))
        return found


def _interval(selector: Selector, item: object) -> Interval | None:
    """Returns the range as an interval; None: there is no key in it."""
    assert selector.end is not None
    begin: _Point = (0, selector.key)
    end: _Point = (0, selector.end) if selector.end else _END
    return Interval(begin, end, item) if begin < end else None


def _remove(table: dict[bytes, dict[Item, None]], key: bytes, item: Item) -> bool:
    """Removes an item; returns whether it was the last one there."""
    del table[key][item]
    if table[key]:
        return False
    del table[key]
    return True
