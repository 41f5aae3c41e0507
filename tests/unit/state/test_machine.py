from __future__ import annotations

import msgspec
import pytest

from coordinator.state.commands import (
    Command,
    Compact,
    DeleteRange,
    DigestCheck,
    LeaderElected,
    Put,
    Range,
    RequestId,
    Selector,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Txn,
    Write,
    encode_bundle,
    encode_proposal,
)
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, Session
from coordinator.state.results import (
    Applied,
    Code,
    Done,
    Failure,
    PutResult,
    RangeResult,
    Result,
    SessionResult,
    TxnResult,
)
from coordinator.state.tally import RECORD_OVERHEAD_BYTES
from tests.unit.state.workload import bundle

ALL = Selector(b"", b"")


@pytest.fixture
def machine() -> StateMachine:
    """A machine with a leader in term 3 and the sessions 1 and 2; 1 owns the keys a and b."""
    machine = StateMachine()
    do(machine, LeaderElected(3, 77), SessionOpen(1, 1000), SessionOpen(2, 1000))
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
    assert isinstance(result, RangeResult)
    return [kv.key for kv in result.kvs]


def test_new_machine() -> None:
    machine = StateMachine()
    assert (machine.revision, machine.compacted_revision, machine.history_size) == (1, 0, 0)
    assert (machine.cluster_id, machine.leader_term, machine.key_count) == (0, 0, 0)
    assert (machine.session_count, machine.sequence_parent_count) == (0, 0)
    assert machine.range(Range(ALL, revision=1)) == RangeResult(())


# --- bundles ------------------------------------------------------------------------------------


def test_commands_of_a_bundle_are_independent(machine: StateMachine) -> None:
    applied = machine.apply(
        bundle([Write(Put(b"c", b"")), Write(Put(b"d", b"", 9)), Write(Put(b"e", b""))])
    )
    assert [outcome.revision for outcome in applied.outcomes] == [4, 4, 5]
    assert [code(outcome.result) for outcome in applied.outcomes] == [
        None,
        Code.SESSION_NOT_FOUND,
        None,
    ]
    assert [batch.revision for batch in applied.batches] == [4, 5]
    assert keys(machine) == [b"a", b"b", b"c", b"e"]


@pytest.mark.parametrize(
    "entry", [b"", b"\x07", b"\x01", b"\x01\x92\xc0", b"\x01" + b"\x91" * 5000]
)
def test_entry_that_is_none_changes_nothing(machine: StateMachine, entry: bytes) -> None:
    before = machine.digest()
    assert machine.apply(entry) == Applied([], [], [], [])
    assert machine.digest() == before


def test_what_can_not_be_decoded_has_an_outcome(machine: StateMachine) -> None:
    entry = encode_bundle(
        [
            msgspec.msgpack.encode("no proposal"),
            encode_proposal(4, 5, msgspec.msgpack.encode(["no command"])),
        ]
    )
    unreadable, unknown = machine.apply(entry).outcomes
    assert (unreadable.origin, unreadable.number, unreadable.revision) == (0, 0, 3)
    assert (unknown.origin, unknown.number, unknown.revision) == (4, 5, 3)
    assert code(unreadable.result) is code(unknown.result) is Code.UNDECODABLE


@pytest.mark.parametrize("levels", [17, 100, 300, 5000])
def test_deep_transactions_are_no_commands(machine: StateMachine, levels: int) -> None:
    command = b"\x92\xa1w" + b"\x93\xa1t\x90\x91" * levels + b"\x93\xa1p\xc4\x01z\xc4\x00"
    before = machine.digest()
    applied = machine.apply(encode_bundle([encode_proposal(1, 1, command)]))
    # So deep that the entry itself is beyond the decoder, there is nobody to answer.
    assert [code(outcome.result) for outcome in applied.outcomes] in ([Code.UNDECODABLE], [])
    assert bool(applied.outcomes) or levels == 5000
    assert machine.digest() == before
    shallow = b"\x92\xa1w" + b"\x93\xa1t\x90\x91" * 16 + b"\x93\xa1p\xc4\x01z\xc4\x00"
    (outcome,) = machine.apply(encode_bundle([encode_proposal(1, 1, shallow)])).outcomes
    assert isinstance(outcome.result, TxnResult)


