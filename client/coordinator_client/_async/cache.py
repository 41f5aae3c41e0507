"""A live copy of the keys of a prefix."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from coordinator_client import _io_async as io
from coordinator_client import errors, validation
from coordinator_client._async.reader import Reader
from coordinator_client._async.watch import Watch
from coordinator_client.copies import CacheChange, CopyBuffer, OrderedCopy
from coordinator_client.failures import Backoff
from coordinator_client.model import KeyValue

_log = logging.getLogger("coordinator_client")

FILL_TIMEOUT_S = 60.0
JOIN_TIMEOUT_S = 10.0


class CacheChanges(Reader[CacheChange]):
    """An iterator over the changes of a cache; made by `Cache.changes`.

    It begins with one change for every key that there is. A reader that falls behind sees, for each key, what the
    changes it missed come to.
    """


class Cache:
    """The keys of a prefix, kept current in the background; made by `Client.cache`.

    Use it as a context manager: when the block is entered, the copy is that of then or later. It shows the keys as of
    one revision at a time, never parts of two, and never goes back. While no node can be reached it shows the last
    known state, and `stale` is True. Reads are plain calls that take no round trip.
    """

    def __init__(
        self, watch: Watch, prefix: bytes, on_change: Callable[[CacheChange], None] | None
    ) -> None:
        self._watch = watch
        self._copy = OrderedCopy(prefix)
        self._on_change = on_change
        self._readers: weakref.WeakSet[Reader[CacheChange]] = weakref.WeakSet()
        self._waiting: dict[io.Flag, int] = {}
        """The revision that each one waits for."""
        self._guard = io.Guard()
        self._asking = False
        self._closed = io.Flag()
        self._error: errors.CoordinatorError | None = None
        self._worker: io.Worker | None = None

    def __repr__(self) -> str:
        if self._closed.is_set():
            state = "closed"
        elif self._error is not None:
            state = "ended"
        elif self._worker is None:
            state = "not open yet"
        else:
            state = "stale" if self.stale else f"at {self._watch.endpoint}"
        prefix = self.prefix.decode(errors="backslashreplace")
        return (
            f"<{type(self).__name__} of {prefix}*: {state}, "
            f"{len(self)} keys as of revision {self.revision}>"
        )

    @property
    def prefix(self) -> bytes:
        """What all keys of the cache start with."""
        return self._copy.prefix

    @property
    def revision(self) -> int:
        """Everything up to this revision is in the cache; 0 before it was opened."""
        return self._copy.revision

    @property
    def stale(self) -> bool:
        """Whether no node brings news now: before `open`, after the end, and while another node is looked for."""
        return self._worker is None or self._error is not None or not self._watch.served

    # --- reads ----------------------------------------------------------------------------------

    def get(self, key: str | bytes) -> KeyValue | None:
        """Returns a key, or None if it does not exist; raises InvalidArgument for a key without the prefix."""
        with self._guard:
            return self._copy.get(key)

    def range(
        self,
        key: str | bytes | None = None,
        *,
        prefix: bool = False,
        range_end: str | bytes | None = None,
        limit: int = 0,
    ) -> tuple[KeyValue, ...]:
        """Returns, in ascending order, all keys, those that start with `key` (`prefix`), or those in [key, range_end).

        All as of one revision; at most `limit` of them, 0: any number. Raises InvalidArgument for a range that is not
        within the cache.
        """
        limit = validation.whole(limit, "limit")
        prefix = validation.flag(prefix, "prefix")
        end = None if range_end is None else validation.to_bytes(range_end, "range_end")
        if prefix and end is not None:
            raise errors.InvalidArgument("give either prefix or range_end, not both")
        if key is None:
            start = self._copy.prefix
            prefix = end is None
        else:
            start = validation.to_bytes(key, "key")
        with self._guard:
            return self._copy.range(start, prefix=prefix, range_end=end, limit=limit)

    def __iter__(self) -> Iterator[KeyValue]:
        """Iterates over all keys in ascending order, as of one revision."""
        return iter(self.range())

    def __len__(self) -> int:
        return len(self._copy)

    def __contains__(self, key: str | bytes) -> bool:
        return self.get(key) is not None

    # --- life -----------------------------------------------------------------------------------

    async def open(self, *, timeout_s: float = FILL_TIMEOUT_S) -> Self:
        """Waits until the cache is filled, at most `timeout_s` seconds, and returns it.

        Raises Unavailable if no node answers, DeadlineExceeded, and what the cluster's refusal means.
        """
        if self._worker is not None or self._closed.is_set():
            raise errors.Closed("a cache is opened once")
        validation.timeout(timeout_s)
        try:
            await self._watch.open()
            self._copy.apply(await self._watch.next(timeout_s))
        except BaseException:
            await self._watch.close()
            raise
        self._worker = io.Worker(self._follow, "coordinator-cache")
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the cache and every iteration over its changes; reads keep showing the last known state."""
        if self._closed.is_set():
            return
        self._closed.set()
        await self._watch.close()
        if self._worker is not None:
            await self._worker.join(JOIN_TIMEOUT_S)
        self._wake_all()

    def check_open(self) -> None:
        """Raises Closed after `close`, and what ended the cache if something did."""
        if self._closed.is_set():
            raise errors.Closed("the cache is closed")
        if self._error is not None:
            raise self._error

    # --- changes --------------------------------------------------------------------------------

    def changes(self) -> CacheChanges:
        """Returns a new iterator over changes; it begins with one for every key there is."""
        with self._guard:
            start = self._copy.prefix
            known = self._copy.range(start, prefix=True, range_end=None, limit=0)
            reader = CacheChanges(self, CopyBuffer(known, self._copy.revision))
            self._readers.add(reader)
            return reader

    def forget(self, reader: Reader[CacheChange]) -> None:
        """The reader wants no more changes."""
        with self._guard:
            self._readers.discard(reader)
        reader.wake()

    async def wait_for_revision(self, revision: int, timeout_s: float | None = None) -> None:
        """Waits until everything up to `revision` is in the cache: for ever by default.

        With the revision that a write returned, the cache then shows that write. Raises DeadlineExceeded after
        `timeout_s` seconds, Closed after `close`, and what ended the cache.
        """
        validation.whole(revision, "revision")
        deadline_s = None if timeout_s is None else io.now_s() + validation.wait(timeout_s)
        reached = io.Flag()
        pauses = Backoff(1)
        with self._guard:
            self._waiting[reached] = revision
        try:
            while self.revision < revision:
                self.check_open()
                left_s = None if deadline_s is None else deadline_s - io.now_s()
                if left_s is not None and left_s <= 0:
                    raise errors.DeadlineExceeded(
                        f"the cache is at revision {self.revision} after {timeout_s} s, "
                        f"not at {revision}"
                    )
                # What happens to other keys is not told by itself, but when it is asked for. A node that has not
                # applied the revision yet is asked once more after a while.
                await self._ask()
                pause_s = pauses.next_s()
                await reached.wait(pause_s if left_s is None else min(pause_s, left_s))
        finally:
            with self._guard:
                self._waiting.pop(reached, None)

    async def _ask(self) -> None:
        with self._guard:
            if self._asking:
                return
            self._asking = True
        try:
            await self._watch.request_progress()
        finally:
            self._asking = False

    # --- in the background ----------------------------------------------------------------------

    async def _follow(self) -> None:
        try:
            async for batch in self._watch:
                with self._guard:
                    changes = self._copy.apply(batch)
                    for reader in list(self._readers) if changes else ():
                        reader.add(changes)
                    for reached, revision in self._waiting.items():
                        if revision <= self._copy.revision:
                            reached.set()
                self._tell(changes)
        except errors.CoordinatorError as error:
            _log.error("the cache of %r ended: %s", self.prefix, error)
            self._error = error
        else:
            self._error = errors.Closed("the client of the cache is closed")
        self._wake_all()

    def _tell(self, changes: list[CacheChange]) -> None:
        if self._on_change is None:
            return
        for change in changes:
            try:
                self._on_change(change)
            except Exception:
                _log.exception("on_change of the cache of %r failed", self.prefix)

    def _wake_all(self) -> None:
        with self._guard:
            for reader in list(self._readers):
                reader.wake()
            for reached in self._waiting:
                reached.set()
