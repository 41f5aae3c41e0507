"""A scrub finds what was changed behind the machine's back, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.state import hold
from coordinator.state.commands import (
    Compact,
    DeleteRange,
    Put,
    RequestId,
    Selector,
    SessionOpen,
    Write,
)
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause
from coordinator.state.results import PutResult
from coordinator.state.scrub import Finding, Scrub
from tests.unit.state.workload import bundle, entries, examples, lengths, seeds


@pytest.fixture
def machine() -> StateMachine:
    """A machine with something of everything."""
    machine = StateMachine()
    machine.apply(
        bundle(
            [
                SessionOpen(1, 1000, None, (("a", "b"),)),
                SessionOpen(2, 1000),
                *(Write(Put(b"%d" % n, b"v", 1), RequestId(1, n + 5, 3)) for n in range(5)),
                Write(Put(b"q/", b"", sequence=True)),
                Compact(4),
                Write(Put(b"1", b"w")),
                Write(DeleteRange(Selector(b"2", b"4"))),
            ]
        )
    )
    return machine


def finish(scrub: Scrub, budget: int = 10_000) -> Finding:
    while (finding := scrub.step(budget)) is None:
        pass
    return finding


def test_all_is_well(machine: StateMachine) -> None:
    scrub = machine.scrub()
    assert scrub.step(1) is None
    machine.apply(bundle([Write(DeleteRange(Selector(b"", b""))), Compact(9)]))
    while machine.tidy(1):
        pass
    finding = finish(scrub, 1)
    assert finding == Finding(9, ())
    assert scrub.step(1) is finding
    assert machine.untidy, "what the scrub held can be freed"


def test_release_lets_go(machine: StateMachine) -> None:
    scrub = machine.scrub()
    assert scrub.step(1) is None
    machine.apply(bundle([Compact(9)]))
    while machine.tidy(1):
        pass
    scrub.release()
    scrub.release()
    assert machine.untidy
    finish(machine.scrub())


def flip(record: Any, **fields: Any) -> None:
    for name, value in fields.items():
        assert getattr(record, name) != value
        msgspec.structs.force_setattr(record, name, value)


def of_key(machine: StateMachine, **fields: Any) -> None:
    flip(machine._keyspace._live[b"4"], **fields)


def of_old_version(machine: StateMachine) -> None:
    flip(machine._keyspace._versions[b"2"][0], value=b"x")


def lost_key(machine: StateMachine) -> None:
    del machine._keyspace._live[b"4"]
    machine._keyspace._index.remove(b"4")


def of_cause(machine: StateMachine) -> None:
    flip(machine._keyspace._history.batches[-1].events[0], cause=Cause.SESSION_CLOSED)


def of_revision(machine: StateMachine) -> None:
    flip(machine._keyspace._history.batches[-1], revision=99)


def of_event_order(machine: StateMachine) -> None:
    batch = machine._keyspace._history.batches[-1]
    flip(batch, events=batch.events[::-1])


def of_session(machine: StateMachine) -> None:
    session = machine.session(2)
    flip(session, ttl_ms=1001)


def of_result(machine: StateMachine) -> None:
    requests = machine._sessions.requests(1)
    assert requests is not None
    flip(requests.results[6], result=PutResult(b"9"))


def of_revision_of_result(machine: StateMachine) -> None:
    requests = machine._sessions.requests(1)
    assert requests is not None
    flip(requests.results[6], revision=9)


def lost_result(machine: StateMachine) -> None:
    requests = machine._sessions.requests(1)
    assert requests is not None
    del requests.results[6]


def of_floor(machine: StateMachine) -> None:
    requests = machine._sessions.requests(1)
    assert requests is not None
    requests.floor = 2


def of_counter(machine: StateMachine) -> None:
    machine._keyspace.counters._values[b"q/"] = 7


def of_size(machine: StateMachine) -> None:
    machine._sessions.size_bytes += 1


FLIPS: list[tuple[Callable[[StateMachine], None], set[str]]] = [
    (lambda machine: of_key(machine, value=b"x"), {"keys", "history"}),
    (lambda machine: of_key(machine, version=2), {"keys", "history"}),
    (lambda machine: of_key(machine, session=2), {"keys", "history"}),
    (lambda machine: of_key(machine, value=b"long"), {"keys", "history", "size_bytes"}),
    (of_old_version, {"history"}),
    (lost_key, {"keys", "size_bytes"}),
    (of_cause, {"history"}),
    (of_revision, {"history"}),
    (of_event_order, {"history"}),
    (of_session, {"sessions"}),
    (of_result, {"results"}),
    (of_revision_of_result, {"results"}),
    (lost_result, {"results", "size_bytes"}),
    (of_floor, {"results"}),
    (of_counter, {"counters"}),
    (of_size, {"size_bytes"}),
]


@pytest.mark.parametrize(("damage", "parts"), FLIPS)
def test_damage_is_found(
    machine: StateMachine, damage: Callable[[StateMachine], None], parts: set[str]
) -> None:
    digest = machine.digest()
    damage(machine)
    assert set(finish(machine.scrub()).damaged) == parts
    # The digest stands for what was applied, not for what memory made of it.
    assert machine.digest() == digest or parts == {"size_bytes"}


def test_damage_is_found_after_the_damaged_record_is_gone(machine: StateMachine) -> None:
    of_key(machine, value=b"x")
    machine.apply(bundle([Write(DeleteRange(Selector(b"4"))), Compact(10)]))
    while machine.tidy(100):
        pass
    assert finish(machine.scrub()).damaged == ("keys",)


def test_large_revisions_are_looked_at_in_slices(machine: StateMachine) -> None:
    for number in range(40):
        machine.apply(bundle(Write(Put(b"k%d-%d" % (number, n), b"")) for n in range(100)))
    machine.apply(bundle([Compact(machine.revision), Write(DeleteRange(Selector(b"k", b"l")))]))
    scrub = machine.scrub()
    steps = 0
    while (finding := scrub.step(1)) is None:
        steps += 1
    assert not finding.damaged
    assert steps >= 3


@examples(80)
@given(seeds, lengths, st.integers(1, 4), st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_going_on_is_no_damage(seed: int, length: int, page: int, budgets: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hold, "PAGE_RECORDS_MAX", page)
        machine = StateMachine()
        scrub, revision = machine.scrub(), machine.revision
        for index, entry in enumerate(entries(seed, length)):
            machine.apply(entry)
            budget = budgets[index % len(budgets)]
            machine.tidy(budget)
            finding = scrub.step(budget)
            if finding is not None:
                assert finding == Finding(revision, ())
                scrub, revision = machine.scrub(), machine.revision
        assert finish(scrub) == Finding(revision, ())
