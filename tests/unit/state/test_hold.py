from __future__ import annotations

import pytest

from coordinator.state import hold
from coordinator.state.commands import Compact, DeleteRange, Put, Selector, Write
from coordinator.state.hold import Hold
from coordinator.state.keyspace import Keyspace
from coordinator.state.machine import StateMachine
from coordinator.state.model import Event
from coordinator.state.sessions import Sessions
from tests.unit.state.test_keyspace import change
from tests.unit.state.workload import bundle


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "PAGE_RECORDS_MAX", 2)


@pytest.fixture
def keyspace() -> Keyspace:
    keyspace = Keyspace()
    change(keyspace, *((b"%d" % number, b"old") for number in range(5)))
    assert keyspace.compact(2) is None
    change(keyspace, (b"0", None), (b"1", b"new"), (b"9", b"new"))
    return keyspace


def take(keyspace: Keyspace) -> Hold:
    return Hold(keyspace, Sessions(), 0, 0)


def test_keys_are_those_of_the_moment_and_of_the_base(keyspace: Keyspace) -> None:
    held = take(keyspace)
    now, base = held.keys_now(), held.keys_at_base()
    seen = next(now) + next(base)
    change(keyspace, *((key, None) for key in (b"1", b"2", b"3", b"4", b"9")))
    change(keyspace, (b"0", b"newest"), (b"5", b"newest"), (b"3", b"newest"))
    assert keyspace.compact(5) is None
    while keyspace.tidy(1):
        pass
    for page in (*now, *base):
        seen += page
        assert len(page) <= 2
    assert sorted((kv.key, kv.value) for kv in seen) == sorted(
        [(b"%d" % number, b"old") for number in range(5)]
        + [(b"1", b"new"), (b"9", b"new"), *((b"%d" % number, b"old") for number in (2, 3, 4))]
    )
    assert [batch.revision for batch in held.batches()] == [3]


def test_pages_are_bounded_by_size(keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "PAGE_RECORDS_MAX", 100)
    monkeypatch.setattr(hold, "PAGE_SIZE_BYTES", 8)
    held = take(keyspace)
    assert [len(page) for page in held.keys_now()] == [2, 2, 1]


def test_release_lets_tidy_go_on(keyspace: Keyspace) -> None:
    one, other = take(keyspace), take(keyspace)
    assert keyspace.compact(3) is None
    while keyspace.tidy(100):
        pass
    assert keyspace._history.first_revision == 3 and not keyspace.untidy
    one.release()
    one.release()
    assert not keyspace.untidy and not keyspace.tidy(100)
    other.release()
    assert keyspace.untidy
    while keyspace.tidy(1):
        pass
    assert not keyspace._history and not keyspace._versions and not keyspace._departed


def test_nothing_is_read_after_release(keyspace: Keyspace) -> None:
    held = take(keyspace)
    held.release()
    with pytest.raises(AssertionError):
        next(held.keys_now())


def test_what_a_range_frees_is_still_held() -> None:
    """A range in the past frees keys on its way that only wait for `tidy`; not those that are held."""
    machine = StateMachine()
    machine.apply(bundle([Write(Put(b"a", b"1")), Compact(2)]))
    capture = machine.capture()
    machine.apply(bundle([Write(DeleteRange(Selector(b"a"))), Compact(3), Write(Put(b"b", b""))]))
    assert machine._keyspace.count_remembered(b"", None, 100) == 1
    other = StateMachine()
    other.restore(StateMachine.prepare(capture.encode()))
    assert other.key_count == 1
    assert machine._keyspace.count_remembered(b"", None, 100) == 1
    assert not machine._keyspace._departed


def test_events_of_a_large_batch_are_one_batch(keyspace: Keyspace) -> None:
    keyspace.commit(tuple(Event(kv.key, None, kv) for kv in keyspace.scan(b"", None)))
    assert [len(batch.events) for batch in take(keyspace).batches()] == [3, 5]
