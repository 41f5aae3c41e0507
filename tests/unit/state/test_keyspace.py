from __future__ import annotations

import pytest

from coordinator.state.keyspace import Keyspace
from coordinator.state.model import Cause, Event, KeyValue
from coordinator.state.results import Code, Failure
from coordinator.state.tally import RECORD_OVERHEAD_BYTES


def change(keyspace: Keyspace, *changes: tuple[bytes, bytes | None], session: int = 0) -> None:
    """Commits puts (key, value) and deletes (key, None) under one revision."""
    revision = keyspace.revision + 1
    events = []
    for key, value in changes:
        prev = keyspace.get(key)
        if value is None:
            events.append(Event(key, None, prev, Cause.DELETED))
        elif prev is None:
            kv = KeyValue(key, value, revision, revision, 1, session)
            events.append(Event(key, kv, prev))
        else:
            kv = KeyValue(key, value, prev.create_revision, revision, prev.version + 1, session)
            events.append(Event(key, kv, prev))
    keyspace.commit(tuple(events))


def at(keyspace: Keyspace, revision: int) -> dict[bytes, bytes]:
    view = keyspace.at(revision)
    assert not isinstance(view, Failure)
    kvs = {kv.key: kv.value for kv in view.scan(b"", None)}
    assert list(kvs) == sorted(kvs)
    assert view.count(b"", None) == len(kvs)
    for key, value in kvs.items():
        kv = view.get(key)
        assert kv is not None and kv.value == value
    return kvs


@pytest.fixture
def example() -> Keyspace:
    """The worked example of the module, between two other keys."""
    keyspace = Keyspace()
    change(keyspace, (b"a", b"1"))
    change(keyspace, (b"a", b"2"))
    change(keyspace, (b"a", None))
    change(keyspace, (b"a", b"3"), (b"b", b"1"))
    return keyspace


STATES = {1: {}, 2: {b"a": b"1"}, 3: {b"a": b"2"}, 4: {}, 5: {b"a": b"3", b"b": b"1"}}


def test_every_revision_can_be_read(example: Keyspace) -> None:
    for revision, state in STATES.items():
        assert at(example, revision) == state
    assert at(example, 0) == STATES[5]


@pytest.mark.parametrize("tidy", [False, True])
@pytest.mark.parametrize("compacted", [1, 2, 3, 4, 5])
def test_compaction_hides_what_is_below(example: Keyspace, compacted: int, tidy: bool) -> None:
    assert example.compact(compacted) is None
    while tidy and example.tidy(1):
        pass
    assert example.history_size == 5 - compacted
    for revision, state in STATES.items():
        if revision < compacted:
            answer = example.at(revision)
            assert isinstance(answer, Failure)
            assert (answer.code, answer.value) == (Code.COMPACTED, compacted)
        else:
            assert at(example, revision) == state
    refused = example.batches(compacted, 10)
    assert isinstance(refused, Failure) and refused.code is Code.COMPACTED
    batches = example.batches(compacted + 1, 10)
    assert not isinstance(batches, Failure)
    assert [batch.revision for batch in batches] == list(range(compacted + 1, 6))


def test_bounds_of_compaction(example: Keyspace) -> None:
    failure = example.compact(6)
    assert failure is not None
    assert (failure.code, failure.value) == (Code.FUTURE_REVISION, 5)
    assert example.compact(3) is None
    for revision in (3, 2, 0, -1):
        failure = example.compact(revision)
        assert failure is not None
        assert (failure.code, failure.value) == (Code.COMPACTED, 3)
    assert example.compacted_revision == 3


def test_future_can_not_be_read(example: Keyspace) -> None:
    answer = example.at(6)
    assert isinstance(answer, Failure)
    assert (answer.code, answer.value) == (Code.FUTURE_REVISION, 5)


def test_batches_begin_where_asked(example: Keyspace) -> None:
    for first, limit, revisions in ((1, 2, [2, 3]), (3, 9, [3, 4, 5]), (5, 1, [5]), (9, 5, [])):
        batches = example.batches(first, limit)
        assert not isinstance(batches, Failure)
        assert [batch.revision for batch in batches] == revisions
    last = example.batches(5, 1)
    assert not isinstance(last, Failure)
    assert [event.key for event in last[0].events] == [b"a", b"b"]


def test_tidy_leaves_nothing_behind(example: Keyspace) -> None:
    change(example, (b"b", None))
    example.compact(6)
    steps = 1
    while example.tidy(1):
        steps += 1
    assert steps == 6  # one per event
    assert not example._versions and not example._departed and not example._history
    assert not example.tidy(1)
    change(example, (b"b", b"2"))
    assert at(example, 6) == {b"a": b"3"}
    assert at(example, 7) == {b"a": b"3", b"b": b"2"}


