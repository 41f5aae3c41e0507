"""What one command, and what one session, may cost at most."""

from __future__ import annotations

import time

import msgspec
import pytest

from coordinator.state import transaction
from coordinator.state.commands import (
    Command,
    Compare,
    DeleteRange,
    Operator,
    Put,
    Range,
    RequestId,
    Selector,
    SessionClose,
    SessionOpen,
    Target,
    Txn,
    Write,
)
from coordinator.state.machine import StateMachine
from coordinator.state.results import Code, DeleteResult, Failure, Result
from coordinator.state.transaction import VISITED_KEYS_MAX
from tests.unit.state.workload import bundle

ALL = Selector(b"", b"")


@pytest.fixture
def machine() -> StateMachine:
    """A machine with the sessions 1 and 2; 1 owns the keys a and b."""
    machine = StateMachine()
    do(machine, SessionOpen(1, 1000), SessionOpen(2, 1000))
    do(machine, Write(Put(b"b", b"", 1)), Write(Put(b"a", b"", 1)))
    assert machine.revision == 3
    return machine


def do(machine: StateMachine, *commands: Command) -> list[tuple[int, Result]]:
    applied = machine.apply(bundle(commands))
    return [(outcome.revision, outcome.result) for outcome in applied.outcomes]


def code(result: Result) -> Code | None:
    return result.code if isinstance(result, Failure) else None


def keys(machine: StateMachine) -> list[bytes]:
    result = machine.range(Range(ALL))
    assert not isinstance(result, Failure)
    return [kv.key for kv in result.kvs]


def test_too_much_work(machine: StateMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a failure like any other; reading alone and the end of a session know no such bound."""
    monkeypatch.setattr(transaction, "VISITED_KEYS_MAX", 1)
    before = machine.digest()
    for op in (DeleteRange(ALL), Txn((), (Put(b"z", b""), Range(ALL)))):
        ((revision, result),) = do(machine, Write(op))
        assert (revision, code(result)) == (3, Code.TOO_MUCH_WORK)
    result = machine.evaluate(Txn((), (Range(ALL),)))
    assert isinstance(result, Failure) and result.code is Code.TOO_MUCH_WORK
    assert machine.digest() == before
    assert len(keys(machine)) == 2
    assert machine.apply(bundle([SessionClose(1)])).ended == [1]
    assert keys(machine) == []


def test_work_is_bounded_in_time(machine: StateMachine) -> None:
    """The costly commands of the bound's own size: refused before they are done."""
    names = [b"k%06d" % number for number in range(VISITED_KEYS_MAX + 1)]
    machine.apply(bundle(Write(Put(name, b"")) for name in names))
    compare = Compare(Selector(b"k", b"l"), Operator.GREATER, Target.VERSION, 0)
    start = time.process_time()
    ((_, result),) = do(machine, Write(Txn((compare,) * 127)))
    assert code(result) is Code.TOO_MUCH_WORK
    ((_, result),) = do(machine, Write(DeleteRange(Selector(b"k", b"l"))))
    assert code(result) is Code.TOO_MUCH_WORK
    assert time.process_time() - start < 2
    ((_, result),) = do(machine, Write(DeleteRange(Selector(b"k", names[-1]))))
    assert isinstance(result, DeleteResult) and result.deleted == VISITED_KEYS_MAX


def test_results_of_a_session_are_bounded(machine: StateMachine) -> None:
    do(machine, *(Write(Put(b"%d" % n, b"x" * 1_000_000)) for n in range(4)))
    reads = [Write(Txn((), (Range(ALL),)), RequestId(2, n)) for n in range(1, 10)]
    before = machine.digest()
    results = [result for _, result in do(machine, *reads)]
    assert [code(result) for result in results] == [None] * 2 + [Code.REQUEST_WINDOW] * 7
    assert sum(map(len, machine.capture().encode())) < 12_000_000
    # A member that starts from a snapshot refuses the same requests.
    other = StateMachine()
    other.restore(StateMachine.prepare(machine.capture().encode()))
    put = Write(Put(b"z", b""), RequestId(2, 10))
    for each in (machine, other):
        ((_, result),) = do(each, put)
        assert code(result) is Code.REQUEST_WINDOW and b"z" not in keys(each)
        assert do(each, *reads[:2]) == [(7, result) for result in results[:2]]
        assert not code(do(each, msgspec.structs.replace(put, request=RequestId(2, 10, 2)))[0][1])
    assert machine.digest() == other.digest() != before


def test_keys_of_a_delete_count_as_results(machine: StateMachine) -> None:
    do(machine, *(Write(Put(b"x%d" % n, b"x" * 1_000_000)) for n in range(5)))
    delete = Write(DeleteRange(Selector(b"x", b"y"), prev_kv=True), RequestId(2, 1))
    put = Write(Put(b"z", b""), RequestId(2, 2))
    assert [code(result) for _, result in do(machine, delete, put)] == [None, Code.REQUEST_WINDOW]