# --- reading ------------------------------------------------------------------------------------


def test_range_of_a_revision(machine: StateMachine) -> None:
    past = machine.range(Range(ALL, revision=2))
    assert isinstance(past, RangeResult) and [kv.key for kv in past.kvs] == [b"b"]
    future = machine.range(Range(ALL, revision=4))
    assert isinstance(future, Failure)
    assert (future.code, future.value) == (Code.FUTURE_REVISION, 3)


def test_evaluate_reads_only(machine: StateMachine) -> None:
    result = machine.evaluate(Txn((), (Range(ALL, count_only=True),)))
    assert result == TxnResult(True, (RangeResult((), count=2),))
    with pytest.raises(AssertionError):
        machine.evaluate(Txn((), (Put(b"z", b""),)))
    assert keys(machine) == [b"a", b"b"]


def test_evaluate_bounds_the_depth(machine: StateMachine) -> None:
    txn = Txn(())
    for _ in range(16):
        txn = Txn((), (txn,))
    result = machine.evaluate(txn)
    assert isinstance(result, Failure) and result.code is Code.UNDECODABLE


def test_sequence_parents(machine: StateMachine) -> None:
    do(machine, Write(Put(b"q/a-", b"", sequence=True)), Write(Put(b"r/a", b"")))
    for key, counted in (
        (b"q/", True),
        (b"q/b", True),
        (b"q/b/", False),
        (b"r/a", False),
        (b"q", False),
    ):
        assert machine.has_sequence_parent(key) is counted
    do(machine, Write(Put(b"q", b"", sequence=True)))
    assert machine.has_sequence_parent(b"any")


def test_compact(machine: StateMachine) -> None:
    assert do(machine, Compact(2)) == [(3, Done())]
    assert (machine.compacted_revision, machine.history_size) == (2, 1)
    assert [code(result) for _, result in do(machine, Compact(2), Compact(4))] == [
        Code.COMPACTED,
        Code.FUTURE_REVISION,
    ]
    assert isinstance(machine.batches(2, 1), Failure)
    assert isinstance(machine.range(Range(ALL, revision=1)), Failure)
    while machine.tidy(1):
        pass
    assert keys(machine) == [b"a", b"b"]


# --- sessions -----------------------------------------------------------------------------------


def test_open(machine: StateMachine) -> None:
    applied = machine.apply(bundle([SessionOpen(9, 500, 5, (("z", "1"), ("a", "2")))]))
    session = Session(9, 500, 5, (("a", "2"), ("z", "1")), 3)
    assert applied.opened == [session] == [machine.session(9)]
    assert applied.outcomes[0].result == SessionResult(session)
    assert machine.revision == 3
    ((_, again),) = do(machine, SessionOpen(9, 500))
    assert isinstance(again, Failure) and (again.code, again.value) == (Code.SESSION_EXISTS, 9)
    assert [s.id for s in machine.sessions()] == [1, 2, 9]
    assert [s.id for s in machine.sessions(start_after=1)] == [2, 9]


@pytest.mark.parametrize("id", [0, -1])
def test_session_ids_are_positive(machine: StateMachine, id: int) -> None:
    ((_, result),) = do(machine, SessionOpen(id, 1000))
    assert code(result) is Code.UNDECODABLE