def test_tidy_goes_through_a_large_revision_in_slices() -> None:
    keyspace = Keyspace()
    names = [b"%03d" % number for number in range(100)]
    change(keyspace, *((name, b"") for name in names))
    change(keyspace, *((name, None) for name in names))
    keyspace.compact(3)
    assert keyspace.tidy(30)
    assert len(keyspace._departed) == 70
    assert keyspace.tidy(169)
    assert not keyspace.tidy(1)
    assert not keyspace._departed and not keyspace._versions


def test_sessions_own_keys() -> None:
    keyspace = Keyspace()
    change(keyspace, (b"b", b""), (b"a", b""), session=7)
    change(keyspace, (b"c", b""), session=8)
    assert keyspace.keys_of(7) == (b"a", b"b")
    change(keyspace, (b"a", b""), session=8)
    assert (keyspace.keys_of(7), keyspace.keys_of(8)) == ((b"b",), (b"a", b"c"))
    change(keyspace, (b"b", b""), session=0)
    change(keyspace, (b"c", None))
    assert (keyspace.key_count_of(7), keyspace.key_count_of(8)) == (0, 1)
    assert list(keyspace.owners()) == [8]


def test_remembered_keys_are_live_or_gone_since_compaction() -> None:
    keyspace = Keyspace()
    change(keyspace, *((b"%d" % number, b"") for number in range(6)))
    change(keyspace, (b"1", None), (b"2", None))
    change(keyspace, (b"3", None))
    assert keyspace.count_remembered(b"", None, 100) == 6
    assert keyspace.count_remembered(b"1", b"3", 100) == 2
    assert keyspace.count_remembered(b"", None, 3) == 4
    assert keyspace.compact(3) is None
    # Keys 1 and 2 are gone for good, but still lie about: freeing them is all the same to the reader, and to tidy.
    assert keyspace.count_remembered(b"1", b"3", 100) == 0
    assert keyspace.count_remembered(b"", None, 100) == 4
    assert at(keyspace, 3) == {b"0": b"", b"3": b"", b"4": b"", b"5": b""}
    while keyspace.tidy(1):
        pass
    assert keyspace.count_remembered(b"", None, 100) == 4
    assert at(keyspace, 3) == {b"0": b"", b"3": b"", b"4": b"", b"5": b""}


def test_revision_to_compact_to() -> None:
    keyspace = Keyspace()
    assert keyspace.revision_to_compact(0, 0) is None
    for _ in range(10):
        change(keyspace, (b"a", b"12345678"))
    first, other = RECORD_OVERHEAD_BYTES + 1, 2 * RECORD_OVERHEAD_BYTES + 10
    assert keyspace.history_size_bytes == first + 9 * other
    assert keyspace.revision_to_compact(10, first + 9 * other) is None
    assert keyspace.revision_to_compact(10, first + 9 * other - 1) == 2
    assert keyspace.revision_to_compact(4, 10**9) == 7
    assert keyspace.revision_to_compact(4, 3 * other) == 8
    assert keyspace.revision_to_compact(2, 3 * other) == 9
    assert keyspace.revision_to_compact(10, other - 1) == 11
    assert keyspace.compact(8) is None
    for _ in range(12):
        assert keyspace.history_size_bytes == 3 * other
        assert keyspace.revision_to_compact(10, 3 * other) is None
        assert keyspace.revision_to_compact(10, 2 * other) == 9
        assert keyspace.revision_to_compact(1, 10**9) == 10
        keyspace.tidy(1)


def test_size_grows_and_shrinks() -> None:
    keyspace = Keyspace()
    change(keyspace, (b"a", b"1234"), (b"b", b""))
    live = 2 * RECORD_OVERHEAD_BYTES + 6
    assert keyspace.size_bytes == live + 2 * RECORD_OVERHEAD_BYTES + 2
    assert keyspace.compact(2) is None
    assert keyspace.size_bytes == live
    change(keyspace, (b"a", None))
    assert keyspace.size_bytes == live + RECORD_OVERHEAD_BYTES + 1
    assert keyspace.compact(3) is None
    assert keyspace.size_bytes == RECORD_OVERHEAD_BYTES + 1
    keyspace.count_on(b"q/", 5)
    keyspace.count_on(b"q/", 6)
    assert keyspace.size_bytes == 2 * RECORD_OVERHEAD_BYTES + 3
