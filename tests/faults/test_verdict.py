"""What is noticed: every promise that could be broken, broken once."""

from __future__ import annotations

from tests.faults.observers import Change
from tests.faults.rounds import decide
from tests.faults.verdict import SHOWN_MAX, judge, limited
from tests.faults.workload import Effect, Trace
from tests.linearizability.history import Operation
from tests.linearizability.models import Add, Answer, CounterInput, Get, Put, RegisterInput

HISTORY = [Change(2, "/k", "a"), Change(3, "/k", "b"), Change(4, "/k", None)]


def effect(revision: int, value: str | None, called_s: float = 0, returned_s: float = 10) -> Effect:
    return Effect(revision, "/k", value, called_s, returned_s)


def test_nothing_is_wrong() -> None:
    trace = Trace(effects=[effect(2, "a", 0, 1), effect(3, "b", 2, 3), effect(4, None, 4, 5)])
    trace.seen = [("/k", "a", 2)]
    trace.refused = ["c"]
    assert judge(trace, HISTORY, {"w": HISTORY}) == []


def test_an_acknowledged_write_is_lost() -> None:
    for wrong in (effect(2, "z"), effect(9, "a"), effect(3, None)):
        [problem] = judge(Trace(effects=[wrong]), HISTORY, {})
        assert "acknowledged, but not in the history" in problem


def test_a_write_is_applied_twice() -> None:
    history = [*HISTORY, Change(5, "/k", "a")]
    [problem] = judge(Trace(), history, {})
    assert "applied twice: 'a' at revisions 2 and 5" in problem


def test_a_refused_write_is_applied() -> None:
    [problem] = judge(Trace(refused=["b"]), HISTORY, {})
    assert "refused, but applied: 'b' at revision 3" in problem


def test_a_read_of_what_was_never_written() -> None:
    [problem] = judge(Trace(seen=[("/k", "a", 3)]), HISTORY, {})
    assert "read, but never written so" in problem


def test_revisions_against_the_order_of_time() -> None:
    trace = Trace(effects=[effect(3, "b", 0, 1), effect(2, "a", 2, 3)])
    [problem] = judge(trace, HISTORY, {})
    assert "/k got 2 after 3 was acknowledged" in problem


def test_watches_that_miss_repeat_or_confuse() -> None:
    for told in (
        HISTORY[:-1],
        HISTORY[1:],
        [*HISTORY, HISTORY[-1]],
        [HISTORY[1], HISTORY[0], HISTORY[2]],
        [],
    ):
        [problem] = judge(Trace(), HISTORY, {"w": told})
        assert problem.startswith("watch w: told")


def test_errors_are_told_but_not_all() -> None:
    problems = judge(Trace(odd=[f"error {i}" for i in range(20)]), HISTORY, {})
    assert len(problems) == SHOWN_MAX + 1
    assert problems[-1].endswith("15 more")
    assert limited("t", []) == []


def test_what_clients_saw_is_not_linearizable() -> None:
    stale: list[Operation[RegisterInput, Answer]] = [
        Operation("c", "/k", Put("a"), Answer(), 0, 1),
        Operation("c", "/k", Get(), Answer(None), 2, 3),
    ]
    [problem] = decide(Trace(registers=stale))
    assert "no order explains" in problem
    twice: list[Operation[CounterInput, int]] = [
        Operation(f"c{i}", "/n/", Add(1), 1, i, i + 0.5) for i in range(2)
    ]
    [problem] = decide(Trace(counters=twice))
    assert "add 1 -> 1" in problem
