from __future__ import annotations

from coordinator_client.pb import common_pb2, watch_pb2
from coordinator_client.updates import updates

HEADER = common_pb2.ResponseHeader(cluster_id=7)


def event_batch(revision: int, *names: bytes) -> common_pb2.EventBatch:
    events = [common_pb2.Event(kv=common_pb2.KeyValue(key=name)) for name in names]
    return common_pb2.EventBatch(revision=revision, events=events)


def test_a_message_may_be_for_one_watch() -> None:
    created = watch_pb2.WatchCreated(start_revision=3)
    message = watch_pb2.WatchResponse(header=HEADER, watch_id=5, created=created)
    ((update, watch_ids),) = updates(message)
    assert watch_ids == [5] and update.kind == "created" and update.cluster_id == 7
    assert update.response.created.start_revision == 3


def test_a_message_may_tell_several_things_each_to_several_watches() -> None:
    one = watch_pb2.WatchEvents(batches=[event_batch(8, b"/a", b"/b"), event_batch(9, b"/a")])
    message = watch_pb2.WatchResponse(header=HEADER)
    message.grouped.add(watch_id=1, watch_ids=[2, 300], events=one)
    message.grouped.add(watch_id=2, progressed=watch_pb2.WatchProgressed(revision=9))
    (events, to), (progress, then_to) = updates(message)
    assert to == [1, 2, 300] and then_to == [2]
    assert (events.kind, progress.kind) == ("events", "progressed")
    assert events.cluster_id == progress.cluster_id == 7
    told = [(batch.revision, [e.kv.name for e in batch.events]) for batch, _ in events.batches()]
    assert told == [(8, ["/a", "/b"]), (9, ["/a"])]
    assert events.batches() is events.batches()  # decoded once, whoever asks
    assert not any(partial for _, partial in events.batches())


def test_a_message_may_say_nothing() -> None:
    assert not list(updates(watch_pb2.WatchResponse(header=HEADER)))
