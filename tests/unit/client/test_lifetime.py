from __future__ import annotations

import pytest

from coordinator_client.lifetime import Lifetime


def test_the_count_is_from_the_sending_of_what_was_confirmed() -> None:
    life = Lifetime(9.0, confirmed_s=0.0)
    assert (life.remaining_s(0.5), life.until_next_s(0.5)) == (8.5, 2.5)
    life.sent(3.0)
    # Not confirmed yet: nothing is gained.
    assert life.remaining_s(3.4) == pytest.approx(5.6)
    assert life.until_next_s(3.4) == pytest.approx(2.6)
    life.confirmed(3.0, 9.0)
    assert life.remaining_s(3.4) == pytest.approx(8.6)
    assert life.remaining_s(12.0) == life.remaining_s(100.0) == 0


def test_a_late_confirmation_of_an_early_keep_alive_takes_nothing_away() -> None:
    life = Lifetime(9.0, confirmed_s=5.0)
    life.confirmed(3.0, 9.0)
    assert life.remaining_s(5.0) == 9.0


def test_the_cluster_may_change_the_ttl() -> None:
    life = Lifetime(9.0, confirmed_s=0.0)
    life.confirmed(1.0, 6.0)
    assert (life.ttl_s, life.remaining_s(1.0)) == (6.0, 6.0)


def test_the_next_one_is_never_due_after_the_end() -> None:
    life = Lifetime(9.0, confirmed_s=0.0)
    life.sent(8.9)
    assert life.until_next_s(8.9) == pytest.approx(0.1)


def test_two_other_nodes_can_be_asked_within_the_ttl() -> None:
    for ttl_s in (0.5, 3.0, 10.0, 60.0):
        life = Lifetime(ttl_s, 0.0)
        assert ttl_s / 3 + 2 * (life.answer_timeout_s + life.pause_s) < ttl_s
