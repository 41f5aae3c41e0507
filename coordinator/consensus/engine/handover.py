"""Transfer of leadership (Ongaro 2014, section 3.10): the target gets the whole log, then is asked to campaign.

No entry is appended meanwhile, so that the target's log stays as long as the leader's and it can't lose the election.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coordinator.consensus.codec import TimeoutNow
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.durability import Send
from coordinator.errors import RequestError, Status


class Handover:
    """At most one transfer at a time."""

    def __init__(
        self,
        core: Core,
        send: Send,
        connected: Callable[[int], bool],
        retry_s: float,
        kick: Callable[[], None],
    ) -> None:
        """`retry_s`: the target is asked again after this time."""
        self._core = core
        self._send = send
        self._connected = connected
        self._retry_s = retry_s
        self._kick = kick
        self._target: int | None = None
        self._asked_at: float | None = None
        self._done: asyncio.Future[bool] | None = None

    @property
    def active(self) -> bool:
        """Whether nothing may be appended because the leader is about to change."""
        return self._done is not None

    async def run(self, target: int | None, timeout_s: float) -> bool:
        """See `interface.Consensus.transfer_leadership`."""
        core = self._core
        if not core.leading:
            return False
        if self._done is not None:
            raise RequestError(
                Status.ABORTED, "TRANSFER_UNDER_WAY", "leadership is being transferred already"
            )
        if target == core.this:
            return True
        self._target = self._choose(target)
        if self._target is None:
            return False
        self._asked_at = None
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._done = done
        self._kick()
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            return False
        finally:
            self._done = None

    def drive(self) -> None:
        """Asks the target to campaign once it has everything."""
        core, target = self._core, self._target
        if self._done is None or target is None or core.match_index(target) < core.last_index:
            return
        if self._asked_at is None or core.now() - self._asked_at > self._retry_s:
            self._asked_at = core.now()
            self._send(target, TimeoutNow(core.term))

    def leadership_ends(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(True)

    def stop(self) -> None:
        """Ends a transfer under way."""
        if self._done is not None and not self._done.done():
            self._done.set_result(False)

    def _choose(self, target: int | None) -> int | None:
        core = self._core
        if target is None:
            reachable = [member for member in core.others if self._connected(member)]
            # Of equals the lowest id, so that the choice does not hang on the order of a set.
            return min(reachable, key=lambda m: (-core.match_index(m), m), default=None)
        if not core.is_voter(target):
            raise RequestError(
                Status.FAILED_PRECONDITION, "NOT_A_VOTER", f"member {target} is not a voter"
            )
        if not self._connected(target):
            raise RequestError(
                Status.UNAVAILABLE, "MEMBER_UNREACHABLE", f"member {target} can't be reached"
            )
        return target
