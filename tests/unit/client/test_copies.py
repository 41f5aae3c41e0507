from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_client import CacheChange, Cause, Event, EventBatch, EventType, KeyValue
from coordinator_client.copies import CopyBuffer, OrderedCopy, end_of_prefix
from coordinator_client.errors import InvalidArgument

KEYS = st.builds(lambda i: b"/a/%d" % i, st.integers(0, 150))


def kv(key: bytes, revision: int, value: bytes = b"") -> KeyValue:
    return KeyValue(key, value, revision, revision, 1)


def put(key: bytes, revision: int) -> Event:
    return Event(EventType.PUT, kv(key, revision))


def delete(key: bytes, revision: int, cause: Cause = Cause.DELETED) -> Event:
    return Event(EventType.DELETE, kv(key, revision), cause=cause)


@given(st.lists(st.tuples(st.booleans(), st.dictionaries(KEYS, st.booleans(), max_size=150))))
def test_a_copy_is_what_the_batches_come_to(steps: list[tuple[bool, dict[bytes, bool]]]) -> None:
    """Against a plain dict; a reader that takes nothing until the end learns the difference."""
    copy, model = OrderedCopy(b"/a/"), dict[bytes, KeyValue]()
    first, late = CopyBuffer((), 0), CopyBuffer((), 0)
    followed = dict[bytes, KeyValue]()
    for revision, (snapshot, changes) in enumerate(steps, 1):
        if snapshot:
            model = {key: kv(key, revision) for key, there in changes.items() if there}
            batch = EventBatch(
                revision, snapshot=True, kvs=tuple(model[key] for key in sorted(model))
            )
        else:
            events = tuple(
                put(key, revision) if there else delete(key, revision)
                for key, there in changes.items()
            )
            for event in events:
                model.pop(event.key, None)
                if event.is_put:
                    model[event.key] = event.kv
            batch = EventBatch(revision, events)
        for change in copy.apply(batch):
            first.add(change)
            late.add(change)
        follow(first, followed)
        assert followed == model
        assert copy.revision == revision
        assert copy.range(b"/a/", prefix=True, range_end=None, limit=0) == tuple(
            model[key] for key in sorted(model)
        )
    told = dict[bytes, KeyValue]()
    follow(late, told)
    assert told == model


def follow(buffer: CopyBuffer, known: dict[bytes, KeyValue]) -> None:
    while (change := buffer.take()) is not None:
        assert change.prev == known.get(change.key)
        if change.kv is None:
            del known[change.key]
        else:
            known[change.key] = change.kv


def test_reads() -> None:
    copy = OrderedCopy(b"/a/")
    keys = [b"/a/1", b"/a/10", b"/a/2", b"/a/3"]
    copy.apply(EventBatch(5, snapshot=True, kvs=tuple(kv(key, 5) for key in keys)))

    def names(key: bytes, prefix: bool = False, end: bytes | None = None, limit: int = 0) -> str:
        found = copy.range(key, prefix=prefix, range_end=end, limit=limit)
        return " ".join(kv.key.decode().removeprefix("/a/") for kv in found)

    assert names(b"/a/", prefix=True) == "1 10 2 3"
    assert names(b"/a/1", prefix=True) == "1 10"
    assert names(b"/a/1") == "1"
    assert names(b"/a/0") == ""
    assert names(b"/a/10", end=b"/a/3") == "10 2"
    assert names(b"/a/3", end=b"/a/1") == ""
    assert names(b"/a/2", end=b"/a0") == "2 3"
    assert names(b"/a/", prefix=True, limit=2) == "1 10"
    assert copy.get("/a/2") == kv(b"/a/2", 5)
    assert copy.get("/a/0") is None
    assert len(copy) == 4
    for wrong in (b"/b", b"/a"):
        with pytest.raises(InvalidArgument, match="outside of the cache of /a/"):
            copy.get(wrong)
        with pytest.raises(InvalidArgument, match="outside"):
            names(wrong, prefix=True)
    for end in (b"/a1", b"\0"):
        with pytest.raises(InvalidArgument, match="range_end"):
            names(b"/a/1", end=end)


def test_a_copy_of_everything_has_no_upper_end() -> None:
    copy = OrderedCopy(b"")
    copy.apply(EventBatch(1, snapshot=True, kvs=(kv(b"a", 1), kv(b"\xff\xff", 1))))
    assert len(copy.range(b"", prefix=True, range_end=None, limit=0)) == 2
    assert len(copy.range(b"b", prefix=False, range_end=b"\0", limit=0)) == 1


def test_ends_of_prefixes() -> None:
    assert end_of_prefix(b"/a/") == b"/a0"
    assert end_of_prefix(b"a\xff\xff") == b"b"
    assert end_of_prefix(b"\xff") is None
    assert end_of_prefix(b"") is None


def test_progress_moves_the_revision_and_nothing_moves_it_back() -> None:
    copy = OrderedCopy(b"/a/")
    assert copy.apply(EventBatch(7, progress=True)) == []
    assert copy.revision == 7
    assert copy.apply(EventBatch(3, progress=True)) == []
    assert copy.revision == 7


def test_changes_say_what_was_before_and_why() -> None:
    copy = OrderedCopy(b"/a/")
    old, new = kv(b"/a/1", 1), kv(b"/a/1", 2)
    assert copy.apply(EventBatch(1, (put(b"/a/1", 1),))) == [CacheChange(b"/a/1", old, None, 1)]
    assert copy.apply(EventBatch(2, (put(b"/a/1", 2),))) == [CacheChange(b"/a/1", new, old, 2)]
    gone = copy.apply(EventBatch(3, (delete(b"/a/1", 3, Cause.SESSION_EXPIRED),)))
    assert gone == [CacheChange(b"/a/1", None, new, 3, Cause.SESSION_EXPIRED)]
    assert copy.apply(EventBatch(4, (delete(b"/a/1", 4),))) == []


def test_a_reader_that_falls_behind_learns_what_it_comes_to() -> None:
    known, new = kv(b"/a/1", 1), kv(b"/a/2", 2)
    buffer = CopyBuffer([known], 1)
    assert buffer.take() == CacheChange(b"/a/1", known, None, 1)
    buffer.add(CacheChange(b"/a/2", new, None, 2))
    buffer.add(CacheChange(b"/a/2", None, new, 3))
    assert buffer.take() is None
    buffer.add(CacheChange(b"/a/1", None, known, 4))
    buffer.add(CacheChange(b"/a/1", kv(b"/a/1", 5), None, 5))
    assert buffer.take() == CacheChange(b"/a/1", kv(b"/a/1", 5), known, 5)
