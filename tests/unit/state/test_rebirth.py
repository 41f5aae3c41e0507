"""The state of one cluster as the beginning of another."""

from __future__ import annotations

import pytest

from coordinator.state.commands import Put, Range, Selector, Write
from coordinator.state.machine import StateMachine
from coordinator.state.model import KeyValue, Session
from coordinator.state.rebirth import REVISION_MAX, reborn
from coordinator.state.results import Code, Failure
from tests.unit.state.workload import bundle, entries

BUMP = 10_000


def make(seed: int, length: int) -> StateMachine:
    machine = StateMachine()
    for entry in entries(seed, length):
        machine.apply(entry)
    return machine


def load(slices: list[bytes]) -> StateMachine:
    machine = StateMachine()
    machine.restore(machine.prepare(slices))
    return machine


def kept_of(machine: StateMachine) -> tuple[list[KeyValue], list[Session], list[tuple[bytes, ...]]]:
    found = machine.range(Range(Selector(b"", b"")))
    assert not isinstance(found, Failure)
    sessions = list(machine.sessions())
    return list(found.kvs), sessions, [machine.session_keys(s.id) for s in sessions]


@pytest.mark.parametrize("seed", range(20))
def test_all_but_history_is_kept_and_nothing_else_decides(seed: int) -> None:
    machine = make(seed, seed * 20)
    kept, revision, term = kept_of(machine), machine.revision, machine.leader_term
    first = list(reborn(machine, 77, BUMP))
    again = list(reborn(make(seed, seed * 20), 77, BUMP))
    assert b"".join(first) == b"".join(again)
    new = load(first)
    assert kept_of(new) == kept
    assert new.revision == new.compacted_revision == revision + BUMP
    assert (new.cluster_id, new.leader_term) == (77, term)
    assert load(list(new.capture().encode())).digest() == new.digest()
    assert new.history_size == 0


def test_what_the_old_cluster_showed_is_compacted_and_what_comes_is_not() -> None:
    machine = make(3, 100)
    last = machine.revision
    new = load(list(reborn(machine, 77, BUMP)))
    for revision in (2, last, last + 1, last + BUMP):
        failure = new.batches(revision, 1)
        assert isinstance(failure, Failure) and failure.code is Code.COMPACTED
    new.apply(bundle([Write(Put(b"new", b""))]))
    batches = new.batches(last + BUMP + 1, 10)
    assert not isinstance(batches, Failure)
    assert [batch.revision for batch in batches] == [last + BUMP + 1]


def test_an_empty_state_begins_anew_too() -> None:
    new = load(list(reborn(StateMachine(), 77, 5)))
    assert (new.revision, new.compacted_revision, new.key_count) == (6, 6, 0)


@pytest.mark.parametrize("bump", [0, -1, REVISION_MAX])
def test_a_bump_out_of_bounds_is_refused(bump: int) -> None:
    with pytest.raises(ValueError, match="can't be raised"):
        list(reborn(StateMachine(), 77, bump))
