"""A live view of a service."""

from __future__ import annotations

import logging
import weakref
from types import TracebackType
from typing import Self

from coordinator_client import _io_async as io
from coordinator_client import errors, validation
from coordinator_client._async.keeper import ViewKeeper
from coordinator_client._async.reader import Reader
from coordinator_client._async.watch import Watch
from coordinator_client.balancing import Balancer, Ejection, Policy
from coordinator_client.instances import Instance
from coordinator_client.model import EventBatch
from coordinator_client.stored_views import StoredView
from coordinator_client.views import Change, ChangeBuffer, ServiceTable

FILL_TIMEOUT_S = 10.0
KEEP_WAIT_S = 1.0

_log = logging.getLogger("coordinator_client")


class Changes(Reader[Change]):
    """An iterator over what happens to the instances of a service; made by iterating over a ServiceView.

    It begins with one `added` for every instance that there is. A reader that falls behind sees, for each instance,
    what the changes it missed come to.
    """


class ServiceView:
    """The instances of a service, kept current in the background; made by `Client.discover`.

    Use it as a context manager: when the block is entered, `instances()` shows the cluster's state as of then or
    later. While no node can be reached it shows the last known state.
    """

    def __init__(
        self,
        watch: Watch,
        table: ServiceTable,
        keeper: ViewKeeper | None = None,
        keep_wait_s: float = KEEP_WAIT_S,
    ) -> None:
        self._watch = watch
        self._table = table
        self._keeper = keeper
        self._keep_wait_s = keep_wait_s
        self._told = False
        """Whether a node told what is shown; until then it comes from a file."""
        self._readers: weakref.WeakSet[Reader[Change]] = weakref.WeakSet()
        self._guard = io.Guard()
        self._closed = io.Flag()
        self._error: errors.CoordinatorError | None = None
        self._worker: io.Worker | None = None

    def __repr__(self) -> str:
        if self._closed.is_set():
            state = "closed"
        elif self._error is not None:
            state = "ended"
        else:
            state = "not open yet" if self._worker is None else f"at {self._watch.endpoint}"
        count = len(self.instances())
        return (
            f"<{type(self).__name__} of {self.service}: {state}, "
            f"{count} instances as of revision {self.revision}>"
        )

    @property
    def service(self) -> str:
        """The name of the service."""
        return self._table.service

    @property
    def revision(self) -> int:
        """The revision of the newest change (of this service) that the view contains."""
        return self._table.revision

    @property
    def stale(self) -> bool:
        """Whether no node tells of changes now: `instances()` is what was known last, perhaps by another program."""
        return not (self._told and self._watch.served)

    def balancer(
        self,
        policy: Policy | None = None,
        *,
        tag: str | None = None,
        zone: str | None = None,
        ejection: Ejection | None = Ejection(),  # noqa: B008  # frozen
    ) -> Balancer:
        """Returns what spreads calls over the healthy instances of this view; see `Balancer`."""
        return Balancer(self.instances, policy, tag=tag, zone=zone, ejection=ejection)

    def instances(self) -> tuple[Instance, ...]:
        """Returns all instances in order of registration, which is the same on every client."""
        return self._table.instances

    async def open(self) -> Self:
        """Waits until the view is filled, and returns it; raises Unavailable, DeadlineExceeded, …

        A view that is kept in a file is filled from there if no node can be reached; it is `stale` then.
        """
        stored = None if self._keeper is None else await self._keeper.load()
        try:
            if stored is None:
                await self._watch.open()
                self._take(await self._watch.next(FILL_TIMEOUT_S))
            else:
                await self._fill_in_time(stored)
        except BaseException:
            await self._watch.close()
            raise
        if self._keeper is not None:
            self._keeper.start()
        self._worker = io.Worker(self._follow, f"coordinator-discover-{self.service}")
        return self

    async def _fill_in_time(self, stored: StoredView) -> None:
        try:
            self._take(await self._watch.next(self._keep_wait_s))
        except errors.DeadlineExceeded:
            _log.warning(
                "no node tells the instances of %s: those of revision %d are shown",
                self.service, stored.revision,
            )  # fmt: skip
            self._table.apply(stored.batch())

    def _take(self, batch: EventBatch) -> list[Change]:
        """Takes what a node told."""
        changes = self._table.apply(batch)
        if self._keeper is not None:
            self._keeper.note(batch)
        self._told = True
        return changes

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Changes:
        return self.changes()

    def changes(self) -> Changes:
        """Returns a new iterator over changes; it begins with an `added` for every instance there is."""
        with self._guard:
            reader = Changes(self, ChangeBuffer(self._table.instances))
            self._readers.add(reader)
            return reader

    async def wait_for(self, n: int, timeout_s: float | None = None) -> tuple[Instance, ...]:
        """Waits until there are at least `n` instances, and returns all; raises DeadlineExceeded."""
        deadline_s = None if timeout_s is None else io.now_s() + validation.wait(timeout_s)
        validation.whole(n, "n")
        changes = self.changes()
        try:
            while len(self.instances()) < n:
                remaining_s = None if deadline_s is None else max(0.0, deadline_s - io.now_s())
                await changes.next(remaining_s)
        except errors.DeadlineExceeded:
            count = len(self.instances())
            if count < n:
                raise errors.DeadlineExceeded(
                    f"{self.service} has {count} instances after {timeout_s} s, not {n}"
                ) from None
        finally:
            await changes.close()
        return self.instances()

    def check_open(self) -> None:
        """Raises Closed after `close`, and what ended the view if something did."""
        if self._closed.is_set():
            raise errors.Closed("the view is closed")
        if self._error is not None:
            raise self._error

    def forget(self, reader: Reader[Change]) -> None:
        """The reader wants no more changes."""
        with self._guard:
            self._readers.discard(reader)
        reader.wake()

    async def close(self) -> None:
        """Ends the view and every iteration over it; `instances()` keeps the last known state."""
        if self._closed.is_set():
            return
        self._closed.set()
        await self._watch.close()
        if self._worker is not None:
            await self._worker.join(FILL_TIMEOUT_S)
        if self._keeper is not None:
            await self._keeper.close()
        self._wake_readers()

    async def _follow(self) -> None:
        try:
            async for batch in self._watch:
                with self._guard:
                    changes = self._take(batch)
                    for reader in list(self._readers) if changes else ():
                        reader.add(changes)
        except errors.CoordinatorError as error:
            _log.error("the view of %s ended: %s", self.service, error)
            self._error = error
        else:
            self._error = errors.Closed("the client of the view is closed")
        self._wake_readers()

    def _wake_readers(self) -> None:
        with self._guard:
            for reader in list(self._readers):
                reader.wake()
