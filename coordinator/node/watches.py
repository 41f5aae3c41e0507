"""Watches of this member's clients, served from its own applied history.

A watcher is *synced* when all that remains for it is still to come: new batches are matched once
for all watchers of the same selector and put in its queue. A watcher whose queue has grown too
long, or that starts in the past, is *unsynced*: it owns no queue and reads history, a slice at a
time, until it has caught up. So a slow client costs a bounded amount of memory and no other
client's time. When history it needs is compacted away, the watch ends and says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable, Sequence

from coordinator.config import Limits
from coordinator.node.selector_index import SelectorIndex
from coordinator.state.commands import Range, Selector
from coordinator.state.machine import StateMachine
from coordinator.state.model import Batch, Event, KeyValue
from coordinator.state.results import Failure

REPLAY_BATCHES = 256
"""Batches of history that one watcher reads before others have their turn."""


class Filter:
    """Which events a watcher is told of. Watchers with equal filters share the work of matching."""

    __slots__ = ("identity", "no_delete", "no_put", "selector")

    def __init__(self, selector: Selector, no_put: bool = False, no_delete: bool = False) -> None:
        self.selector = selector
        self.no_put = no_put
        self.no_delete = no_delete
        self.identity = (selector.key, selector.end, no_put, no_delete)

    def match(self, batch: Batch) -> tuple[Event, ...]:
        """Returns the events of a batch that pass, in order."""
        key, end = self.selector.key, self.selector.end
        return tuple(
            event
            for event in batch.events
            if (
                event.key == key
                if end is None
                else event.key >= key and (not end or event.key < end)
            )
            and not (self.no_put if event.kv is not None else self.no_delete)
        )


class MatchedBatch:
    """The events of one revision that pass a filter; shared by all watchers with that filter."""

    __slots__ = ("events", "rendered", "revision")

    def __init__(self, revision: int, events: tuple[Event, ...]) -> None:
        self.revision = revision
        self.events = events
        self.rendered: dict[Hashable, object] = {}
        """Room for whoever encodes: one encoding serves all watchers that get the same bytes."""


class Snapshot:
    """A part of the matching keys at one revision."""

    __slots__ = ("kvs", "last", "revision")

    def __init__(self, kvs: Sequence[KeyValue], revision: int, last: bool) -> None:
        self.kvs = kvs
        self.revision = revision
        self.last = last


class Compacted:
    """The watch ends: history up to `revision` is gone."""

    __slots__ = ("revision",)

    def __init__(self, revision: int) -> None:
        self.revision = revision


Delivery = list[MatchedBatch] | Snapshot | Compacted


class Watcher:
    """The record of one watch."""

    __slots__ = (
        "filter",
        "next_revision",
        "queue",
        "ready",
        "snapshot_after",
        "snapshot_revision",
        "stream",
        "synced",
        "variant",
        "watch_id",
    )

    def __init__(
        self,
        watch_id: int,
        filter_: Filter,
        next_revision: int,
        stream: WatchStream,
        variant: Hashable = None,
    ) -> None:
        self.watch_id = watch_id
        self.variant = variant
        self.filter = filter_
        self.stream = stream
        # Unsynced: the next revision to read. Synced: events of earlier revisions are not its business.
        self.next_revision = next_revision
        self.synced = False
        self.queue: deque[MatchedBatch] = deque()
        self.ready = False
        # 0: no snapshot is owed.
        self.snapshot_revision = 0
        self.snapshot_after = b""

    @property
    def idle(self) -> bool:
        """Whether everything up to the applied revision has been delivered."""
        return self.synced and not self.queue and not self.snapshot_revision


class _Group:
    """Watchers with equal filters."""

    __slots__ = ("filter", "watchers")

    def __init__(self, filter_: Filter) -> None:
        self.filter = filter_
        # A dict for its order: deliveries must not depend on where objects lie in memory.
        self.watchers: dict[Watcher, None] = {}


class WatchHub:
    """All watches of this member."""

    def __init__(self, state: StateMachine, limits: Limits) -> None:
        self._state = state
        self._limits = limits
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._index = SelectorIndex[_Group]()
        self._revision = state.revision
        self.count = 0

    @property
    def state(self) -> StateMachine:
        """The state that watches report of."""
        return self._state

    @property
    def full(self) -> bool:
        """Whether this member has as many watches as it may have."""
        return self.count >= self._limits.watches_max

    def publish(self, batches: Iterable[Batch]) -> None:
        """Hands new batches, already part of the state, to the watchers that they concern."""
        for batch in batches:
            self._revision = batch.revision
            for group in self._concerned(batch):
                events = group.filter.match(batch)
                if events:
                    self._deliver(group, MatchedBatch(batch.revision, events))

    def _concerned(self, batch: Batch) -> Iterable[_Group]:
        if len(batch.events) == 1:
            return self._index.find(batch.events[0].key)
        return dict.fromkeys(g for event in batch.events for g in self._index.find(event.key))

    def _deliver(self, group: _Group, matched: MatchedBatch) -> None:
        backlog_max = self._limits.watch_backlog_batches_max
        for watcher in group.watchers:
            if not watcher.synced or matched.revision < watcher.next_revision:
                continue
            if len(watcher.queue) >= backlog_max:
                watcher.next_revision = watcher.queue[0].revision
                watcher.queue.clear()
                watcher.synced = False
            else:
                watcher.queue.append(matched)
            watcher.stream.wake(watcher)

    def state_replaced(self) -> None:
        """A snapshot replaced the state: watchers replay what it skipped from the history it carries."""
        before = self._revision
        self._revision = self._state.revision
        for group in self._groups.values():
            for watcher in group.watchers:
                if watcher.synced:
                    if watcher.queue:
                        watcher.next_revision = watcher.queue[0].revision
                        watcher.queue.clear()
                    else:
                        watcher.next_revision = max(watcher.next_revision, before + 1)
                    watcher.synced = False
                watcher.stream.wake(watcher)

    def add(self, watcher: Watcher) -> None:
        """Begins to match batches for a watcher."""
        filter_ = watcher.filter
        group = self._groups.get(filter_.identity)
        if group is None:
            group = self._groups[filter_.identity] = _Group(filter_)
            self._index.add(filter_.selector, group)
        group.watchers[watcher] = None
        self.count += 1

    def remove(self, watcher: Watcher) -> None:
        """Forgets a watcher."""
        filter_ = watcher.filter
        group = self._groups[filter_.identity]
        del group.watchers[watcher]
        if not group.watchers:
            del self._groups[filter_.identity]
            self._index.remove(filter_.selector, group)
        self.count -= 1


class WatchStream:
    """The watches that one client holds on one stream; those that have something to tell take turns."""

    def __init__(self, hub: WatchHub, limits: Limits) -> None:
        self._hub = hub
        self._limits = limits
        self._watchers: dict[int, Watcher] = {}
        self._ready: deque[Watcher] = deque()
        self._wake = asyncio.Event()

    @property
    def watchers(self) -> dict[int, Watcher]:
        """The watches by their id."""
        return self._watchers

    @property
    def ready_count(self) -> int:
        """How many watches have something to deliver, or had and are over."""
        return len(self._ready)

    def create(
        self,
        watch_id: int,
        filter_: Filter,
        start_revision: int,
        *,
        snapshot: bool = False,
        variant: Hashable = None,
    ) -> Watcher:
        """Begins a watch at `start_revision`, or with a snapshot of the current state.

        What watches of one `variant` are told alike, they are told in the same bytes; see `take_alike`.
        To be called in the same turn of the loop in which the revision was decided on.
        """
        watcher = Watcher(watch_id, filter_, start_revision, self, variant)
        if snapshot:
            watcher.snapshot_revision = self._hub.state.revision
            watcher.next_revision = watcher.snapshot_revision + 1
        watcher.synced = watcher.next_revision > self._hub.state.revision
        self._watchers[watch_id] = watcher
        self._hub.add(watcher)
        if snapshot or not watcher.synced:
            self.wake(watcher)
        return watcher

    def cancel(self, watch_id: int) -> bool:
        """Ends a watch; False if there is none with this id."""
        watcher = self._watchers.pop(watch_id, None)
        if watcher is None:
            return False
        self._hub.remove(watcher)
        watcher.ready = True  # keeps a late wake from queueing it; _ready may still hold it
        return True

    def close(self) -> None:
        """Ends all watches of the stream."""
        for watch_id in list(self._watchers):
            self.cancel(watch_id)

    def wake(self, watcher: Watcher) -> None:
        """A watcher has something to deliver."""
        if not watcher.ready:
            watcher.ready = True
            self._ready.append(watcher)
            self._wake.set()

    async def wait(self) -> None:
        """Returns when some watcher has something to deliver."""
        await self._wake.wait()

    def take_alike(self) -> list[tuple[Hashable, list[MatchedBatch], list[int]]]:
        """Takes the new events of all watches that are synced: for each variant, what which watches are told.

        Each watch is in there once at most. Those that are behind are left to `take`.
        """
        alike: dict[Hashable, tuple[Hashable, list[MatchedBatch], list[int]]] = {}
        ready, behind = self._ready, deque[Watcher]()
        watchers = self._watchers
        for watcher in ready:
            watch_id, queue = watcher.watch_id, watcher.queue
            if watchers.get(watch_id) is not watcher:
                continue
            if (
                not watcher.synced
                or watcher.snapshot_revision
                or not 0 < len(queue) <= REPLAY_BATCHES
            ):
                behind.append(watcher)
                continue
            identity = (watcher.variant, *map(id, queue))
            entry = alike.get(identity)
            if entry is None:
                alike[identity] = (watcher.variant, list(queue), [watch_id])
            else:
                entry[2].append(watch_id)
            watcher.ready = False
            queue.clear()
        self._ready = behind
        if not behind:
            self._wake.clear()
        return list(alike.values())

    def take(self) -> tuple[Watcher, Delivery] | None:
        """Returns the next thing to tell the client; None: nothing for now.

        The list of batches is empty when a slice of history held nothing for the watcher: the caller lets others run
        before it asks again.
        """
        while self._ready:
            watcher = self._ready.popleft()
            if self._watchers.get(watcher.watch_id) is not watcher:
                continue
            watcher.ready = False
            delivery = self._next(watcher)
            if isinstance(delivery, Compacted):
                self.cancel(watcher.watch_id)
            elif not watcher.idle:
                self.wake(watcher)
            if isinstance(delivery, Compacted) or delivery or not watcher.synced:
                if not self._ready:
                    self._wake.clear()
                return watcher, delivery
        self._wake.clear()
        return None

    def _next(self, watcher: Watcher) -> Delivery:
        if watcher.snapshot_revision:
            return self._read_snapshot(watcher)
        if not watcher.synced:
            return self._replay(watcher)
        taken = [watcher.queue.popleft() for _ in range(min(len(watcher.queue), REPLAY_BATCHES))]
        return taken

    def _read_snapshot(self, watcher: Watcher) -> Snapshot | Compacted:
        revision = watcher.snapshot_revision
        result = self._hub.state.range(
            Range(watcher.filter.selector, revision=revision, start_after=watcher.snapshot_after),
            size_bytes_max=self._limits.watch_message_size_bytes_max,
        )
        if isinstance(result, Failure):
            return Compacted(self._hub.state.compacted_revision)
        if result.more:
            watcher.snapshot_after = result.kvs[-1].key
        else:
            watcher.snapshot_revision = 0
        return Snapshot(result.kvs, revision, not result.more)

    def _replay(self, watcher: Watcher) -> Delivery:
        batches = self._hub.state.batches(watcher.next_revision, REPLAY_BATCHES)
        if isinstance(batches, Failure):
            return Compacted(self._hub.state.compacted_revision)
        found: list[MatchedBatch] = []
        for batch in batches:
            events = watcher.filter.match(batch)
            if events:
                found.append(MatchedBatch(batch.revision, events))
            watcher.next_revision = batch.revision + 1
        # Revision 1 is that of the empty store: nothing is there to be read, and nothing is missing.
        watcher.synced = not batches or watcher.next_revision > self._hub.state.revision
        return found
