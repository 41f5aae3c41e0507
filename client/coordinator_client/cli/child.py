"""Runs another program for as long as it likes, as if it stood in this one's place."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from coordinator_client.cli import leash

FORWARDED = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGINT,
    signal.SIGQUIT,
)
FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""A terminal sends these to all programs in the foreground, so the other one has them already."""


class Child:
    """One run of a program. It gets the signals of this one, and dies with it (where the system is Linux)."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._running: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def run(self) -> int:
        """Runs the program; returns its exit code, or 128 + n if signal n ended it."""
        before = {number: signal.signal(number, self._forward) for number in FORWARDED}
        try:
            # The leash is a program of its own, for between fork and exec only little is allowed in one with threads.
            with subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(leash.__file__)), *self._command]
            ) as self._running:
                for number in self._early:
                    self._running.send_signal(number)
                code = self._running.wait()
        finally:
            for number, action in before.items():
                signal.signal(number, action)
        return code if code >= 0 else 128 - code

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if number in FROM_TERMINAL and sys.stdin is not None and sys.stdin.isatty():
            return
        if self._running is None:
            self._early.append(number)
        else:
            self._running.send_signal(number)
