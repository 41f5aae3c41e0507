"""Waiting until someone wants this program to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

POLL_S = 0.2
"""How late a signal may be noticed; it does not end a wait of another thread's event by itself."""


class Ended(Exception):
    """A signal asked this program to end."""


def never(seconds: float) -> bool:
    """Waits for a condition that never holds."""
    time.sleep(seconds)
    return False


def wait_for_end(condition: Callable[[float], bool] = never) -> None:
    """Waits until SIGINT, SIGTERM or SIGHUP comes, or `condition`, which waits for seconds, holds."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        while not condition(POLL_S):
            pass
    except Ended:
        pass
    finally:
        for number, action in before.items():
            signal.signal(number, action)
