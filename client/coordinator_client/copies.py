"""A copy of the keys of a prefix, and how it changes: pure bookkeeping behind `Client.cache`."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument
from coordinator_client.model import Cause, EventBatch, KeyValue

__all__ = ["CacheChange"]

SINGLE_MOVES_MAX = 64
"""Keys that are put into the order, or taken out, one by one; for more of them at once all is put in order anew."""


@dataclass(frozen=True, slots=True)
class CacheChange:
    """What happened to one key of a cache."""

    key: bytes
    kv: KeyValue | None
    """As it is now; None: it is gone."""
    prev: KeyValue | None
    """As the reader knew it before; None: it did not."""
    revision: int
    """Of the cache, when it showed the change."""
    cause: Cause = Cause.UNSPECIFIED
    """Of a removal: why; UNSPECIFIED when the removal itself was not seen (after a lost stretch of history)."""


class OrderedCopy:
    """All keys with a prefix, in order, as of one revision; built from the batches of a snapshot watch."""

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.revision = 0
        """Everything up to this revision is in the copy."""
        self._keys: list[bytes] = []
        self._kvs: dict[bytes, KeyValue] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str | bytes) -> KeyValue | None:
        """Returns a key; raises InvalidArgument for one that does not belong into the copy."""
        wanted = validation.to_bytes(key, "key")
        if not wanted.startswith(self.prefix):
            raise self._outside("key", wanted)
        return self._kvs.get(wanted)

    def range(
        self, start: bytes, *, prefix: bool, range_end: bytes | None, limit: int
    ) -> tuple[KeyValue, ...]:
        """Returns keys in ascending order: one, those that start with it, or those in [start, range_end)."""
        if not start.startswith(self.prefix):
            raise self._outside("key", start)
        if prefix:
            end = end_of_prefix(start)
        elif range_end is None:
            end = start + b"\0"
        else:
            end = None if range_end == b"\0" else range_end
            limit_of_all = end_of_prefix(self.prefix)
            if limit_of_all is not None and (end is None or end > limit_of_all):
                raise self._outside("range_end", range_end)
        first = bisect_left(self._keys, start)
        last = len(self._keys) if end is None else bisect_left(self._keys, end)
        if limit:
            last = min(last, first + limit)
        return tuple(self._kvs[key] for key in self._keys[first:last])

    def apply(self, batch: EventBatch) -> list[CacheChange]:
        """Takes a snapshot, all events of one revision, or a progress mark; returns what changed."""
        self.revision = max(self.revision, batch.revision)
        if batch.snapshot:
            return self._replace(batch)
        changes: list[CacheChange] = []
        for event in batch.events:
            prev = self._kvs.get(event.key)
            if event.is_put:
                self._kvs[event.key] = event.kv
                changes.append(CacheChange(event.key, event.kv, prev, batch.revision))
            elif prev is not None:
                del self._kvs[event.key]
                changes.append(CacheChange(event.key, None, prev, batch.revision, event.cause))
        self._reorder(changes)
        return changes

    def _replace(self, batch: EventBatch) -> list[CacheChange]:
        before = self._kvs
        self._kvs = {kv.key: kv for kv in batch.kvs}
        self._keys = sorted(self._kvs)
        gone = [key for key in before if key not in self._kvs]
        return [
            CacheChange(key, self._kvs.get(key), before.get(key), batch.revision)
            for key in (*sorted(gone), *self._keys)
            if before.get(key) != self._kvs.get(key)
        ]

    def _reorder(self, changes: list[CacheChange]) -> None:
        added = [change.key for change in changes if change.prev is None]
        gone = [change.key for change in changes if change.kv is None]
        if len(added) + len(gone) > SINGLE_MOVES_MAX:
            self._keys = [key for key in self._keys if key in self._kvs] + added
            self._keys.sort()
            return
        for key in gone:
            del self._keys[bisect_left(self._keys, key)]
        for key in added:
            insort(self._keys, key)

    def _outside(self, argument: str, key: bytes) -> InvalidArgument:
        prefix = self.prefix.decode(errors="backslashreplace")
        return InvalidArgument(
            f"{argument} {validation.shown(key)} is outside of the cache of {prefix}*"
        )


def end_of_prefix(prefix: bytes) -> bytes | None:
    """Returns the first key after all that start with the prefix; None: there is no such key."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else None


class CopyBuffer:
    """Changes that a reader has not taken yet, at most one for each key: what those that it missed come to."""

    def __init__(self, known: Iterable[KeyValue], revision: int) -> None:
        self._pending = {kv.key: CacheChange(kv.key, kv, None, revision) for kv in known}

    def add(self, change: CacheChange) -> None:
        """Takes a change."""
        pending = self._pending.pop(change.key, None)
        prev = change.prev if pending is None else pending.prev
        if change.kv is not None or prev is not None:
            self._pending[change.key] = CacheChange(
                change.key, change.kv, prev, change.revision, change.cause
            )

    def take(self) -> CacheChange | None:
        """Returns the oldest pending change."""
        for key in self._pending:
            return self._pending.pop(key)
        return None
