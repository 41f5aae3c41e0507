"""When the engine runs: once per turn of the loop in which something happened, and on a timer for its deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Driver:
    """Calls `run_pass` at most once per loop turn."""

    def __init__(
        self,
        run_pass: Callable[[], None],
        *,
        tick_s: float,
        stalled_s: float,
        stalled: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`stalled` is called before a pass that comes more than `stalled_s` after the one before it.

        `failed` takes whatever a pass raises; no other pass follows.
        """
        self._run_pass = run_pass
        self._tick_s = tick_s
        self._stalled_s = stalled_s
        self._stalled = stalled
        self._failed = failed
        self._due = False
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_pass = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._last_pass = self._loop.time()
        self._on_timer()

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
        except Exception as error:
            self.stop()
            self._failed(error)

    def _on_timer(self) -> None:
        self.kick()
        assert self._loop is not None
        self._timer = self._loop.call_later(self._tick_s, self._on_timer)
