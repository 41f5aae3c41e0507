"""The state at one moment, held still on the loop while the machine goes on.

Taking a hold copies nothing. Keys and history have many versions: a pin keeps those of the moment. Of sessions and
counters there is but one version: shelves put aside what changes. All is read in pages, each in a moment.
"""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.state.keyspace import Keyspace
from coordinator.state.model import Batch, KeyValue
from coordinator.state.sessions import Sessions
from coordinator.state.snapshot import Head

PAGE_RECORDS_MAX = 1500
PAGE_SIZE_BYTES = 256 * 1024
"""A page of keys or batches closes at this size, or holds one larger record."""


class Hold:
    """What the state was when the hold was taken. To be released; its iterators are used before that, on the loop."""

    def __init__(self, keyspace: Keyspace, sessions: Sessions, cluster_id: int, term: int) -> None:
        self.head = Head(keyspace.revision, keyspace.compacted_revision, cluster_id, term)
        self.sessions = sessions.hold(PAGE_RECORDS_MAX)
        self._counters = keyspace.counters.hold()
        self._keyspace: Keyspace | None = keyspace
        self._base = keyspace.pin()

    def release(self) -> None:
        """Lets the machine free what it kept for this. Idempotent."""
        if self._keyspace is not None:
            self._keyspace.unpin(self._base)
            self._keyspace.counters.release(self._counters)
            self.sessions.release()
            self._keyspace = None

    def counters(self) -> Iterator[list[tuple[bytes, int]]]:
        """Yields pages of the next sequence numbers by parent, ascending."""
        return self._counters.pages(PAGE_RECORDS_MAX)

    def keys_at_base(self) -> Iterator[list[KeyValue]]:
        """Yields pages of the keys, ascending, as they were at the last compaction before the hold."""
        return self._keys(self._base)

    def keys_now(self) -> Iterator[list[KeyValue]]:
        """Yields pages of the keys, ascending, as they were when the hold was taken."""
        return self._keys(self.head.revision)

    def _keys(self, revision: int) -> Iterator[list[KeyValue]]:
        start: bytes | None = b""
        while start is not None:
            kvs, start = self._source.page(revision, start, PAGE_RECORDS_MAX, PAGE_SIZE_BYTES)
            yield kvs

    def batches(self) -> Iterator[Batch]:
        """Yields history since that compaction, for a reader that pauses after each as long as it likes."""
        revision = self._base + 1
        while revision <= self.head.revision:
            limit = min(PAGE_RECORDS_MAX, self.head.revision + 1 - revision)
            yield from self._source.recall(revision, limit)
            revision += limit

    @property
    def _source(self) -> Keyspace:
        assert self._keyspace is not None, "the hold was released"
        return self._keyspace
