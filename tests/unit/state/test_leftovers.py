from __future__ import annotations

import pytest

from coordinator.state.commands import (
    Compact,
    DeleteRange,
    Put,
    RequestId,
    Selector,
    SessionOpen,
    Write,
)
from coordinator.state.leftovers import Leftovers
from coordinator.state.machine import StateMachine
from tests.unit.state.workload import bundle


@pytest.fixture
def machine() -> StateMachine:
    machine = StateMachine()
    machine.apply(
        bundle(
            [
                SessionOpen(1, 1000),
                *(Write(Put(b"%d/" % n, b"", 1, sequence=True), RequestId(1, n)) for n in range(9)),
                *(Write(Put(b"%d" % n, b"")) for n in range(9)),
                Write(DeleteRange(Selector(b"3"))),
                Write(Put(b"4", b"new")),
            ]
        )
    )
    return machine


def test_all_is_freed_bit_by_bit(machine: StateMachine) -> None:
    leftovers = Leftovers()
    assert not leftovers.waiting and not leftovers.free(1)
    keyspace, sessions = machine._keyspace, machine._sessions
    leftovers.add(keyspace, sessions)
    containers = [*keyspace.containers(), *sessions.containers()]
    records = sum(map(len, containers))
    assert all(map(len, containers)) and records > 50
    while leftovers.waiting:
        leftovers.free(7)
        left = sum(map(len, containers))
        assert records - left <= 7
        records = left
    assert not records


def test_what_is_held_waits(machine: StateMachine) -> None:
    whole = b"".join(machine.capture().encode())
    capture = machine.capture()
    machine.restore(StateMachine.prepare(StateMachine().capture().encode()))
    assert not machine.untidy and not machine.tidy(100)
    assert b"".join(capture.encode()) == whole
    assert machine.untidy
    while machine.tidy(100):
        pass
    assert not machine.untidy
    machine.apply(bundle([Write(Put(b"a", b"")), Compact(2)]))
    assert machine.untidy