def test_close_takes_the_keys_along(machine: StateMachine) -> None:
    session = machine.session(1)
    assert session is not None and machine.session_keys(1) == (b"a", b"b")
    applied = machine.apply(bundle([SessionClose(1), SessionClose(2), SessionClose(2)]))
    assert [(o.revision, o.result) for o in applied.outcomes[:2]] == [
        (4, SessionResult(session, 2)),
        (4, SessionResult(Session(2, 1000, None, (), 1), 0)),
    ]
    gone = applied.outcomes[2].result
    assert isinstance(gone, Failure) and (gone.code, gone.value) == (Code.SESSION_NOT_FOUND, 2)
    assert applied.ended == [1, 2]
    (batch,) = applied.batches
    assert [(e.key, e.kv, e.cause) for e in batch.events] == [
        (b"a", None, Cause.SESSION_CLOSED),
        (b"b", None, Cause.SESSION_CLOSED),
    ]
    assert (machine.key_count, machine.session_count) == (0, 0)


def test_expire(machine: StateMachine) -> None:
    do(machine, Write(Put(b"c", b"", 2)))
    applied = machine.apply(bundle([SessionExpire(3, (2, 8, 1, 2), Cause.CONNECTION_LOST)]))
    assert applied.ended == [2, 1]
    assert [(o.revision, o.result) for o in applied.outcomes] == [(6, Done())]
    assert [[(e.key, e.cause) for e in batch.events] for batch in applied.batches] == [
        [(b"c", Cause.CONNECTION_LOST)],
        [(b"a", Cause.CONNECTION_LOST), (b"b", Cause.CONNECTION_LOST)],
    ]


@pytest.mark.parametrize("term", [2, 4, 0])
def test_deposed_leader_ends_nobody(machine: StateMachine, term: int) -> None:
    assert do(machine, SessionExpire(term, (1, 2))) == [(3, Done())]
    assert machine.session_count == 2


def test_nobody_is_expired_before_a_leader() -> None:
    machine = StateMachine()
    do(machine, SessionOpen(1, 1000), SessionExpire(0, (1,)))
    assert machine.session_count == 1


def test_elections() -> None:
    machine = StateMachine()
    assert machine.apply(bundle([LeaderElected(2, 5), LeaderElected(4, 6)])).elected == 4
    assert (machine.leader_term, machine.cluster_id) == (4, 5)
    assert machine.apply(bundle([LeaderElected(3, 7)])).elected == 3
    assert (machine.leader_term, machine.cluster_id) == (4, 5)
    assert machine.apply(bundle([Compact(1)])).elected is None
    assert machine.revision == 1


def test_a_digest_check_is_told_and_changes_nothing() -> None:
    machine = StateMachine()
    do(machine, Write(Put(b"/a", b"")))
    before = machine.digest(), machine.revision
    applied = machine.apply(bundle([DigestCheck(1), DigestCheck(2)]))
    assert applied.check == 2 and not applied.batches
    assert [outcome.result for outcome in applied.outcomes] == [Done(), Done()]
    assert (machine.digest(), machine.revision) == before
    assert machine.apply(bundle([Compact(1)])).check is None


# --- numbered requests --------------------------------------------------------------------------


def test_request_applies_once(machine: StateMachine) -> None:
    put = Write(Put(b"q/", b"", sequence=True), RequestId(2, 1))
    first, second = do(machine, put, put)
    assert first == second == (4, PutResult(b"q/0000000000"))
    do(machine, Write(Put(b"z", b"")))
    applied = machine.apply(bundle([put]))
    assert (applied.outcomes[0].revision, applied.batches) == (4, [])
    assert machine.revision == 5


def test_failures_are_kept_too(machine: StateMachine) -> None:
    put = Write(Put(b"x", b"", 9), RequestId(2, 1))
    first = do(machine, put)
    do(machine, SessionOpen(9, 1000))
    assert do(machine, put) == first
    compact = Compact(50, RequestId(2, 2))
    assert do(machine, compact) == do(machine, compact)


