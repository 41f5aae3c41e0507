from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.checks.schedule import Schedule


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 9)) | st.integers(0, 9),
        max_size=60,
    )
)
def test_what_is_due_comes_once_and_in_order(
    steps: list[tuple[str, int | None] | int],
) -> None:
    schedule: Schedule[str] = Schedule()
    expected: dict[str, tuple[int, int]] = {}
    for number, step in enumerate(steps):
        if isinstance(step, int):
            due = sorted(item for item in expected if expected[item][0] <= step)
            due.sort(key=lambda item: expected[item])
            assert schedule.take(step, 2) == due[:2]
            for item in due[:2]:
                del expected[item]
        elif step[1] is None:
            schedule.remove(step[0])
            expected.pop(step[0], None)
        else:
            schedule.put(step[0], step[1])
            expected[step[0]] = step[1], number
        assert len(schedule) == len(expected)
        assert schedule.next_due() == min((due for due, _ in expected.values()), default=None)


def test_it_holds_no_more_than_what_is_due() -> None:
    schedule: Schedule[str] = Schedule()
    for n in range(10_000):
        schedule.put("a", n)
    assert len(schedule) == 1 and len(schedule._heap) < 100
