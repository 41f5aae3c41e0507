"""Whether a client is there and reads: looks at made-up times."""

from __future__ import annotations

from typing import Any

from coordinator.config import Limits, Timing
from coordinator.wire.front.vigil import LINGER_S, Verdict, Vigil
from coordinator.wire.terms import KEEP_ALIVE_S, KEEP_ALIVE_TIMEOUT_S

LIMITS = Limits(connection_unread_bytes_max=1_000)
TIMING = Timing(client_greeting_ms=5_000, client_stall_ms=20_000)


def look(vigil: Vigil, now: float, backlog: int = 0, **states: Any) -> Verdict:
    return vigil.look(
        now, backlog, **{"greeted": True, "reading": True, "closing": False, **states}
    )


def test_a_client_that_does_not_begin() -> None:
    vigil = Vigil(LIMITS, TIMING, 100.0)
    assert look(vigil, 104.9, greeted=False) is Verdict.FINE
    assert look(vigil, 105.1, greeted=False) is Verdict.SILENT
    assert look(vigil, 105.1) is Verdict.FINE


def test_a_quiet_client_is_asked_and_one_that_answers_is_fine() -> None:
    vigil = Vigil(LIMITS, TIMING, 0.0)
    assert look(vigil, KEEP_ALIVE_S - 0.1) is Verdict.FINE
    assert look(vigil, KEEP_ALIVE_S) is Verdict.ASK
    assert look(vigil, KEEP_ALIVE_S + 1) is Verdict.FINE
    vigil.heard_at = KEEP_ALIVE_S + 2
    assert look(vigil, KEEP_ALIVE_S + KEEP_ALIVE_TIMEOUT_S + 1) is Verdict.FINE
    again = vigil.heard_at + KEEP_ALIVE_S
    assert look(vigil, again) is Verdict.ASK
    assert look(vigil, again + KEEP_ALIVE_TIMEOUT_S) is Verdict.FINE
    assert look(vigil, again + KEEP_ALIVE_TIMEOUT_S + 0.1) is Verdict.SILENT


def test_a_client_that_takes_what_it_is_sent_is_there() -> None:
    vigil = Vigil(LIMITS, TIMING, 0.0)
    for now in range(0, 100, 2):
        assert look(vigil, now, 10_000 - now) is Verdict.FINE


def test_a_client_that_takes_nothing_of_much_is_cut_off() -> None:
    vigil = Vigil(LIMITS, TIMING, 0.0)
    vigil.heard_at = 1e9  # It sends all the time.
    assert look(vigil, 10, 1_001) is Verdict.FINE
    assert look(vigil, 29, 1_500) is Verdict.FINE
    assert look(vigil, 31, 1_500) is Verdict.STALLED
    assert look(vigil, 32, 1_400) is Verdict.FINE
    assert look(vigil, 51, 1_400) is Verdict.FINE
    assert look(vigil, 80, 1_000) is Verdict.FINE


def test_a_client_that_is_not_read_from_is_not_asked_and_cut_off_if_it_takes_nothing() -> None:
    vigil = Vigil(LIMITS, TIMING, 0.0)
    assert look(vigil, 1_000, 900, reading=False) is Verdict.FINE
    assert look(vigil, 1_015, 800, reading=False) is Verdict.FINE
    assert look(vigil, 1_016, 800, reading=False) is Verdict.FINE
    assert look(vigil, 1_037, 800, reading=False) is Verdict.STALLED


def test_a_connection_that_is_over_is_closed_soon() -> None:
    vigil = Vigil(LIMITS, TIMING, 0.0)
    assert look(vigil, 10, 100, closing=True) is Verdict.FINE
    assert look(vigil, 11, 50, closing=True) is Verdict.FINE
    assert look(vigil, 11 + LINGER_S, 50, closing=True) is Verdict.FINE
    assert look(vigil, 11.1 + LINGER_S, 50, closing=True) is Verdict.LINGERS
