"""What rounds consist of."""

from __future__ import annotations

import random

import pytest

from tests.faults.plan import (
    KINDS,
    FullDisk,
    Kill,
    SyncFails,
    choose,
    describe,
    directions,
    make_fault,
    make_plan,
)


def test_a_seed_decides_everything() -> None:
    plans = [make_plan(5, number) for number in range(40)]
    assert plans == [make_plan(5, number) for number in range(40)]
    assert plans != [make_plan(6, number) for number in range(40)]


def test_every_kind_has_its_turn_and_what_is_left_out_has_none() -> None:
    plans = [
        fault for number in range(len(KINDS)) for step in make_plan(1, number) for fault in step
    ]
    assert {type(fault) for fault in plans} >= {Kill, FullDisk, SyncFails}
    without = [step for n in range(40) for step in make_plan(1, n, ["full-disk", "sync-fails"])]
    assert not any(isinstance(fault, FullDisk | SyncFails) for step in without for fault in step)


def test_some_faults_happen_together_but_never_those_that_must_be_alone() -> None:
    steps = [step for number in range(100) for step in make_plan(2, number)]
    together = [step for step in steps if len(step) > 1]
    assert together
    assert not any(isinstance(f, FullDisk | SyncFails) for step in together for f in step)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_made_and_told(kind: str) -> None:
    faults = [make_fault(kind, random.Random(seed)) for seed in range(20)]
    assert all(describe(fault) for fault in faults)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no fault"):
        make_fault("flood", random.Random(1))


@pytest.mark.parametrize("count", [3, 5])
def test_who_is_meant(count: int) -> None:
    numbers, rng = range(1, count + 1), random.Random(1)
    assert choose("leader", numbers, 2, rng) == [2]
    assert choose("follower", numbers, 2, rng) != [2]
    majority = choose("majority", numbers, 2, rng)
    assert 2 in majority
    assert len(set(majority)) == count // 2 + 1
    assert choose("all", numbers, None, rng) == [*numbers]
    assert choose("leader", numbers, None, rng)[0] in numbers


def test_where_a_disturbance_reaches() -> None:
    numbers, rng = (1, 2, 3, 4, 5), random.Random(1)
    away = {(2, 1), (2, 3), (2, 4), (2, 5)}
    assert set(directions("mute", 2, numbers, rng)) == away
    assert set(directions("deaf", 2, numbers, rng)) == {(b, a) for a, b in away}
    assert set(directions("alone", 2, numbers, rng)) == away | {(b, a) for a, b in away}
    assert len(directions("one-way", 2, numbers, rng)) == 1
    halves = directions("halves", 2, numbers, rng)
    assert len(set(halves)) == 2 * 2 * 3
    few = {a for a, _ in halves if sum(pair[0] == a for pair in halves) == 3}
    assert 2 in few and len(few) == 2
