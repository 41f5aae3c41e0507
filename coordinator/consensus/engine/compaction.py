"""Keeps the journal bounded: takes a snapshot when it has grown, then drops what the snapshot covers."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.membership import History
from coordinator.consensus.interface import Application, Capture
from coordinator.consensus.journal import Journal
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Description, Snapshot, SnapshotStore, SnapshotWriter
from coordinator.errors import FatalError, RequestError, Status

_log = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT)
P = ParamSpec("P")
T = TypeVar("T")
OPEN_ATTEMPTS_MAX = 3
"""One snapshot may be under way that is too old, and one more may fail."""


def _add(writer: SnapshotWriter, encode: Callable[[], bytes]) -> None:
    writer.add(encode())


class HeldSnapshot:
    """Implements `interface.OpenSnapshot`."""

    def __init__(self, snapshot: Snapshot, store: SnapshotStore, held: list[HeldSnapshot]) -> None:
        self.snapshot = snapshot
        self._store = store
        self._held = held
        held.append(self)

    @property
    def index(self) -> int:
        return self.snapshot.index

    @property
    def term(self) -> int:
        return self.snapshot.term

    @property
    def size(self) -> int:
        return self.snapshot.size

    async def read(self, offset: int, size: int) -> bytes:
        return await asyncio.to_thread(self._store.read, self.snapshot, offset, size)

    def close(self) -> None:
        if self in self._held:
            self._held.remove(self)


class Compaction:
    """This member's own snapshots; at most one is being written."""

    def __init__(
        self,
        config: EngineConfig,
        core: Core,
        journal: Journal,
        store: SnapshotStore,
        history: History,
        application: Application,
        *,
        in_use: Callable[[], Sequence[Snapshot]],
        changed: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`in_use` names snapshots that others are being sent.

        `changed` is called when the journal was shortened, `failed` when a snapshot can't be written.
        """
        self._config = config
        self._core = core
        self._journal = journal
        self._store = store
        self._application = application
        self._changed = changed
        self._failed = failed
        self._history = history
        self._in_use = in_use
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        """Its own: what else runs on threads must not hold a snapshot up, and a large one must not hold that up."""
        self._held: list[HeldSnapshot] = []
        self._cancelled = False
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
        if self._writing is None and not self._cancelled:
            index = self._core.applied_index
            if index <= max(self.newest_index, 1):
                return None
            description = Description(index, self._core.term_at(index), self._history.at(index))
            capture = self._application.capture()
            self._writing = asyncio.get_running_loop().create_task(
                self._write(description, capture)
            )
        return self._writing

    async def open(self) -> HeldSnapshot:
        """Returns a snapshot of all that is applied now, or later, and keeps its file. Raises RequestError."""
        wanted = self._core.applied_index
        for _ in range(OPEN_ATTEMPTS_MAX):
            if self.newest is not None and self.newest.index >= wanted:
                return HeldSnapshot(self.newest, self._store, self._held)
            writing = self.begin()
            if writing is None:
                break
            await asyncio.wait([writing])
        raise RequestError(
            Status.UNAVAILABLE,
            "NO_SNAPSHOT",
            "this member could not write a snapshot: it is stopping, or its disk is full",
        )

    def note_received(self, snapshot: Snapshot) -> None:
        """A snapshot came from the leader and is on disk."""
        if snapshot.index > self.newest_index:
            self.newest = snapshot

    async def stop(self) -> None:
        """Calls off what is being written."""
        self._cancelled = True
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._thread.shutdown(wait=False)

    async def _write(self, description: Description, capture: Capture) -> None:
        try:
            snapshot = await self._write_slices(description, capture)
            if snapshot is None:
                return
            if snapshot.index >= self.newest_index:
                self.newest = snapshot
                self._history.snapshot_taken(snapshot.index)
                self._shorten_journal(snapshot.index)
            in_use = [sent.name for sent in self._in_use()]
            in_use += [held.snapshot.name for held in self._held]
            await self._on_thread(self._store.remove_older, snapshot, in_use)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                # The log says the same; another try follows when it has grown some more.
                _log.warning("no room to write a snapshot: %s", error)
                self._size_floor = self._journal.size_bytes
                return
            failure = FatalError(f"can't write a snapshot: {error}")
            failure.__cause__ = error
            self._failed(failure)
        finally:
            capture.release()
            self._writing = None
        self._changed()

    async def _write_slices(self, description: Description, capture: Capture) -> Snapshot | None:
        """Reads on the loop, slice by slice; encodes, compresses and writes on the thread. None: it was called off."""
        writer = await self._on_thread(self._store.begin, description)
        try:
            while not self._cancelled and (encode := capture.read()) is not None:
                await self._on_thread(_add, writer, encode)
            if not self._cancelled:
                return await self._on_thread(writer.finish)
        except OSError:
            await self._on_thread(writer.cancel)
            raise
        await self._on_thread(writer.cancel)
        return None

    async def _on_thread(self, call: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _shorten_journal(self, index: int) -> None:
        """Keeps the entry of the snapshot and some before it, for followers that are a little behind."""
        first = self._journal.first_index
        budget = self._config.journal_size_bytes_max // 4
        keep = index
        sent = min((snapshot.index for snapshot in self._in_use()), default=index)
        if sent < keep and self._journal.size_bytes < 4 * self._config.journal_size_bytes_max:
            # Else the follower that is being sent it would need another snapshot after this one.
            keep = max(first, sent)
        while keep > first and index - keep < self._config.retained_entries:
            entry = self._journal.entry(keep - 1)
            if entry is None or (budget := budget - len(entry.content)) < 0:
                break
            keep -= 1
        self._journal.drop_before(keep)
        self._size_floor = self._journal.size_bytes
