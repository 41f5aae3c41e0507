"""A lock that several may hold at the same time."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from coordinator_client._async.held import Held


class Semaphore(Held):
    """One of a number of permits, given to those who ask in their order; made by `Client.semaphore`.

    Use it as a context manager, or call `acquire` and `release`. One object holds one permit.
    """

    async def acquire(self, timeout_s: float | None = None) -> int:
        """Waits for a permit, at most `timeout_s` seconds, and for ever by default; returns the fence.

        With 0 it takes a permit only if one is free. Raises what `Lock.acquire` raises, and InvalidArgument if another
        program speaks of another number of permits.
        """
        return await self._claim(self._queue.owner, timeout_s)

    async def release(self) -> bool:
        """Gives the permit back; returns whether it was held until then. Releasing again does nothing."""
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
