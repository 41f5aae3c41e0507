"""When the engine runs: once per turn of the loop in which something happened, and when its next deadline comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

GRAIN_S = 0.002
"""Timers of the loop may fire a little early; what is left then is not waited for in ever smaller steps."""


class Driver:
    """Calls `run_pass` at most once per loop turn."""

    def __init__(
        self,
        run_pass: Callable[[], None],
        *,
        wait_s: Callable[[], float],
        again_s: float,
        rest_s: float,
        stalled_s: float,
        stalled: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`wait_s` says how long it is until the next deadline, in seconds; one that is over is looked at again after
        `again_s`. There is a pass at least every `rest_s`. `stalled` is called before a pass that comes more than
        `stalled_s` after the one before it.

        `failed` takes whatever a pass raises; no other pass follows.
        """
        self._run_pass = run_pass
        self._wait_s = wait_s
        self._again_s = again_s
        self._rest_s = rest_s
        self._stalled_s = stalled_s
        self._stalled = stalled
        self._failed = failed
        self._due = False
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._last_pass = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._last_pass = self._loop.time()
        self.kick()

    def stop(self) -> None:
        """No pass runs after this."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def kick(self) -> None:
        """Something happened: run a pass in this turn of the loop."""
        if self._running and not self._due:
            self._due = True
            assert self._loop is not None
            self._loop.call_soon(self.run)

    def run(self) -> None:
        """Runs a pass now."""
        self._due = False
        if not self._running:
            return
        assert self._loop is not None
        now = self._loop.time()
        try:
            if now - self._last_pass > self._stalled_s:
                self._stalled()
            self._last_pass = now
            self._run_pass()
            left_s = self._left_s(now)
            self._set_timer(now + (max(left_s, GRAIN_S) if left_s > 0 else self._again_s))
        except Exception as error:
            self.stop()
            self._failed(error)

    def _set_timer(self, at: float) -> None:
        """Lets a pass run by then; one that is set for earlier finds out for itself when it is due."""
        if not self._running or (self._timer is not None and self._timer_at <= at):
            return
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _left_s(self, now: float) -> float:
        return min(self._wait_s(), self._last_pass + self._rest_s - now)

    def _on_timer(self) -> None:
        self._timer = None
        assert self._loop is not None
        now = self._loop.time()
        left_s = self._left_s(now)
        if left_s > 0:
            self._set_timer(now + max(left_s, GRAIN_S))
        else:
            self.kick()
