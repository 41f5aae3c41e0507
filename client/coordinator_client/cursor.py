"""Where a watch stands: what has been delivered, how to ask for the rest, and what a message adds.

The cursor outlives streams. Suppose a watch that began at revision 5 received all of revisions 5 and 7 and the first
part of 8 when its node died: `request()` then asks another node to go on at 8, waits there until revision 7 is
applied, and names the cluster; the first part of 8 was kept back and is forgotten, because it comes again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from coordinator_client import calls, errors, validation
from coordinator_client.model import Event, EventBatch, KeyValue
from coordinator_client.pb import common_pb2, watch_pb2
from coordinator_client.updates import Update


@dataclass(frozen=True)
class WatchSpec:
    """What a watch was asked to report."""

    selector: common_pb2.Selector
    start_revision: int = 0
    snapshot: bool = False
    prev: bool = False
    puts: bool = True
    deletes: bool = True
    progress: bool = False
    local: bool = False
    min_revision: int = 0

    def __post_init__(self) -> None:
        validation.whole(self.start_revision, "start_revision")
        validation.whole(self.min_revision, "min_revision")
        for name in ("snapshot", "prev", "puts", "deletes", "progress", "local"):
            validation.flag(getattr(self, name), name)
        if self.snapshot and self.start_revision:
            raise errors.InvalidArgument("a watch with a snapshot has no start_revision")
        if not self.puts and not self.deletes:
            raise errors.InvalidArgument("a watch for neither puts nor deletes reports nothing")


class NodeUnsuited(Exception):
    """The node can't serve the watch now; another one may."""


class WatchCursor:
    """The state of one watch across streams."""

    def __init__(self, spec: WatchSpec) -> None:
        self.spec = spec
        self.created = False
        """Whether the stream in use has confirmed the watch."""
        self._ready: deque[EventBatch] = deque()
        self._next_revision = spec.start_revision
        self._cluster_id = 0
        self._snapshot_wanted = spec.snapshot
        self._snapshot: list[KeyValue] = []
        self._partial: list[Event] = []

    @property
    def next_revision(self) -> int:
        """The first revision that has not been received in full; 0: not known yet."""
        return self._next_revision

    def request(self) -> watch_pb2.WatchCreate:
        """Returns what to ask another stream for; what was received only in part is forgotten."""
        self.created = False
        self._snapshot.clear()
        self._partial.clear()
        spec = self.spec
        return watch_pb2.WatchCreate(
            selector=spec.selector,
            start_revision=0 if self._snapshot_wanted else self._next_revision,
            with_snapshot=self._snapshot_wanted,
            prev_kv=spec.prev,
            no_put=not spec.puts,
            no_delete=not spec.deletes,
            progress_notify=True,
            min_revision=max(spec.min_revision, self._floor()),
            local=spec.local,
            cluster_id=self._cluster_id,
        )

    def _floor(self) -> int:
        # A start in the future, as the user may give it, is nothing to wait for.
        return self._next_revision - 1 if self._cluster_id and self._next_revision else 0

    def receive(self, update: Update) -> None:
        """Takes what the watch is told; what it completes is then returned by `take`.

        Raises what a cancel means: Compacted, InvalidArgument, LimitExceeded, ClusterMismatch, or NodeUnsuited.
        """
        self._cluster_id = update.cluster_id or self._cluster_id
        message = update.response
        match update.kind:
            case "created":
                self.created = True
                if not self._snapshot_wanted and not self._next_revision:
                    self._next_revision = message.created.start_revision
            case "snapshot":
                self._add_snapshot(message.snapshot)
            case "events":
                for batch, partial in update.batches():
                    self._add_batch(batch, partial)
            case "progressed":
                self._add_progress(message.progressed.revision)
            case "canceled":
                self._cancel(message.canceled)

    def take(self) -> EventBatch | None:
        """Returns the next batch to deliver, if one is complete."""
        return self._ready.popleft() if self._ready else None

    def _add_snapshot(self, part: watch_pb2.WatchSnapshot) -> None:
        self._snapshot.extend(calls.key_value(kv) for kv in part.kvs)
        if part.last:
            kvs = tuple(self._snapshot)
            self._snapshot.clear()
            self._snapshot_wanted = False
            self._next_revision = part.revision + 1
            self._ready.append(EventBatch(part.revision, snapshot=True, kvs=kvs))

    def _add_batch(self, batch: EventBatch, partial: bool) -> None:
        if batch.revision < self._next_revision:
            return
        if partial or self._partial:
            self._partial.extend(batch.events)
            if partial:
                return
            batch = EventBatch(batch.revision, tuple(self._partial))
            self._partial.clear()
        self._next_revision = batch.revision + 1
        self._ready.append(batch)

    def _add_progress(self, revision: int) -> None:
        if self._snapshot_wanted or revision < self._next_revision:
            return
        self._next_revision = revision + 1
        if self.spec.progress:
            self._ready.append(EventBatch(revision, progress=True))

    def _cancel(self, canceled: watch_pb2.WatchCanceled) -> None:
        message = canceled.message or watch_pb2.WatchCanceled.Reason.Name(canceled.reason)
        match canceled.reason:
            case watch_pb2.WatchCanceled.REASON_COMPACTED:
                if self.spec.snapshot:
                    self._snapshot_wanted = True
                    raise NodeUnsuited(message)
                raise errors.Compacted(message, canceled.compacted_revision)
            case watch_pb2.WatchCanceled.REASON_INVALID:
                raise errors.InvalidArgument(message)
            case watch_pb2.WatchCanceled.REASON_LIMIT:
                raise errors.LimitExceeded(message)
            case watch_pb2.WatchCanceled.REASON_CLUSTER:
                raise errors.ClusterMismatch(message)
            case _:
                raise NodeUnsuited(message)
