from __future__ import annotations

import collections

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.checks.slots import (
    ROOT,
    ROOT_END,
    SLOTS,
    node_key,
    read_slot,
    share_of,
    slot_key,
    slot_of,
)

NAMES = st.sets(st.text(alphabet="abn0123.-", min_size=1, max_size=8), min_size=1, max_size=7)


@settings(max_examples=25)
@given(NAMES)
def test_each_slot_falls_to_one_node(names: set[str]) -> None:
    shares = [share_of(name, names) for name in names]
    assert sorted(slot for share in shares for slot in share) == list(range(SLOTS))
    assert share_of("not among them", names) == frozenset()


@settings(max_examples=25)
@given(NAMES, st.text(alphabet="xyz", min_size=1, max_size=8))
def test_a_node_that_comes_takes_and_moves_nothing_else(names: set[str], new: str) -> None:
    for name in names:
        before, after = share_of(name, names), share_of(name, names | {new})
        assert after <= before
        assert before - after <= share_of(new, names | {new})


def test_slots_and_instances_spread() -> None:
    for count in (3, 5):
        names = [f"n{n}" for n in range(1, count + 1)]
        assert all(len(share_of(name, names)) > SLOTS / count / 3 for name in names)
    found = collections.Counter(slot_of("pay", f"i-{n}") for n in range(6400))
    assert len(found) == SLOTS and max(found.values()) < 200


def test_keys_come_back_as_they_went() -> None:
    for slot in range(SLOTS):
        assert read_slot(slot_key(slot)) == slot
        assert ROOT < slot_key(slot) < ROOT_END
    assert read_slot(node_key("n1")) is None
    for odd in (
        b"",
        ROOT,
        ROOT + b"slots/",
        ROOT + b"slots/064",
        ROOT + b"slots/1",
        ROOT + b"slots/0x1",
    ):
        assert read_slot(odd) is None
