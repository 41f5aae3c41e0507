from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest

from coordinator.errors import DamageError
from coordinator.state import snapshot
from coordinator.state.commands import (
    Compact,
    DeleteRange,
    LeaderElected,
    Put,
    Range,
    RequestId,
    Selector,
    SessionClose,
    SessionOpen,
    Write,
)
from coordinator.state.machine import StateMachine
from coordinator.state.snapshot import Section
from tests.unit.state.workload import bundle

START = snapshot.MAGIC + bytes((snapshot.FORMAT_VERSION,))


@pytest.fixture
def machine() -> StateMachine:
    """A machine with something of everything."""
    machine = StateMachine()
    machine.apply(
        bundle(
            [
                LeaderElected(3, 77),
                SessionOpen(1, 1000, None, (("b", "1"), ("a", "2"))),
                SessionOpen(2, 1000, 5),
                SessionOpen(3, 1000),
                Write(Put(b"a", b"1", 2)),
                Write(Put(b"q/", b"", 1, sequence=True), RequestId(1, 4, 3)),
                Write(Put(b"a", b"2", 3), RequestId(1, 5, 3)),
                Compact(3),
                Write(DeleteRange(Selector(b"q/", b"r")), RequestId(2, 1)),
                Write(Put(b"a", b"3", 1)),
                Write(Put(b"b", b"1", 99), RequestId(2, 2)),
                SessionClose(3),
                Write(Put(b"b", b"1")),
            ]
        )
    )
    return machine


def stream(machine: StateMachine) -> bytes:
    return b"".join(machine.capture().encode())


def sections(machine: StateMachine) -> dict[Section, list[Any]]:
    """The records of a stream, for tests to falsify."""
    rest = stream(machine)[len(START) :]
    found: dict[Section, list[Any]] = {section: [] for section in Section}
    while rest:
        stop = 4 + int.from_bytes(rest[:4], "big")
        section, records = msgspec.msgpack.decode(rest[4:stop])
        found[Section(section)] += records
        rest = rest[stop:]
    return found


def join(found: dict[Section, list[Any]]) -> bytes:
    joined = START
    for section, records in found.items():
        frame = msgspec.msgpack.encode([section, records])
        joined += len(frame).to_bytes(4, "big") + frame
    return joined


def refuses(machine: StateMachine, slices: Iterable[bytes], reason: str = "") -> None:
    before = machine.digest()
    with pytest.raises(DamageError, match=reason or None):
        StateMachine.prepare(slices)
    assert machine.digest() == before


def test_everything_comes_back(machine: StateMachine) -> None:
    other = StateMachine()
    other.restore(StateMachine.prepare(machine.capture().encode()))
    assert other.digest() == machine.digest()
    assert (other.revision, other.compacted_revision) == (7, 3)
    assert (other.cluster_id, other.leader_term) == (77, 3)
    assert list(other.sessions()) == list(machine.sessions())
    assert other.session_keys(1) == (b"a",)
    assert other.sequence_parent_count == 1
    assert other.batches(4, 9) == machine.batches(4, 9)
    for revision in range(3, 8):
        query = Range(Selector(b"", b""), revision)
        assert other.range(query) == machine.range(query)
    for command in (
        Write(Put(b"x", b""), RequestId(1, 4, 3)),
        Write(Put(b"x", b""), RequestId(1, 2)),
    ):
        assert other.apply(bundle([command])) == machine.apply(bundle([command]))


def test_slices_may_be_cut_anywhere(machine: StateMachine) -> None:
    whole = stream(machine)
    other = StateMachine()
    for size in (1, 3, 50, len(whole)):
        other.restore(
            StateMachine.prepare(
                whole[start : start + size] for start in range(0, len(whole), size)
            )
        )
        assert other.digest() == machine.digest()


def test_empty_machine(machine: StateMachine) -> None:
    machine.restore(StateMachine.prepare(StateMachine().capture().encode()))
    assert (machine.revision, machine.key_count, machine.cluster_id) == (1, 0, 0)
    assert machine.digest() == StateMachine().digest()


