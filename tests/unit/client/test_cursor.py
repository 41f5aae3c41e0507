from __future__ import annotations

import pytest

from coordinator_client import Compacted, EventBatch, InvalidArgument, LimitExceeded
from coordinator_client.compares import selector
from coordinator_client.cursor import NodeUnsuited, WatchCursor, WatchSpec
from coordinator_client.pb import common_pb2, watch_pb2
from coordinator_client.updates import Update

ALL = selector("/a/", prefix=True)
CLUSTER = 77


def said(**response: object) -> Update:
    message = watch_pb2.WatchResponse(watch_id=1, **response)  # type: ignore[arg-type]  # one of many
    return Update(message, CLUSTER)


def created(start_revision: int) -> Update:
    return said(created=watch_pb2.WatchCreated(start_revision=start_revision))


def batch(revision: int, *keys: str, partial: bool = False) -> common_pb2.EventBatch:
    events = [common_pb2.Event(kv=common_pb2.KeyValue(key=key.encode())) for key in keys]
    return common_pb2.EventBatch(revision=revision, events=events, partial=partial)


def events(*batches: common_pb2.EventBatch) -> Update:
    return said(events=watch_pb2.WatchEvents(batches=batches))


def progressed(revision: int) -> Update:
    return said(progressed=watch_pb2.WatchProgressed(revision=revision))


def snapshot(revision: int, *keys: str, last: bool = True) -> Update:
    kvs = [common_pb2.KeyValue(key=key.encode()) for key in keys]
    return said(snapshot=watch_pb2.WatchSnapshot(kvs=kvs, revision=revision, last=last))


def canceled(reason: watch_pb2.WatchCanceled.Reason, revision: int = 0) -> Update:
    return said(canceled=watch_pb2.WatchCanceled(reason=reason, compacted_revision=revision))


def taken(cursor: WatchCursor) -> list[tuple[int, list[str]]]:
    found = []
    while (item := cursor.take()) is not None:
        names = [kv.name for kv in item.kvs] + [event.kv.name for event in item.events]
        found.append((item.revision, names))
    return found


def test_a_first_request_says_what_was_asked_for() -> None:
    create = WatchCursor(WatchSpec(ALL, 5, prev=True, puts=False, local=True)).request()
    assert create.selector == ALL
    assert (create.start_revision, create.prev_kv, create.no_put, create.no_delete) == (
        5,
        True,
        True,
        False,
    )
    assert (create.local, create.with_snapshot, create.cluster_id, create.min_revision) == (
        True,
        False,
        0,
        0,
    )


def test_a_resume_goes_on_after_the_last_whole_revision() -> None:
    cursor = WatchCursor(WatchSpec(ALL, 5))
    cursor.request()
    cursor.receive(created(5))
    cursor.receive(
        events(batch(5, "/a/1"), batch(7, "/a/2", "/a/3"), batch(8, "/a/4", partial=True))
    )
    create = cursor.request()
    assert (create.start_revision, create.min_revision, create.cluster_id) == (8, 7, CLUSTER)
    assert not cursor.created
    cursor.receive(created(8))
    cursor.receive(events(batch(8, "/a/4", partial=True)))
    cursor.receive(events(batch(8, "/a/5"), batch(9, "/a/6")))
    whole = [(5, ["/a/1"]), (7, ["/a/2", "/a/3"]), (8, ["/a/4", "/a/5"]), (9, ["/a/6"])]
    assert taken(cursor) == whole


def test_what_comes_twice_is_delivered_once() -> None:
    cursor = WatchCursor(WatchSpec(ALL))
    cursor.receive(created(5))
    cursor.receive(events(batch(5, "/a/1"), batch(6, "/a/2")))
    cursor.receive(events(batch(5, "/a/1"), batch(6, "/a/2"), batch(7, "/a/3")))
    assert [revision for revision, _ in taken(cursor)] == [5, 6, 7]


def test_a_watch_that_saw_nothing_resumes_where_it_was_created() -> None:
    cursor = WatchCursor(WatchSpec(ALL))
    assert cursor.request().start_revision == 0
    cursor.receive(created(12))
    assert cursor.request().start_revision == 12


def test_progress_moves_the_place_to_resume_and_shows_only_on_request() -> None:
    for wanted in (False, True):
        cursor = WatchCursor(WatchSpec(ALL, progress=wanted))
        cursor.receive(created(5))
        cursor.receive(progressed(20))
        cursor.receive(progressed(10))
        assert cursor.next_revision == 21
        item = cursor.take()
        assert item == (EventBatch(20, progress=True) if wanted else None)
        assert cursor.take() is None


def test_a_future_start_is_not_waited_for() -> None:
    cursor = WatchCursor(WatchSpec(ALL, 500, min_revision=3))
    assert cursor.request().min_revision == 3


def test_a_snapshot_is_one_batch_and_is_not_asked_for_again() -> None:
    cursor = WatchCursor(WatchSpec(ALL, snapshot=True))
    assert cursor.request().with_snapshot
    cursor.receive(created(9))
    cursor.receive(progressed(9))
    cursor.receive(snapshot(9, "/a/1", last=False))
    assert cursor.take() is None
    # The node dies in the middle: all of it is asked for again.
    create = cursor.request()
    assert (create.with_snapshot, create.start_revision) == (True, 0)
    cursor.receive(snapshot(10, "/a/1", last=False))
    cursor.receive(snapshot(10, "/a/2"))
    item = cursor.take()
    assert item is not None
    assert (item.snapshot, item.revision, [kv.name for kv in item.kvs]) == (
        True,
        10,
        ["/a/1", "/a/2"],
    )
    create = cursor.request()
    assert (create.with_snapshot, create.start_revision, create.min_revision) == (False, 11, 10)


def test_compaction_ends_a_watch() -> None:
    cursor = WatchCursor(WatchSpec(ALL, 5))
    with pytest.raises(Compacted) as caught:
        cursor.receive(canceled(watch_pb2.WatchCanceled.REASON_COMPACTED, 30))
    assert caught.value.compacted_revision == 30


def test_compaction_brings_a_snapshot_watch_another_snapshot_that_is_not_older() -> None:
    cursor = WatchCursor(WatchSpec(ALL, snapshot=True))
    cursor.request()
    cursor.receive(created(9))
    cursor.receive(snapshot(9))
    with pytest.raises(NodeUnsuited):
        cursor.receive(canceled(watch_pb2.WatchCanceled.REASON_COMPACTED, 30))
    create = cursor.request()
    assert (create.with_snapshot, create.start_revision, create.min_revision) == (True, 0, 9)
    cursor.receive(created(31))
    cursor.receive(snapshot(40, "/a/9"))
    assert taken(cursor) == [(9, []), (40, ["/a/9"])]
    assert cursor.next_revision == 41


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (watch_pb2.WatchCanceled.REASON_INVALID, InvalidArgument),
        (watch_pb2.WatchCanceled.REASON_LIMIT, LimitExceeded),
        (watch_pb2.WatchCanceled.REASON_UNAVAILABLE, NodeUnsuited),
    ],
)
def test_other_cancels(reason: watch_pb2.WatchCanceled.Reason, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        WatchCursor(WatchSpec(ALL)).receive(canceled(reason))


def test_contradictions_are_refused_at_once() -> None:
    with pytest.raises(InvalidArgument):
        WatchSpec(ALL, -1)
    with pytest.raises(InvalidArgument):
        WatchSpec(ALL, 5, snapshot=True)
    with pytest.raises(InvalidArgument):
        WatchSpec(ALL, puts=False, deletes=False)
