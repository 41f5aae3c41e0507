"""Keeps the journal bounded: takes a snapshot when it has grown, then drops what the snapshot covers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from coordinator.consensus.engine.core import Core
from coordinator.consensus.interface import Application, Capture
from coordinator.consensus.journal import Journal
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import (
    Description,
    Snapshot,
    SnapshotCancelled,
    SnapshotStore,
)
from coordinator.errors import FatalError


class Compaction:
    """This member's own snapshots; at most one is being written."""

    def __init__(
        self,
        config: EngineConfig,
        core: Core,
        journal: Journal,
        store: SnapshotStore,
        application: Application,
        *,
        changed: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`changed` is called when the journal was shortened, `failed` when a snapshot can't be written."""
        self._config = config
        self._core = core
        self._journal = journal
        self._store = store
        self._application = application
        self._changed = changed
        self._failed = failed
        self._members = tuple((peer.id, peer.name, peer.address) for peer in config.peers)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        """Its own: what else runs on threads must not hold a snapshot up, and a large one must not hold that up."""
        self._cancelled = threading.Event()
        self._size_floor = 0
        """The smallest size of the journal since the last snapshot."""
        self._writing: asyncio.Task[None] | None = None
        self.newest: Snapshot | None = None
        """The newest snapshot on disk, this member's own or a received one."""

    @property
    def newest_index(self) -> int:
        return self.newest.index if self.newest is not None else 0

    def drive(self) -> None:
        """Begins a snapshot if the journal has grown beyond its limit."""
        size, limit = self._journal.size_bytes, self._config.journal_size_bytes_max
        self._size_floor = min(self._size_floor, size)
        # What a snapshot could not make smaller must not call for the next one at once.
        if size > limit and size > self._size_floor + limit // 4:
            self.begin()

    def begin(self) -> asyncio.Task[None] | None:
        """Begins a snapshot of the state as it is; returns the one under way, None if there is nothing new."""
        if self._writing is None and not self._cancelled.is_set():
            index = self._core.applied_index
            if index <= max(self.newest_index, 1):
                return None
            description = Description(index, self._core.term_at(index), self._members)
            capture = self._application.capture()
            self._writing = asyncio.get_running_loop().create_task(
                self._write(description, capture)
            )
        return self._writing

    def note_received(self, snapshot: Snapshot) -> None:
        """A snapshot came from the leader and is on disk."""
        if snapshot.index > self.newest_index:
            self.newest = snapshot

    async def stop(self) -> None:
        """Calls off what is being written."""
        self._cancelled.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._thread.shutdown(wait=False)

    async def _write(self, description: Description, capture: Capture) -> None:
        loop = asyncio.get_running_loop()
        try:
            snapshot = await loop.run_in_executor(
                self._thread,
                lambda: self._store.write(description, capture.encode(), self._cancelled),
            )
            if snapshot.index >= self.newest_index:
                self.newest = snapshot
                self._shorten_journal(snapshot.index)
            await loop.run_in_executor(self._thread, self._store.remove_older, snapshot)
        except SnapshotCancelled:
            return
        except Exception as error:
            failure = FatalError(f"can't write a snapshot: {error}")
            failure.__cause__ = error
            self._failed(failure)
        finally:
            self._writing = None
        self._changed()

    def _shorten_journal(self, index: int) -> None:
        """Keeps the entry of the snapshot and some before it, for followers that are a little behind."""
        first = keep = self._journal.first_index
        budget = self._config.journal_size_bytes_max // 4
        keep = index
        while keep > first and index - keep < self._config.retained_entries:
            entry = self._journal.entry(keep - 1)
            if entry is None or (budget := budget - len(entry.content)) < 0:
                break
            keep -= 1
        self._journal.drop_before(keep)
        self._size_floor = self._journal.size_bytes
