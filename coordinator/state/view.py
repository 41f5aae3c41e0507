"""How keys are read: one small view of an ordered key space, and what ranges and compares make of it.

The keys as they are, the keys at an old revision and the keys in the middle of a transaction are three views; a range
or a compare means the same on each.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

from coordinator.state.commands import Compare, Operator, Order, Range, Selector, Target
from coordinator.state.model import KeyValue
from coordinator.state.results import Code, Failure, RangeResult

KV_OVERHEAD_BYTES = 48
CHILD_OVERHEAD_BYTES = 8
"""What a key, or a child, takes in a message beyond its own bytes: three revision numbers and a session of up to ten
bytes each, the tags of the fields and the lengths before them. Without it, many short keys make a message several
times the size that was asked for."""


class View(Protocol):
    """An ordered set of keys, each in one version. Bounds are [low, high); `high` None: no upper end."""

    def get(self, key: bytes) -> KeyValue | None: ...

    def scan(self, low: bytes, high: bytes | None) -> Iterator[KeyValue]:
        """Yields the keys within the bounds in ascending order. Nothing may change meanwhile."""
        ...

    def count(self, low: bytes, high: bytes | None) -> int:
        """Returns how many keys `scan` would yield."""
        ...


class Meter:
    """Counts down the keys that one command may look at or change. Once exceeded, it stays so."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit

    @property
    def exceeded(self) -> bool:
        return self.left < 0

    def take(self, count: int = 1) -> bool:
        """Counts keys; False if they are more than were left."""
        self.left = self.left - count if self.left >= 0 else -1
        return self.left >= 0


class Metered:
    """A view whose scans count their keys, and end early when the meter is exceeded: what they gave is then void."""

    def __init__(self, view: View, meter: Meter) -> None:
        self._view = view
        self._meter = meter

    def get(self, key: bytes) -> KeyValue | None:
        return self._view.get(key)

    def scan(self, low: bytes, high: bytes | None) -> Iterator[KeyValue]:
        take = self._meter.take
        for kv in self._view.scan(low, high):
            if not take():
                return
            yield kv

    def count(self, low: bytes, high: bytes | None) -> int:
        return self._view.count(low, high)


def bounds(selector: Selector) -> tuple[bytes, bytes | None]:
    """Returns the half-open bounds that a selector names."""
    if selector.end is None:
        return selector.key, selector.key + b"\0"
    return selector.key, selector.end or None


