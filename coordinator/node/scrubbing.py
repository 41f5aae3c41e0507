"""Looks through all of memory, round after round, for what is not as it was applied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from coordinator.config import Limits, Timing
from coordinator.errors import FatalError
from coordinator.node.integrity import WAY_OUT
from coordinator.state.machine import StateMachine
from coordinator.state.scrub import Scrub

SLICE_RECORDS = 1_000
"""Looked at in one turn of the loop: less than 2 ms."""
HASTE_MAX = 8
"""A round that held too much history back begins anew, faster; so many times at most."""

log = structlog.get_logger()


class Scrubbing:
    """One scrub after the other, a slice at a time."""

    def __init__(
        self,
        state: StateMachine,
        limits: Limits,
        timing: Timing,
        fail: Callable[[FatalError], None],
    ) -> None:
        self._state = state
        self._fail = fail
        self._limits = limits
        self._pause_s = timing.scrub_pause_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._scrub: Scrub | None = None
        self._began_at = 0
        self._haste = 1
        self.rounds = 0
        """Rounds that were finished."""

    def start(self) -> None:
        """Begins; does nothing if it is turned off."""
        if self._pause_s:
            self._timer = self._loop.call_later(self._pause_s / self._haste, self._turn)

    def stop(self) -> None:
        """Ends for good. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        self._call_off()

    def state_replaced(self) -> None:
        """There is another state now: what was looked at is out of use."""
        self._call_off()

    def _call_off(self) -> None:
        if self._scrub is not None:
            self._scrub.release()
            self._scrub = None

    def _turn(self) -> None:
        try:
            sound = self.look()
        except Exception as error:  # Damaged memory may break the search itself.
            self._fail(_failure(f"looking through it failed: {error!r}"))
        else:
            if sound:
                self.start()

    def look(self) -> bool:
        """Looks at one slice; False if damage was found."""
        if self._scrub is None:
            self._scrub = self._state.scrub()
            self._began_at = self._state.compacted_revision
        finding = self._scrub.step(SLICE_RECORDS)
        if finding is not None:
            self._scrub = None
            self._haste = 1
            self.rounds += 1
            if finding.damaged:
                parts = ", ".join(finding.damaged)
                self._fail(_failure(f"at revision {finding.revision}: {parts}"))
                return False
        elif self._holds_much():
            # What is looked at is not freed meanwhile, so a round may not take for ever.
            self._call_off()
            self._haste = min(2 * self._haste, HASTE_MAX)
            log.debug("scrub begins anew, faster", haste=self._haste)
        return True

    def _holds_much(self) -> bool:
        revisions = self._state.compacted_revision - self._began_at
        return (
            revisions > self._limits.history_revisions_max
            or self._state.held_size_bytes > self._limits.history_size_bytes_max
        )


def _failure(what: str) -> FatalError:
    return FatalError(
        f"memory of this member is not what was applied ({what}); its hardware may be faulty. {WAY_OUT}"
    )
