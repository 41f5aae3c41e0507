from __future__ import annotations

import os
import signal

import pytest

from coordinator_client.cli.waiting import wait_for_end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_wait_and_mean_then_what_they_meant_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def send(seconds: float) -> bool:
        os.kill(os.getpid(), number)
        return False

    wait_for_end(send)
    assert signal.getsignal(number) is before


def test_the_condition_ends_the_wait() -> None:
    answers = iter([False, False, True])
    wait_for_end(lambda seconds: next(answers))
    assert next(answers, None) is None
