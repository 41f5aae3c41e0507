from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.api.watch_groups import Group, encoded_batches, grouped, portions
from coordinator.node.watches import MatchedBatch
from coordinator.state.model import Event, KeyValue
from coordinator_client.pb import watch_pb2


def matched(revision: int, *keys: bytes, value: bytes = b"") -> MatchedBatch:
    events = tuple(Event(key, KeyValue(key, value, revision, revision, 1, 0), None) for key in keys)
    return MatchedBatch(revision, events)


def told(group: Group) -> dict[int, list[tuple[int, bytes]]]:
    """What each watch is told, message by message."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for message in group.messages():
        for response in watch_pb2.WatchResponse.FromString(message).grouped:
            for watch_id in (response.watch_id, *response.watch_ids):
                found.setdefault(watch_id, []).extend(
                    (batch.revision, event.kv.key)
                    for batch in response.events.batches
                    for event in batch.events
                )
    return found


def test_what_watches_are_told_alike_stands_there_once() -> None:
    shared, more = matched(5, b"/a", value=b"x" * 500), matched(6, b"/b")
    group = Group(10_000)
    for watch_id in range(1, 200):
        group.add([watch_id], False, [shared])
    group.add([200], False, [shared, more])
    group.add([201], True, [shared])
    group.add([202], False, [])
    (message,) = group.messages()
    assert message.count(b"x" * 500) == 3 and len(message) < 2_200
    assert 199 in group and 202 not in group and group.revision == 6
    found = told(group)
    assert found[7] == [(5, b"/a")] and found[200] == [(5, b"/a"), (6, b"/b")]
    assert len(found) == 201


def test_an_event_is_encoded_once() -> None:
    batch = matched(5, b"/a")
    first = encoded_batches(batch, False, 100)
    assert encoded_batches(batch, False, 100) is first
    assert encoded_batches(batch, True, 100) is not first


@given(
    st.lists(st.lists(st.integers(1, 60), max_size=5), min_size=1, max_size=5),
    st.integers(1, 2_000),
)
def test_messages_have_about_the_size_and_lose_nothing(
    sizes: list[list[int]], size_max: int
) -> None:
    group = Group(size_max)
    expected: dict[int, list[tuple[int, bytes]]] = {}
    for watch_id, of_watch in enumerate(sizes, 1):
        batches = [
            matched(revision, *(b"/%d" % i for i in range(count)))
            for revision, count in enumerate(of_watch, 2)
        ]
        group.add([watch_id], False, batches)
        if batches:
            expected[watch_id] = [(b.revision, e.key) for b in batches for e in b.events]
    assert told(group) == expected
    # A part of a batch may be larger by the event that it ends with, and by the frames around its events.
    assert all(len(message) <= 1.3 * size_max + 100 for message in group.messages())


def test_one_watch_alone_is_told_without_a_group() -> None:
    group = Group(100)
    group.add([4], False, [matched(5, b"/a", value=b"x" * 60), matched(6, b"/b", value=b"y" * 60)])
    messages = [watch_pb2.WatchResponse.FromString(m) for m in group.messages_for(4)]
    assert [m.watch_id for m in messages] == [4, 4] and not any(m.grouped for m in messages)
    assert [b.revision for m in messages for b in m.events.batches] == [5, 6]


def test_portions_of_parts() -> None:
    parts = [b"aa", b"b", b"cccc", b"d"]
    assert list(portions(parts, 3)) == [b"aab", b"cccc", b"d"]
    assert not list(portions([], 3))


def test_a_response_within_another() -> None:
    content = watch_pb2.WatchProgressed(revision=9).SerializeToString()
    message = watch_pb2.WatchResponse.FromString(grouped([3, 300], "progressed", content))
    (response,) = message.grouped
    assert (response.watch_id, list(response.watch_ids)) == (3, [300])
    assert response.progressed.revision == 9
