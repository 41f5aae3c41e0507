from __future__ import annotations

import random

import pytest

from coordinator_client import Event, EventBatch, EventType, InvalidArgument, KeyValue
from coordinator_client.items import PAUSE_S, SPREAD_MAX, Layout, Spread, item, priority_prefix

LAYOUT = Layout("/queues/q/")


def batch(*changes: tuple[str, str]) -> EventBatch:
    """Of pairs: "put" or "delete", and a key below the queue."""
    return EventBatch(
        9,
        tuple(
            Event(EventType(kind), KeyValue(f"/queues/q/{key}".encode(), b"", 9, 9, 1))
            for kind, key in changes
        ),
    )


@pytest.mark.parametrize(
    ("changes", "brings"),
    [
        ([("put", "items/1")], True),
        ([("delete", "items/1")], False),
        ([("put", "claims/1")], False),
        ([("delete", "claims/1")], True),
        ([("delete", "items/1"), ("delete", "claims/1")], False),
        ([("delete", "items/1"), ("delete", "claims/2")], True),
        ([("put", "other")], False),
        ([], False),
    ],
)
def test_what_is_worth_looking_again(changes: list[tuple[str, str]], brings: bool) -> None:
    assert LAYOUT.brings_items(batch(*changes)) == brings


def test_claimed_items_are_not_free() -> None:
    items = [b"/queues/q/items/1", b"/queues/q/items/2", b"/queues/q/items/3"]
    assert LAYOUT.free(items, [b"/queues/q/claims/2", b"/queues/q/claims/0"]) == ["1", "3"]


def test_items_say_what_they_are() -> None:
    plain = item("0000000007", b"x", with_priority=False)
    assert (plain.id, plain.text, plain.priority) == ("0000000007", "x", None)
    assert item("000100-0000000007", b"", with_priority=True).priority == 100
    assert item("strange", b"", with_priority=True).priority is None


def test_priorities_sort_as_numbers() -> None:
    assert priority_prefix(9) < priority_prefix(10) < priority_prefix(999_999)
    for wrong in (-1, 1_000_000, 1.5, "1"):
        with pytest.raises(InvalidArgument):
            priority_prefix(wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_who_is_alone_gets_the_first_and_others_spread() -> None:
    random.seed(1)
    spread, free = Spread(), [str(i) for i in range(100)]
    assert {spread.choose(free) for _ in range(50)} == {"0"}
    assert spread.pause_s() == 0
    spread.note(taken=False)
    assert {spread.choose(free) for _ in range(50)} == {"0", "1"}
    assert 0 < max(spread.pause_s() for _ in range(50)) <= PAUSE_S
    assert {spread.choose(["0"]) for _ in range(50)} == {"0"}
    for _ in range(20):
        spread.note(taken=False)
    assert {spread.choose(free) for _ in range(2000)} == set(free[:SPREAD_MAX])
    for _ in range(20):
        spread.note(taken=True)
    assert {spread.choose(free) for _ in range(50)} == {"0"}
