from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from coordinator_client.cli.waiting import closing_on_interrupt, wait_for_end
from coordinator_client.errors import Closed, NotFound


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """Whoever started these tests may have them pass signals over, as nohup and shells without jobs do."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, action in before.items():
        signal.signal(number, action)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_wait_and_mean_then_what_they_meant_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def send(seconds: float) -> bool:
        os.kill(os.getpid(), number)
        return False

    wait_for_end(send)
    assert signal.getsignal(number) is before


def test_a_signal_that_is_passed_over_does_not_end_the_wait() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sent: list[float] = []

    def send(seconds: float) -> bool:
        os.kill(os.getpid(), signal.SIGHUP)
        sent.append(seconds)
        return len(sent) == 2

    wait_for_end(send)
    assert len(sent) == 2


def test_the_condition_ends_the_wait() -> None:
    answers = iter([False, False, True])
    wait_for_end(lambda seconds: next(answers))
    assert next(answers, None) is None


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_ends_a_wait_for_another_thread() -> None:
    closed = threading.Event()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), closing_on_interrupt(closed.set):
        interrupt()
        # Nothing is raised in here: the wait ends because of what was closed.
        assert closed.wait(10)
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_the_close_leads_to_is_no_error() -> None:
    closed = threading.Event()
    with pytest.raises(KeyboardInterrupt), closing_on_interrupt(closed.set):
        interrupt()
        closed.wait(10)
        raise Closed("the watch is closed")
    with pytest.raises(NotFound), closing_on_interrupt(closed.set):
        raise NotFound("there is no such thing")


def test_without_an_interrupt_nothing_is_closed() -> None:
    closed = threading.Event()
    with closing_on_interrupt(closed.set):
        pass
    assert not closed.is_set()
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_other_threads_are_left_alone() -> None:
    done: list[bool] = []

    def work() -> None:
        with closing_on_interrupt(done.clear):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_a_second_interrupt_ends_the_program_whatever_it_does() -> None:
    program = (
        "import os, signal, threading\n"
        "from coordinator_client.cli.waiting import closing_on_interrupt\n"
        "closing = threading.Event()\n"
        "with closing_on_interrupt(closing.set):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    closing.wait(10)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Event().wait(30)\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 130
    )


def test_a_signal_may_come_as_soon_as_something_is_said() -> None:
    wait_for_end(say=lambda: os.kill(os.getpid(), signal.SIGTERM))
