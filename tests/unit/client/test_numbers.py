from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator_client.numbers import Numbers


def test_finished_numbers_are_acknowledged_up_to_the_lowest_open_one() -> None:
    numbers = Numbers(10)
    assert numbers.acknowledged_below == 1
    assert [numbers.take() for _ in range(4)] == [1, 2, 3, 4]
    numbers.finish(3)
    numbers.finish(2)
    assert numbers.acknowledged_below == 1
    numbers.finish(1)
    assert numbers.acknowledged_below == 4
    numbers.finish(4)
    numbers.finish(4)
    assert numbers.acknowledged_below == 5


def test_one_that_stays_open_holds_the_window() -> None:
    numbers = Numbers(3)
    assert [numbers.take() for _ in range(4)] == [1, 2, 3, None]
    numbers.finish(2)
    numbers.finish(3)
    assert (numbers.take(), numbers.room) == (None, 0)
    numbers.finish(1)
    assert [numbers.room, numbers.take()] == [3, 4]


@given(st.integers(1, 8), st.lists(st.integers(0, 20), max_size=100))
def test_no_number_is_given_twice_and_none_open_is_acknowledged(
    window: int, choices: list[int]
) -> None:
    numbers = Numbers(window)
    given: list[int] = []
    open_now: list[int] = []
    for choice in choices:
        if choice % 2 and open_now:
            numbers.finish(open_now.pop(choice % len(open_now)))
        elif (number := numbers.take()) is not None:
            given.append(number)
            open_now.append(number)
        else:
            assert open_now and given[-1] - min(open_now) == window - 1
        assert numbers.acknowledged_below == min(open_now, default=len(given) + 1)
        assert numbers.room == window - (len(given) + 1 - numbers.acknowledged_below)
    assert given == list(range(1, len(given) + 1))
