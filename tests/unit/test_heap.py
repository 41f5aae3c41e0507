from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from coordinator.heap import KEYS_MIN, Heap


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_lives_is_out_of_sight_and_what_comes_later_is_not() -> None:
    heap = Heap()
    before: list[object] = [[] for _ in range(100)]
    heap.freeze()
    after: list[object] = [[]]
    seen = {id(one) for one in gc.get_objects()}
    assert not seen & {id(one) for one in before}
    assert id(after) in seen


def test_no_garbage_is_kept() -> None:
    class Cycle:
        def __del__(self) -> None:
            gone.append(True)

    gone: list[bool] = []
    cycle = Cycle()
    cycle.self = cycle  # type: ignore[attr-defined]  # that is what makes it one
    del cycle
    Heap().freeze()
    assert gone == [True]


def test_it_is_worth_it_when_the_state_has_doubled() -> None:
    heap = Heap()
    sizes = [0, KEYS_MIN - 1, KEYS_MIN, KEYS_MIN + 1, 2 * KEYS_MIN - 1, 2 * KEYS_MIN, 10]
    assert [heap.settle(size) for size in sizes] == [False, False, True, False, False, True, False]
