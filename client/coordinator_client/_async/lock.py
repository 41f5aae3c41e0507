"""Locks: one holder at a time, or one writer and any number of readers in turn."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from coordinator_client import _io_async as io
from coordinator_client import errors, validation
from coordinator_client._async.held import Held
from coordinator_client._async.place import Queue


class Lock(Held):
    """A fair lock: whoever asked first has it first; made by `Client.lock`, or by an RWLock for one of its sides.

    Use it as a context manager, or call `acquire` and `release`. A holder that the cluster can't reach for the TTL
    loses it: `lost` is set and the block ends with SessionLost, unless it ends with another exception.
    """

    def __init__(
        self,
        queue: Queue,
        reentrant: bool,
        on_lost: Callable[[Any], None] | None,
    ) -> None:
        super().__init__(queue, on_lost)
        self._reentrant = validation.flag(reentrant, "reentrant")
        self._depth = 0
        self._holder: object = None
        """The task or thread that acquired it."""

    async def acquire(self, timeout_s: float | None = None) -> int:
        """Waits for its turn, at most `timeout_s` seconds, and for ever by default; returns the fence.

        With 0 it takes the lock only if it is free. Raises DeadlineExceeded after `timeout_s`, and SessionLost if the
        place in the queue was lost. Whenever it raises, and when it is cancelled, the place was given back.

        A reentrant lock counts how often its task or thread has it. Any other acquire while it is held raises
        RequestRefused with the reason ALREADY_HELD.
        """
        with self._guard:
            again = self._reentrant and self._depth > 0 and self._holder == io.current()
            if again:
                if self.lost.is_set():
                    raise errors.SessionLost(self.lost_reason)
                self._depth += 1
                return self.fence
        fence = await self._claim(self._queue.owner, timeout_s)
        with self._guard:
            self._holder, self._depth = io.current(), 1
        return fence

    async def release(self) -> bool:
        """Gives the lock to the next one; returns whether it was held until then.

        False: it was lost, or is not held. Releasing again does nothing. A reentrant lock is given away when it was
        released as often as it was acquired. If the cluster can't be reached, the lock goes with the session's TTL.
        """
        with self._guard:
            if self._depth > 1:
                self._depth -= 1
                return not self.lost.is_set()
            self._holder, self._depth = None, 0
        return await self._give_back()

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        holding = self._place is not None
        self._check_kept(holding=holding, kept=await self.release(), error=error)


class RWLock:
    """A fair lock that readers share and writers have alone; made by `Client.rwlock`.

    Nobody overtakes: a reader that comes after a waiting writer waits for it. A `Client.lock` of the same name is a
    writer, too.
    """

    def __init__(self, make_reader: Callable[[], Lock], make_writer: Callable[[], Lock]) -> None:
        self._make_reader = make_reader
        self._make_writer = make_writer

    def reader(self) -> Lock:
        """Returns a new lock that is shared with other readers."""
        return self._make_reader()

    def writer(self) -> Lock:
        """Returns a new lock that excludes everybody else."""
        return self._make_writer()