def test_format_stays() -> None:
    """What was written by an earlier release is read by this one, and hashed the same."""
    machine = StateMachine()
    machine.apply(
        bundle(
            [
                LeaderElected(1, 5),
                SessionOpen(1, 9),
                Write(Put(b"a", b"1", 1)),
                Compact(2),
                Write(Put(b"q/", b"", sequence=True), RequestId(1, 2, 1)),
            ]
        )
    )
    assert stream(machine).hex() == (
        "435354415445010000000892009194030205010000000b92019192950109c0900101000000199202"
        "919401020393a170c40c712f30303030303030303030c00000000992039192c402712f010000000e"
        "92049196c40161c4013102020101000000169205919193c40c712f30303030303030303030c40000"
        "00000009920691950101010101"
    )
    assert machine.digest() == "55f2f3ed78fff19c3b792dc71b3b369f"


def test_every_cut_is_noticed(machine: StateMachine) -> None:
    whole = stream(machine)
    for stop in range(len(whole)):
        refuses(machine, [whole[:stop]])
    refuses(machine, [whole, b"\0"])
    refuses(machine, [])


def test_strange_beginnings(machine: StateMachine) -> None:
    refuses(machine, [b"GIF89a and more"], "does not begin like one")
    refuses(machine, [snapshot.MAGIC + b"\x02"], "format version")
    refuses(machine, [START + b"\0\0\0\x01\x91"])
    refuses(machine, [START + (9000).to_bytes(4, "big") + b"\x91" * 9000])


def falsify(found: dict[Section, list[Any]]) -> Iterator[tuple[str, dict[Section, list[Any]]]]:
    """Yields streams that are whole and well-formed, and could not have come about."""

    def changed(section: Section, records: list[Any]) -> dict[Section, list[Any]]:
        return {**found, section: records}

    head, keys, changes = found[Section.HEAD][0], found[Section.KEYS], found[Section.CHANGES]
    sessions, results = found[Section.SESSIONS], found[Section.RESULTS]
    (key, *others) = keys
    yield "gap", changed(Section.HEAD, [[head[0] + 1, *head[1:]]])
    yield "revision", changed(Section.HEAD, [[0, *head[1:]]])
    yield "compacted", changed(Section.HEAD, [[head[0], head[0] + 1, *head[2:]]])
    yield "head", changed(Section.HEAD, [[*head[:2], -1, head[3]]])
    yield "one head", changed(Section.HEAD, [head, head])
    yield "sessions are out of order", changed(Section.SESSIONS, sessions[::-1])
    yield "floor", changed(Section.SESSIONS, [[sessions[0][0], -1], *sessions[1:]])
    yield "result's session", changed(Section.SESSIONS, sessions[1:])
    orphaned = {Section.SESSIONS: sessions[1:], Section.RESULTS: results[2:]}
    yield "key's session", found | orphaned | {Section.END: [[1, 2, *found[Section.END][0][2:]]]}
    yield "results are out of order", changed(Section.RESULTS, [results[0], *results])
    yield "acknowledged", changed(Section.RESULTS, [[1, 2, *results[0][2:]], *results])
    yield "counters", changed(Section.COUNTERS, [[b"q/", 1], [b"q/", 2]])
    yield "counter is", changed(Section.COUNTERS, [[b"q/", 0]])
    yield "keys are out of order", changed(Section.KEYS, [key, key, *others])
    yield "key is out of bounds", changed(Section.KEYS, [[*key[:3], 4, *key[4:]], *others])
    yield "key is out of bounds", changed(Section.KEYS, [[*key[:4], 0, key[5]], *others])
    yield "no changes", changed(Section.CHANGES, [[], *changes[1:]])
    yield "twice", changed(Section.CHANGES, [changes[0] * 2, *changes[1:]])
    yield "not there", changed(Section.CHANGES, [[[b"z", None, 1]], *changes[1:]])
    yield "", changed(Section.CHANGES, [[[b"a", None, 99]], *changes[1:]])
    yield "complete", changed(Section.END, [[0, 0, 0, 0, 0]])
    yield "complete", changed(Section.END, [])
    yield "complete", changed(Section.END, found[Section.END] * 2)
    backwards = {section: found[section] for section in (Section.HEAD, Section.RESULTS)}
    yield "", backwards | found


def test_untrue_streams_are_refused(machine: StateMachine) -> None:
    found = sections(machine)
    StateMachine.prepare([join(found)])
    assert all(found.values()), "every section is put to the test"
    for reason, false in falsify(found):
        refuses(machine, [join(false)], reason)


def test_prepared_state_is_taken_once(machine: StateMachine) -> None:
    prepared = StateMachine.prepare([stream(machine)])
    one = StateMachine()
    one.restore(prepared)
    assert one.digest() == machine.digest()
    with pytest.raises(AssertionError):
        StateMachine().restore(prepared)
