"""The keys as they were: found among those that are live and the old versions of all."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING

from sortedcontainers import SortedList

from coordinator.state.model import KeyValue

if TYPE_CHECKING:
    from coordinator.state.keyspace import Keyspace

mod_revision = attrgetter("mod_revision")


class Past:
    """The keys of a key space as they were at a revision that history holds."""

    def __init__(self, keyspace: Keyspace, revision: int) -> None:
        self._keyspace = keyspace
        self._revision = revision

    def get(self, key: bytes) -> KeyValue | None:
        live = self._keyspace._live.get(key)
        if live is not None and live.mod_revision <= self._revision:
            return live
        versions = self._keyspace._versions.get(key)
        if versions is None:
            return None
        index = bisect_right(versions, self._revision, key=mod_revision) - 1
        return versions[index] if index >= 0 and versions[index].version else None

    def scan(self, low: bytes, high: bytes | None) -> Iterator[KeyValue]:
        keyspace = self._keyspace
        present = keyspace._index.irange(low, high, (True, False))
        departed = keyspace._departed.irange(low, high, (True, False))
        for key in merge(present, departed):
            kv = self.get(key)
            if kv is not None:
                yield kv

    def count(self, low: bytes, high: bytes | None) -> int:
        """Counts by the changes since, or by the keys within the bounds, whichever are fewer."""
        keyspace = self._keyspace
        now = keyspace.count(low, high)
        changes_max = now + count_within(keyspace._departed, low, high)
        if keyspace.revision - self._revision > changes_max:
            return sum(1 for _ in self.scan(low, high))
        seen: set[bytes] = set()
        start, batches = (
            self._revision + 1 - keyspace._history.first_revision,
            keyspace._history.batches,
        )
        # By index: a slice would copy what may be all of history.
        for position in range(start, len(batches)):
            events = batches[position].events
            changes_max -= len(events)
            if changes_max < 0:
                return sum(1 for _ in self.scan(low, high))
            for event in events:
                key = event.key
                if key in seen or key < low or (high is not None and key >= high):
                    continue
                seen.add(key)
                now += (event.prev is not None) - (key in keyspace._live)
        return now


def count_within(keys: SortedList, low: bytes, high: bytes | None) -> int:
    """Returns how many keys of an ascending list are within the bounds [low, high)."""
    if not low and high is None:
        return len(keys)
    stop = len(keys) if high is None else keys.bisect_left(high)
    return max(stop - int(keys.bisect_left(low)), 0)
