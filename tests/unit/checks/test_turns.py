from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.checks.turns import Turns


def test_what_failed_leaves_half_of_the_room_to_others() -> None:
    turns: Turns[str] = Turns(4)
    for n in range(10):
        turns.ask(f"slow{n}", suspect=True)
    assert [turns.next() for _ in range(3)] == ["slow0", "slow1", None]
    turns.ask("a", suspect=False)
    turns.ask("b", suspect=False)
    turns.ask("c", suspect=False)
    assert [turns.next() for _ in range(3)] == ["a", "b", None]
    turns.done("a")
    assert turns.next() == "c"
    turns.done("slow0")
    assert turns.next() == "slow2"


@given(st.integers(1, 5), st.lists(st.none() | st.booleans(), max_size=60))
def test_everybody_has_a_turn_and_never_too_many(most: int, steps: list[bool | None]) -> None:
    turns: Turns[int] = Turns(most)
    asked = 0
    begun: set[int] = set()
    running: list[int] = []
    for step in steps:
        if step is None and running:
            turns.done(running.pop(0))
        elif step is not None:
            turns.ask(asked, suspect=step)
            asked += 1
        while (item := turns.next()) is not None:
            begun.add(item)
            running.append(item)
        assert turns.running == len(running) <= most
    while running:
        turns.done(running.pop())
        while (item := turns.next()) is not None:
            begun.add(item)
            running.append(item)
    assert begun == set(range(asked))