def test_acknowledged_request_is_forgotten(machine: StateMachine) -> None:
    do(machine, Write(Put(b"x", b""), RequestId(2, 1)))
    do(machine, Write(Put(b"y", b""), RequestId(2, 2, 2)))
    ((revision, result),) = do(machine, Write(Put(b"x", b""), RequestId(2, 1)))
    assert (revision, code(result)) == (5, Code.REQUEST_FORGOTTEN)


def test_request_of_an_unknown_session(machine: StateMachine) -> None:
    ((_, result),) = do(machine, Write(Put(b"x", b""), RequestId(9, 1)))
    assert isinstance(result, Failure)
    assert (result.code, result.value) == (Code.REQUEST_FORGOTTEN, 9)
    assert b"x" not in keys(machine)


def test_request_window(machine: StateMachine) -> None:
    do(machine, *(Write(DeleteRange(Selector(b"x")), RequestId(2, n)) for n in range(1, 1025)))
    put = Write(Put(b"x", b""), RequestId(2, 1025))
    ((_, result),) = do(machine, put)
    assert code(result) is Code.REQUEST_WINDOW and b"x" not in keys(machine)
    put = Write(Put(b"x", b""), RequestId(2, 1025, 2))
    assert do(machine, put) == [(4, PutResult(b"x"))]


def test_request_that_ends_its_own_session(machine: StateMachine) -> None:
    close = SessionClose(1, RequestId(1, 1))
    ((_, closed), (_, again)) = do(machine, close, close)
    assert isinstance(closed, SessionResult) and closed.deleted == 2
    assert code(again) is Code.SESSION_NOT_FOUND


def test_request_that_ends_another_session(machine: StateMachine) -> None:
    close = SessionClose(1, RequestId(2, 1))
    first, second = do(machine, close, close)
    assert first == second
    assert isinstance(first[1], SessionResult) and first[1].deleted == 2


# --- the digest ---------------------------------------------------------------------------------


def test_digest_tells_states_apart() -> None:
    changes: list[Command] = [
        LeaderElected(1, 5),
        LeaderElected(2, 5),
        SessionOpen(1, 1000),
        Write(Put(b"a", b"")),
        Write(Put(b"a", b"", 1)),
        Write(Put(b"q/", b"", sequence=True)),
        Write(DeleteRange(Selector(b"none")), RequestId(1, 3)),
        Write(DeleteRange(Selector(b"none")), RequestId(1, 3, 2)),
        Compact(2),
        Write(DeleteRange(Selector(b"a"))),
        SessionClose(1),
    ]
    machine = StateMachine()
    digests = {machine.digest()}
    for change in changes:
        do(machine, change)
        assert len(machine.digest()) == 32
        digests.add(machine.digest())
    assert len(digests) == len(changes) + 1


def test_size_follows_what_is_kept(machine: StateMachine) -> None:
    before = machine.size_bytes
    do(machine, Write(Put(b"large", b"x" * 5000), RequestId(1, 1)))
    assert machine.size_bytes > before + 5000 + 3 * RECORD_OVERHEAD_BYTES
    do(machine, Write(DeleteRange(Selector(b"large"), prev_kv=True), RequestId(1, 2)))
    assert machine.size_bytes > before + 10_000, "history and a result hold the value"
    assert machine.history_size_bytes > 5000
    assert machine.revision_to_compact(10, 4999) == machine.revision
    do(machine, Compact(machine.revision, RequestId(1, 3, 3)))
    assert machine.history_size_bytes == 0
    assert before - 2 * RECORD_OVERHEAD_BYTES < machine.size_bytes < before
    do(machine, SessionClose(1), SessionClose(2), Compact(machine.revision + 1))
    assert machine.size_bytes == 0
    assert machine.untidy


def test_digest_follows_the_numbers(machine: StateMachine) -> None:
    seen = {machine.digest()}
    for command in (Compact(1), LeaderElected(4, 1), SessionOpen(3, 1000), Compact(2), Compact(3)):
        do(machine, command)
        seen.add(machine.digest())
    assert len(seen) == 6
