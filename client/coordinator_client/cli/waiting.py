"""Waiting until someone wants this program to end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from coordinator_client import errors

POLL_S = 0.2
"""How late a signal may be noticed; it does not end a wait of another thread's event by itself."""


class Ended(Exception):
    """A signal asked this program to end."""


def never(seconds: float) -> bool:
    """Waits for a condition that never holds."""
    time.sleep(seconds)
    return False


def wait_for_end(
    condition: Callable[[float], bool] = never, *, say: Callable[[], object] | None = None
) -> None:
    """Waits until SIGINT, SIGTERM or SIGHUP comes, or `condition`, which waits for seconds, holds.

    `say` is called first: whoever reads what it says may send a signal at once.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Whoever started this program may want it to outlive its terminal (nohup).
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heeded}
    try:
        if say is not None:
            say()
        while not condition(POLL_S):
            pass
    except Ended:
        pass
    finally:
        for number, action in before.items():
            signal.signal(number, action)


EXIT_AT_ONCE = 130
_OVER = b"\0"


@contextlib.contextmanager
def closing_on_interrupt(close: Callable[[], object]) -> Iterator[None]:
    """Calls `close` when SIGINT comes, and raises KeyboardInterrupt at the end of the block then.

    An exception alone would not do: a signal that comes in the moment before the program begins to wait for another
    thread is noticed when that wait is over, which may be never. `close`, called on a thread of its own, ends the wait.
    A second SIGINT ends the program at once. Outside of the main thread, or where the program was started so
    that it passes SIGINT over, it does nothing.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = threading.Event()
    ours, systems = socket.socketpair()
    systems.setblocking(False)

    def listen() -> None:
        while (number := ours.recv(1)) != _OVER:
            if number[0] == signal.SIGINT:
                if interrupted.is_set():
                    os._exit(EXIT_AT_ONCE)
                interrupted.set()
                threading.Thread(target=close, name="coordctl-close", daemon=True).start()

    listener = threading.Thread(target=listen, name="coordctl-interrupt", daemon=True)
    listener.start()
    number_to = signal.set_wakeup_fd(systems.fileno(), warn_on_full_buffer=False)
    before = signal.signal(signal.SIGINT, _pass_over)
    try:
        yield
    except errors.CoordinatorError:
        # It may well come from the close.
        if not interrupted.is_set():
            raise
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(number_to)
        systems.setblocking(True)
        systems.send(_OVER)
        listener.join()
        ours.close()
        systems.close()
    if interrupted.is_set():
        raise KeyboardInterrupt


def _pass_over(number: int, frame: FrameType | None) -> None:
    """The thread that listens hears of it by the wakeup descriptor."""
