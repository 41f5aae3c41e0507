"""The keys: as they are, as they were at every revision since compaction, and what changed at each.

A worked example, with the key `a` alone:

    revision   change      live        versions of a          departed
    2          put a=1     a=1@2
    3          put a=2     a=2@3       [1@2]
    4          delete a                [1@2, 2@3, gone@4]     a
    5          put a=3     a=3@5       [1@2, 2@3, gone@4]
    Compact(3), then tidy              [2@3, gone@4]
    Compact(4), then tidy              []

The version of a key at revision r is the live one if that is not younger than r, else the last of its old versions
that is not younger. A key created and never changed has no old versions at all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sortedcontainers import SortedList

from coordinator.state.history import History
from coordinator.state.model import Batch, Event, KeyValue
from coordinator.state.past import Past, count_within, mod_revision
from coordinator.state.results import Code, Failure
from coordinator.state.shelf import Shelf
from coordinator.state.tally import RECORD_OVERHEAD_BYTES, hash_of, size_of_key, weigh
from coordinator.state.view import View

FIRST_REVISION = 1
"""Of the empty store."""


def parent_of(key: bytes) -> bytes:
    """Returns the key up to and including its last slash: what its sequence number is counted for."""
    return key[: key.rfind(b"/") + 1]


class Keyspace:
    """Live keys, their old versions, and history. As a `View`, the keys as they are."""

    def __init__(self, base_revision: int = FIRST_REVISION, compacted_revision: int = 0) -> None:
        self.revision = base_revision
        self.compacted_revision = compacted_revision
        self.counters: Shelf[bytes, int] = Shelf()
        """The next sequence number of each parent that one was ever counted for; none is removed. See `count_on`."""
        self.hash_of_keys = self.hash_of_counters = 0
        self._size = 0  # of live keys and counters
        self._live: dict[bytes, KeyValue] = {}
        self._index: SortedList = SortedList()  # the keys of _live, ascending
        self._versions: dict[bytes, list[KeyValue]] = {}  # ascending; a tombstone has version 0
        self._departed: SortedList = SortedList()  # keys of _versions that are not live, ascending
        self._owned: dict[int, set[bytes]] = {}  # live keys by session, of sessions that own any
        self._history = History(base_revision + 1)
        self._tidied = 0  # events of the first batch of history that tidy has seen
        self._pins: list[int] = []  # revisions that someone still reads, compacted or not

    # --- the view -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._live)

    def get(self, key: bytes) -> KeyValue | None:
        return self._live.get(key)

    def scan(self, low: bytes, high: bytes | None) -> Iterator[KeyValue]:
        return map(self._live.__getitem__, self._index.irange(low, high, (True, False)))

    def count(self, low: bytes, high: bytes | None) -> int:
        return count_within(self._index, low, high)

    def at(self, revision: int) -> View | Failure:
        """Returns the keys at a revision (0: now), or a Failure if history does not hold it."""
        if revision in (0, self.revision):
            return self
        if revision > self.revision:
            return Failure(
                Code.FUTURE_REVISION, "the revision is in the future", value=self.revision
            )
        if revision < self.base_revision:
            return Failure(
                Code.COMPACTED, "the revision was compacted", value=self.compacted_revision
            )
        return Past(self, revision)

    def count_remembered(self, low: bytes, high: bytes | None, limit: int) -> int:
        """Returns how many keys within the bounds are live, or are gone but not from history; stops above `limit`.

        So many keys a range in the past may look at. The number is the same wherever compaction was tidied up or not:
        keys that only wait for `tidy` are not counted, and freed here, so that they are met but once if no one holds
        them.
        """
        count = self.count(low, high)
        stale = []
        for key in self._departed.irange(low, high, (True, False)):
            if count > limit:
                break
            # The last version of a key that is gone is its tombstone.
            if self._versions[key][-1].mod_revision <= self.compacted_revision:
                stale.append(key)
            else:
                count += 1
        horizon = self._horizon
        for key in stale:
            self._forget(key, horizon)
        return count

    def keys_of(self, session: int) -> tuple[bytes, ...]:
        """Returns the keys that a session owns, ascending."""
        return tuple(sorted(self._owned.get(session, ())))

    def key_count_of(self, session: int) -> int:
        return len(self._owned.get(session, ()))

    # --- history ------------------------------------------------------------------------------

    @property
    def base_revision(self) -> int:
        """The oldest revision that can be read; history begins with the one after it."""
        return max(self.compacted_revision, FIRST_REVISION)

    @property
    def history_size(self) -> int:
        """Revisions kept."""
        return self.revision - self.base_revision

    def batches(self, first_revision: int, limit: int) -> list[Batch] | Failure:
        """Returns at most `limit` batches of history from a revision on, in time proportional to `limit`."""
        if first_revision <= self.compacted_revision:
            return Failure(
                Code.COMPACTED, "the revision was compacted", value=self.compacted_revision
            )
        return self._history.slice(max(first_revision, self._history.first_revision), limit)

    def commit(self, events: tuple[Event, ...]) -> Batch:
        """Makes changes, at least one and no key twice, under the next revision.

        Each event's `prev` is the key as it is, and its `kv` already bears the new revision.
        """
        self.revision += 1
        hash = size = 0
        for place, event in enumerate(events):
            if event.kv is None:
                self._delete(event)
            else:
                self._put(event, event.kv)
            keys_hash, keys_size, history_hash, history_size = weigh(self.revision, place, event)
            self.hash_of_keys += keys_hash
            self._size += keys_size
            hash += history_hash
            size += history_size
        batch = Batch(self.revision, events)
        self._history.add(batch, hash, size)
        return batch

    def count_on(self, parent: bytes, number: int) -> None:
        """Sets the next sequence number of a parent."""
        old = self.counters.get(parent)
        if old is None:
            self._size += len(parent) + RECORD_OVERHEAD_BYTES
        else:
            self.hash_of_counters -= hash_of((parent, old))
        self.hash_of_counters += hash_of((parent, number))
        self.counters.set(parent, number)

    @property
    def hash_of_history(self) -> int:
        """The sum of the hashes of all revisions since compaction."""
        return self._history.hash_since(self.base_revision)

    @property
    def history_size_bytes(self) -> int:
        """Of all revisions since compaction, with the old versions they left."""
        return self._history.size_since(self.base_revision)

    @property
    def held_size_bytes(self) -> int:
        """Of revisions that were compacted and not freed yet, with the old versions they left."""
        return self._history.size_since(self._history.first_revision - 1) - self.history_size_bytes

    @property
    def size_bytes(self) -> int:
        """Of keys, history and counters."""
        return self._size + self.history_size_bytes

    def revision_to_compact(self, revisions_max: int, size_bytes_max: int) -> int | None:
        """Returns the least revision to compact to so that history is within bounds; None if it is."""
        revision = max(
            self.revision - revisions_max,
            min(self._history.least_since(size_bytes_max), self.revision),
        )
        return revision if revision > self.base_revision else None

    def _put(self, event: Event, kv: KeyValue) -> None:
        key, prev = event.key, event.prev
        if prev is None:
            self._index.add(key)
            if key in self._versions:
                self._departed.remove(key)
        else:
            self._retire(prev)
        self._live[key] = kv
        if kv.session:
            owned = self._owned.get(kv.session)
            if owned is None:
                self._owned[kv.session] = {key}
            else:
                owned.add(key)

    def _delete(self, event: Event) -> None:
        key, prev = event.key, event.prev
        assert prev is not None
        self._retire(prev)
        self._versions[key].append(KeyValue(key, b"", 0, self.revision, 0, 0))
        del self._live[key]
        self._index.remove(key)
        self._departed.add(key)

    def _retire(self, prev: KeyValue) -> None:
        versions = self._versions.get(prev.key)
        if versions is None:
            self._versions[prev.key] = [prev]
        else:
            versions.append(prev)
        if prev.session:
            owned = self._owned[prev.session]
            owned.discard(prev.key)
            if not owned:
                del self._owned[prev.session]

    # --- compaction ---------------------------------------------------------------------------

    def compact(self, revision: int) -> Failure | None:
        """Forgets history up to and including a revision. What is forgotten lies about until `tidy`."""
        if revision > self.revision:
            return Failure(
                Code.FUTURE_REVISION, "the revision is in the future", value=self.revision
            )
        if revision <= self.compacted_revision:
            return Failure(
                Code.COMPACTED, "the revision was compacted", value=self.compacted_revision
            )
        self.compacted_revision = revision
        return None

    @property
    def pinned(self) -> bool:
        return bool(self._pins)

    @property
    def _horizon(self) -> int:
        """The oldest revision that anyone reads: what is only of use before it may be freed."""
        return min(self.base_revision, *self._pins) if self._pins else self.base_revision

    @property
    def untidy(self) -> bool:
        """Whether `tidy` has something to do."""
        return self._horizon >= self._history.first_revision

    def tidy(self, budget: int) -> bool:
        """Frees what compaction left and no pin holds, looking at up to `budget` events; True if more is left."""
        horizon = self._horizon
        stale = horizon + 1 - self._history.first_revision
        done = 0
        while done < stale and budget > 0:
            events = self._history.batches[done].events
            stop = min(self._tidied + budget, len(events))
            for event in events[self._tidied : stop]:
                self._forget(event.key, horizon)
            budget -= stop - self._tidied
            self._tidied = stop
            if stop == len(events):
                self._tidied = 0
                done += 1
        if done:
            self._history.free(done)
        return done < stale

    def _forget(self, key: bytes, horizon: int) -> None:
        """Drops the versions of a key that no revision from the horizon on shows."""
        versions = self._versions.get(key)
        if versions is None:
            return
        live = self._live.get(key)
        if live is not None and live.mod_revision <= horizon:
            del self._versions[key]
            return
        index = bisect_right(versions, horizon, key=mod_revision) - 1
        if index >= 0 and not versions[index].version:
            index += 1
        if index > 0:
            del versions[:index]
        if not versions:
            del self._versions[key]
            if live is None:
                self._departed.remove(key)

    # --- holding still, and starting from a snapshot --------------------------------------------

    def pin(self) -> int:
        """Keeps the keys readable as they are at the base revision and ever after, until `unpin`; returns it.

        Compaction goes on as a number; what it left is freed when the last pin before it is gone.
        """
        self._pins.append(self.base_revision)
        return self.base_revision

    def unpin(self, revision: int) -> None:
        """Takes back one `pin`."""
        self._pins.remove(revision)

    def page(
        self, revision: int, start: bytes, keys_max: int, size_bytes_max: int
    ) -> tuple[list[KeyValue], bytes | None]:
        """Returns keys from `start` on as they were at a readable or pinned revision, and where to go on, if at all.

        Looks at `keys_max` keys, or ends with the one that makes keys and values come to `size_bytes_max`. Between
        pages the key space may change: what changes since the revision moves nothing from one page to another.
        """
        keys = list(islice(self._index.irange(start), keys_max))
        departed = list(islice(self._departed.irange(start), keys_max))
        if departed:
            keys = sorted(keys + departed)[:keys_max]
        last = keys[-1] if len(keys) == keys_max else None
        live, past = self._live, Past(self, revision)
        kvs: list[KeyValue] = []
        size = 0
        for key in keys:
            kv = live.get(key)
            if kv is None or kv.mod_revision > revision:
                kv = past.get(key)
                if kv is None:
                    continue
            kvs.append(kv)
            size += len(key) + len(kv.value)
            if size >= size_bytes_max:
                last = key
                break
        return kvs, None if last is None else last + b"\0"

    def recall(self, revision: int, limit: int) -> list[Batch]:
        """Returns at most `limit` batches from a revision on that is kept, or pinned though compacted."""
        return self._history.slice(revision, limit)

    def load(self, kvs: Sequence[KeyValue]) -> None:
        """Fills an empty key space with the keys at its base revision, in ascending order."""
        assert not self._live
        self._index.update(kv.key for kv in kvs)
        for kv in kvs:
            self._live[kv.key] = kv
            self.hash_of_keys += hash_of(kv)
            self._size += size_of_key(kv)
            if kv.session:
                self._owned.setdefault(kv.session, set()).add(kv.key)

    def containers(self) -> Iterator[dict[Any, Any] | list[Any] | SortedList]:
        """Yields all that takes memory in proportion to the content, for whoever empties a key space out of use."""
        yield from (self._live, self._index, self._versions, self._departed, self._owned)
        yield from self._history.containers()
        yield from self.counters.containers()

    def owners(self) -> Iterator[int]:
        """Yields the sessions that own keys, in no particular order."""
        return iter(self._owned)
