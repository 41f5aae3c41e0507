"""What is kept of a session that ends. Random commands are compared with the rules in test_machine_properties."""

from __future__ import annotations

from coordinator.state.commands import (
    Command,
    DeleteRange,
    Heir,
    Keep,
    LeaderElected,
    Put,
    Range,
    Selector,
    SessionExpire,
    SessionOpen,
    Write,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.inheritance import read_wills
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, Event
from coordinator.state.results import Applied, RangeResult

HEIR = Heir(100, 500, (("why", "kept"),))


def apply(machine: StateMachine, *commands: Command) -> Applied:
    proposals = [encode_proposal(1, n, encode_command(c)) for n, c in enumerate(commands)]
    return machine.apply(encode_bundle(proposals))


def holding(*keys: bytes) -> StateMachine:
    """A leader of term 1, and a session 7 that owns these keys."""
    machine = StateMachine()
    apply(machine, LeaderElected(1, 5), SessionOpen(7, 1000))
    for key in keys:
        apply(machine, Write(Put(key, b"of 7", session=7)))
    return machine


def expiry(*kept: Keep, term: int = 1, heirs: tuple[Heir, ...] = (HEIR,)) -> SessionExpire:
    return SessionExpire(term, (7,), Cause.CONNECTION_LOST, heirs, kept)


def keep(key: bytes, mark: bytes, mark_revision: int = 0, heir: int = HEIR.id) -> Keep:
    return Keep(7, key, heir, mark, b"kept", mark_revision)


def owners(machine: StateMachine) -> dict[bytes, tuple[bytes, int]]:
    result = machine.range(Range(Selector(b"", b"")))
    assert isinstance(result, RangeResult)
    return {kv.key: (kv.value, kv.session) for kv in result.kvs}


def test_what_is_named_goes_to_the_heir_with_its_mark_in_one_revision() -> None:
    machine = holding(b"a", b"b")
    revision = machine.revision
    applied = apply(machine, expiry(keep(b"a", b"m")))
    assert machine.revision == revision + 1
    assert owners(machine) == {b"a": (b"of 7", 100), b"m": (b"kept", 100)}
    assert applied.ended == [7] and [s.id for s in applied.opened] == [100]
    assert machine.session(7) is None
    heir = machine.session(100)
    assert heir is not None and heir.ttl_ms == 500 and heir.metadata == (("why", "kept"),)
    (batch,) = applied.batches
    assert [(e.key, e.kv is None, e.cause) for e in batch.events] == [
        (b"a", False, Cause.NONE),
        (b"b", True, Cause.CONNECTION_LOST),
        (b"m", False, Cause.NONE),
    ]


def test_what_is_kept_is_the_same_key() -> None:
    machine = holding(b"a")
    before = machine.revision
    (batch,) = apply(machine, expiry(keep(b"a", b"m"))).batches
    event: Event = batch.events[0]
    assert event.kv is not None and event.prev is not None
    assert event.kv.create_revision == event.prev.create_revision == before
    assert event.kv.version == event.prev.version + 1


def test_an_heir_that_is_there_takes_more() -> None:
    machine = holding(b"a")
    apply(machine, SessionOpen(100, 9000))
    assert apply(machine, expiry(keep(b"a", b"m"))).opened == []
    heir = machine.session(100)
    assert heir is not None and heir.ttl_ms == 9000
    assert owners(machine)[b"a"] == (b"of 7", 100)


def test_no_heir_is_opened_for_nothing() -> None:
    machine = holding(b"a")
    assert apply(machine, expiry(keep(b"gone", b"m"))).opened == []
    assert owners(machine) == {} and machine.session(100) is None


def test_a_key_that_moved_on_is_not_touched() -> None:
    machine = holding(b"a")
    apply(machine, SessionOpen(8, 1000), Write(Put(b"a", b"of 8", session=8)))
    apply(machine, expiry(keep(b"a", b"m")))
    assert owners(machine) == {b"a": (b"of 8", 8)}


def test_a_mark_of_the_session_is_overwritten_and_moves() -> None:
    machine = holding(b"a", b"m")
    apply(machine, expiry(keep(b"a", b"m", machine.revision)))
    assert owners(machine) == {b"a": (b"of 7", 100), b"m": (b"kept", 100)}


def test_a_mark_that_was_written_since_keeps_its_word() -> None:
    machine = holding(b"a", b"m")
    decided_at = machine.revision
    apply(machine, Write(Put(b"m", b"by hand", session=7)))
    apply(machine, expiry(keep(b"a", b"m", decided_at)))
    assert owners(machine) == {b"a": (b"of 7", 100), b"m": (b"by hand", 100)}


def test_a_mark_that_went_since_is_not_written() -> None:
    machine = holding(b"a", b"m")
    decided_at = machine.revision
    apply(machine, Write(DeleteRange(Selector(b"m"))))
    apply(machine, expiry(keep(b"a", b"m", decided_at)))
    assert owners(machine) == {b"a": (b"of 7", 100)}


def test_a_mark_of_somebody_else_is_left_alone() -> None:
    machine = holding(b"a")
    apply(machine, SessionOpen(8, 1000), Write(Put(b"m", b"of 8", session=8)))
    apply(machine, expiry(keep(b"a", b"m", machine.revision)))
    assert owners(machine) == {b"a": (b"of 7", 100), b"m": (b"of 8", 8)}


def test_a_mark_that_is_kept_itself_is_no_mark() -> None:
    machine = holding(b"a", b"b")
    apply(machine, expiry(keep(b"a", b"b", machine.revision), keep(b"b", b"m")))
    kept = {b"a": (b"of 7", 100), b"b": (b"of 7", 100), b"m": (b"kept", 100)}
    assert owners(machine) == kept


def test_a_deposed_leader_keeps_nothing_and_ends_nobody() -> None:
    machine = holding(b"a")
    apply(machine, LeaderElected(2, 5))
    apply(machine, expiry(keep(b"a", b"m")))
    assert owners(machine) == {b"a": (b"of 7", 7)}


def test_who_names_no_heir_or_one_that_ends_keeps_nothing() -> None:
    assert read_wills(expiry(keep(b"a", b"m", heir=101))) == {}
    assert read_wills(expiry(keep(b"a", b"m", heir=7), heirs=(Heir(7, 1),))) == {}
    assert read_wills(expiry(keep(b"a", b"m", heir=0), heirs=(Heir(0, 1),))) == {}
    machine = holding(b"a")
    apply(machine, expiry(keep(b"a", b"m", heir=101)))
    assert owners(machine) == {}


def test_what_was_kept_goes_when_the_heir_ends() -> None:
    machine = holding(b"a")
    apply(machine, expiry(keep(b"a", b"m")))
    apply(machine, SessionExpire(1, (100,)))
    assert owners(machine) == {} and machine.session(100) is None