def prefix_end(prefix: bytes) -> bytes | None:
    """Returns the least key above all that start with `prefix`; None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def with_prefix(prefix: bytes) -> Selector:
    """Returns the selector of all keys that start with `prefix`."""
    return Selector(prefix, prefix_end(prefix) or b"")


def child_of(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """Returns `key` up to and including the first delimiter after the prefix; None if it has none there."""
    if not key.startswith(prefix):
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


def size_of(item: KeyValue | bytes) -> int:
    """Returns the size of a key, or of a child, in bytes, as it is in a message."""
    if isinstance(item, bytes):
        return len(item) + CHILD_OVERHEAD_BYTES
    return len(item.key) + len(item.value) + KV_OVERHEAD_BYTES


def read_range(view: View, query: Range, size_bytes_max: int | None = None) -> RangeResult:
    """Returns what `query` selects in the view; its revision is the caller's to look at.

    The items of the result come to at most `size_bytes_max` bytes (see `size_of`), except that one is always returned;
    `more` tells of those that were left out. Without a delimiter the work is in proportion to the items returned (see
    `View.count` for the rest); with one, to all items that match, but not to the keys below each child.
    """
    if query.selector.end is None and not (query.delimiter or query.start_after):
        return _read_one(view, query)
    low, high = bounds(query.selector)
    if query.delimiter:
        return _read_items(view, query, low, high, size_bytes_max)
    # The empty start is no start: it comes before every key, were it only the empty one.
    if query.start_after and query.start_after >= low:
        low = query.start_after + b"\0"
    if high is not None and low >= high:
        return RangeResult(())
    count = view.count(low, high)
    if query.count_only or not count:
        return RangeResult((), count=count)
    if selects(query):
        return _read_selected(view.scan(low, high), query, count, size_bytes_max)
    page = islice(view.scan(low, high), query.limit if query.limit > 0 else None)
    kvs: list[KeyValue] = []
    if size_bytes_max is None:
        kvs.extend(page)
    else:
        size = 0
        for kv in page:
            size += size_of(kv) - (len(kv.value) if query.keys_only else 0)
            if size > size_bytes_max and kvs:
                break
            kvs.append(kv)
    if query.keys_only:
        kvs = [without_value(kv) for kv in kvs]
    return RangeResult(tuple(kvs), more=len(kvs) < count, count=count)


def _read_one(view: View, query: Range) -> RangeResult:
    kv = view.get(query.selector.key)
    if kv is None:
        return RangeResult(())
    if query.count_only:
        return RangeResult((), count=1)
    if selects(query):
        return _read_selected(iter((kv,)), query, 1, None)
    return RangeResult((without_value(kv) if query.keys_only else kv,), count=1)


def selects(query: Range) -> bool:
    """Returns whether a range wants other keys than the first, or in another order: all within its bounds are read."""
    return bool(
        sorts(query)
        or query.min_mod_revision
        or query.max_mod_revision
        or query.min_create_revision
        or query.max_create_revision
    )


def passes(kv: KeyValue, query: Range) -> bool:
    """Returns whether the revisions of a key are within the bounds of a range."""
    return (
        kv.mod_revision >= query.min_mod_revision
        and kv.create_revision >= query.min_create_revision
        and (not query.max_mod_revision or kv.mod_revision <= query.max_mod_revision)
        and (not query.max_create_revision or kv.create_revision <= query.max_create_revision)
    )


def sorts(query: Range) -> bool:
    """Returns whether a range wants another order than the ascending one of the keys."""
    return query.order is not Order.KEY or query.descending


def arrange(kvs: list[KeyValue], query: Range) -> None:
    """Brings keys, which are in ascending order, into the order of a range."""
    if sorts(query):
        # Also in reverse this is stable: keys that are equal stay in ascending order.
        kvs.sort(key=PROPERTIES[query.order], reverse=query.descending)


def _read_selected(
    found: Iterator[KeyValue], query: Range, count: int, size_bytes_max: int | None
) -> RangeResult:
    kvs = [kv for kv in found if passes(kv, query)]
    arrange(kvs, query)
    more = 0 < query.limit < len(kvs)
    if more:
        del kvs[query.limit :]
    if query.keys_only:
        kvs = [without_value(kv) for kv in kvs]
    if size_bytes_max is not None:
        fitting = _fit(kvs, size_bytes_max)
        more = more or fitting < len(kvs)
        del kvs[fitting:]
    return RangeResult(tuple(kvs), more=more, count=count)


def _fit(kvs: list[KeyValue], size_bytes_max: int) -> int:
    """Returns how many of the first keys come to a size; one at least."""
    size = 0
    for place, kv in enumerate(kvs):
        size += size_of(kv)
        if size > size_bytes_max and place:
            return place
    return len(kvs)


def _read_items(
    view: View, query: Range, low: bytes, high: bytes | None, size_bytes_max: int | None
) -> RangeResult:
    """The range with a delimiter: items are keys and children, in one ascending order.

    A child sorts before every key below it and after every key that sorts before those, so that walking the keys in
    order meets the items in order.
    """
    page = _Page(query, size_bytes_max)
    count = 0
    for item in _items(view, query, low, high):
        count += 1
        page.add(item)
    if query.count_only:
        return RangeResult((), count=count)
    kvs, children = tuple(page.kvs), tuple(page.children)
    return RangeResult(kvs, children, len(kvs) + len(children) < count, count)


def _items(
    view: View, query: Range, first: bytes, high: bytes | None
) -> Iterator[KeyValue | bytes]:
    """Yields the keys and the children that match, each child once, leaping over the keys below it."""
    prefix, delimiter = query.selector.key, query.delimiter
    low: bytes | None = first
    if query.start_after and query.start_after >= first:
        # All keys below one child are one item, and that is not greater than a start within it.
        child = child_of(query.start_after, prefix, delimiter)
        low = query.start_after + b"\0" if child is None else prefix_end(child)
    while low is not None and (high is None or low < high):
        for kv in view.scan(low, high):
            child = child_of(kv.key, prefix, delimiter)
            if child is None:
                yield kv
            else:
                yield child
                low = prefix_end(child)
                break
        else:
            return


class _Page:
    """Takes items until a limit or a size is reached, and none after that."""

    def __init__(self, query: Range, size_bytes_max: int | None) -> None:
        self.kvs: list[KeyValue] = []
        self.children: list[bytes] = []
        self._keys_only = query.keys_only
        self._limit = query.limit if query.limit > 0 else None
        self._size = 0
        self._size_max = size_bytes_max
        self._full = query.count_only

    def add(self, item: KeyValue | bytes) -> None:
        if self._full:
            return
        if isinstance(item, KeyValue) and self._keys_only:
            item = without_value(item)
        taken = len(self.kvs) + len(self.children)
        self._size += size_of(item)
        if taken == self._limit or (
            self._size_max is not None and self._size > self._size_max and taken
        ):
            self._full = True
        elif isinstance(item, bytes):
            self.children.append(item)
        else:
            self.kvs.append(item)


def without_value(kv: KeyValue) -> KeyValue:
    """Returns a key as a range that asks for keys only gives it."""
    return KeyValue(kv.key, b"", kv.create_revision, kv.mod_revision, kv.version, kv.session)


# --- compares ---------------------------------------------------------------------------------

_OPERATORS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}
PROPERTIES: dict[Order, Callable[[KeyValue], Any]] = {
    Order.KEY: operator.attrgetter("key"),
    Order.VERSION: operator.attrgetter("version"),
    Order.CREATE_REVISION: operator.attrgetter("create_revision"),
    Order.MOD_REVISION: operator.attrgetter("mod_revision"),
    Order.VALUE: operator.attrgetter("value"),
}
_NUMBERS: dict[Target, Callable[[KeyValue], int]] = {
    Target.VERSION: operator.attrgetter("version"),
    Target.CREATE_REVISION: operator.attrgetter("create_revision"),
    Target.MOD_REVISION: operator.attrgetter("mod_revision"),
    Target.SESSION: operator.attrgetter("session"),
}
_MEANINGLESS = Failure(
    Code.UNDECODABLE, "the operand or operator of a compare is not one its target takes"
)


def holds(view: View, compare: Compare) -> bool | Failure:
    """Returns whether a compare holds in the view; a Failure if it has no meaning.

    Over a range, the first key that decides it is the last one looked at.
    """
    operand, holds_for = compare.operand, _OPERATORS[compare.operator]
    if compare.target is Target.EXISTS:
        if operand not in (0, 1) or compare.operator > Operator.NOT_EQUAL:
            return _MEANINGLESS
        exists = next(_matches(view, compare.selector), None) is not None
        return holds_for(exists, operand == 1)
    if isinstance(operand, bytes) is not (compare.target is Target.VALUE):
        return _MEANINGLESS
    matches = _matches(view, compare.selector)
    first = next(matches, None)
    if compare.target is Target.VALUE:
        if first is None:
            return False
        return holds_for(first.value, operand) and all(
            holds_for(kv.value, operand) for kv in matches
        )
    number = _NUMBERS[compare.target]
    if first is None:
        return holds_for(0, operand)
    return holds_for(number(first), operand) and all(
        holds_for(number(kv), operand) for kv in matches
    )


def _matches(view: View, selector: Selector) -> Iterator[KeyValue]:
    if selector.end is None:
        kv = view.get(selector.key)
        return iter(()) if kv is None else iter((kv,))
    low, high = bounds(selector)
    return iter(()) if high is not None and low >= high else view.scan(low, high)
