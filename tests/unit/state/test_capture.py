"""A capture that is read bit by bit, while the machine goes on, is the one that is read in one go."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.state import capture as capturing
from coordinator.state import hold
from coordinator.state.capture import Capture
from coordinator.state.commands import (
    Compact,
    DeleteRange,
    Put,
    Range,
    RequestId,
    Selector,
    SessionOpen,
    Write,
)
from coordinator.state.machine import StateMachine
from coordinator.state.results import Failure
from tests.unit.state.workload import bundle, entries, examples, lengths, seeds


def drain(capture: Capture) -> list[Callable[[], bytes]]:
    parts = []
    while (part := capture.read()) is not None:
        parts.append(part)
    return parts


def stream(machine: StateMachine) -> bytes:
    return b"".join(machine.capture().encode())


@examples(150)
@given(seeds, lengths, st.integers(1, 5), st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_going_on_changes_nothing(seed: int, length: int, page: int, pauses: list[int]) -> None:
    """Captures are begun, read and encoded in between commands, compactions and steps of tidying."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hold, "PAGE_RECORDS_MAX", page)
        patch.setattr(capturing, "PAGE_RECORDS_MAX", page)
        machine = StateMachine()
        under_way: list[tuple[Capture, list[Callable[[], bytes]], bytes]] = []
        finished = 0
        for index, entry in enumerate(entries(seed, length)):
            pause = pauses[index % len(pauses)]
            if pause < 3:
                under_way.append((machine.capture(), [], stream(machine)))
            machine.apply(entry)
            machine.tidy(pause)
            for reading, parts, whole in under_way[:]:
                part = reading.read()
                if part is not None:
                    parts.append(part)
                else:
                    assert b"".join(part() for part in parts) == whole
                    under_way.remove((reading, parts, whole))
                    finished += 1
        for reading, parts, whole in under_way:
            parts += drain(reading)
            assert b"".join(part() for part in parts) == whole
        while machine.tidy(100):
            pass
        assert not machine._keyspace._pins and not machine.untidy
        assert stream(machine) == stream(machine)


def test_parts_are_bounded_and_large_states_come_back() -> None:
    machine = StateMachine()
    for number in range(40):
        machine.apply(
            bundle(Write(Put(b"%04d" % (number * 100 + n), b"v" * 50)) for n in range(100))
        )
    machine.apply(bundle([Write(Put(b"large", b"x" * 900_000))]))
    parts = list(machine.capture().encode())
    assert len(parts) > 3
    assert sorted(map(len, parts))[-2] <= 2 * hold.PAGE_SIZE_BYTES
    other = StateMachine()
    other.restore(StateMachine.prepare(parts))
    assert other.digest() == machine.digest()


def test_parts_of_a_large_revision_are_bounded() -> None:
    machine = StateMachine()
    for number in range(0, 6000, 100):
        machine.apply(
            bundle(Write(Put(b"%04d" % n + b"k" * 1000, b"")) for n in range(number, number + 100))
        )
    machine.apply(bundle([Compact(machine.revision), Write(DeleteRange(Selector(b"", b"")))]))
    parts = list(machine.capture().encode())
    assert sum(map(len, parts)) > 10_000_000
    assert max(map(len, parts)) <= 2 * capturing.DRAIN_SIZE_BYTES
    other = StateMachine()
    other.restore(StateMachine.prepare(parts))
    assert other.digest() == machine.digest()


def test_parts_of_large_results_are_bounded() -> None:
    machine = StateMachine()
    machine.apply(bundle([SessionOpen(id, 1000) for id in (1, 2)]))
    for sequence in range(10):
        for id in (1, 2):
            put = Put(b"a", b"x" * 700_000, prev_kv=True)
            machine.apply(bundle([Write(put, RequestId(id, sequence))]))
    machine.apply(bundle([Compact(machine.revision)]))
    parts = list(machine.capture().encode())
    assert sum(map(len, parts)) > 8_000_000
    assert max(map(len, parts)) <= 2 * capturing.DRAIN_SIZE_BYTES
    other = StateMachine()
    other.restore(StateMachine.prepare(parts))
    assert other.digest() == machine.digest()


def test_parts_are_encoded_on_another_thread_after_all_is_forgotten() -> None:
    machine = StateMachine()
    for number in range(0, 5000, 100):
        machine.apply(bundle(Write(Put(b"%04d" % n, b"v")) for n in range(number, number + 100)))
    whole, reading = stream(machine), machine.capture()
    parts = drain(reading)
    machine.apply(bundle([Write(DeleteRange(Selector(b"", b""))), Compact(machine.revision + 1)]))
    while machine.tidy(1000):
        pass
    assert isinstance(machine.range(Range(Selector(b""), 2)), Failure)
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.extend(part() for part in parts))
    thread.start()
    thread.join()
    assert b"".join(found) == whole


def test_release_ends_a_capture() -> None:
    machine = StateMachine()
    machine.apply(bundle([Write(Put(b"a", b"1")), Write(Put(b"a", b"2"))]))
    reading = machine.capture()
    assert reading.read() is not None
    machine.apply(bundle([Compact(3)]))
    assert not machine.untidy
    reading.release()
    reading.release()
    assert reading.read() is None
    assert machine.untidy
