"""A thread for work that nobody waits for: whatever else this machine has to do comes first."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

NICENESS = 10
"""Above that of the program, see nice(2)."""


class BackgroundThread:
    """One thread at a low priority, where the system has such for single threads (Linux).

    It holds the lock of the interpreter at that priority, too: where other programs keep all processors busy, the loop
    of this one waits for it, by some tens of milliseconds. That is fine for a member that is about to take the place of
    its whole state by a snapshot, on which nobody waits, and for nothing else.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name, initializer=_stand_back)

    async def run(self, call: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        """Returns what the call returns, or raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)

    def stop(self) -> None:
        """What is running goes on to its end; the rest is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _stand_back() -> None:
    if sys.platform == "linux":
        thread = threading.get_native_id()
        present = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(present + NICENESS, 19))
