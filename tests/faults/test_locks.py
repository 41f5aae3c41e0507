"""A small crowd on one lock, and whether a history that no lock may have is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.contender import CAME, STALE, WENT
from tests.faults.locks import History, Plan, find_faults, run


def history(*turns: tuple[int, str, str]) -> History:
    """Contenders that came at 1, 2 and 3; the first two went at 10 and 20."""
    return History(
        places={1: b"a", 2: b"b", 3: b"c"},
        gone={10: {b"a"}, 20: {b"b"}},
        turns=[(revision, key, text, 0.0) for revision, key, text in turns],
    )


GOOD = [(5, CAME, "1 a"), (6, WENT, "1 a"), (11, CAME, "2 b"), (21, CAME, "3 c"), (22, WENT, "3 c")]


def test_turns_in_their_order_are_fine() -> None:
    assert find_faults(history(*GOOD)) == []


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ((7, CAME, "2 b"), "whose turn it was"),
        ((12, CAME, "3 c"), "whose turn it was"),
        ((12, WENT, "1 a"), "after fence 2"),
        ((23, CAME, "3 c"), "after fence 3"),
        ((4, WENT, "1 a"), "has not come"),
        ((12, STALE, "1 a"), "was written"),
    ],
)
def test_what_no_lock_may_do_is_found(turn: tuple[int, str, str], said: str) -> None:
    assert any(said in fault for fault in find_faults(history(*GOOD, turn)))


@pytest.mark.full
async def test_a_crowd_is_served_in_its_order_though_holders_and_nodes_are_killed(
    tmp_path: Path,
) -> None:
    plan = Plan(contenders=60, kills=2, pauses=1, ousted=4, node_kills=1)
    found, faults = await run(tmp_path, plan)
    print(found)
    assert not faults
    assert found["stale_puts_refused"] == 5
