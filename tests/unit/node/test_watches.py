"""Watches tell each event once, in order, whether they keep up or replay."""

from __future__ import annotations

import asyncio
import random

from coordinator.config import Limits
from coordinator.node.watches import Compacted, Filter, Snapshot, WatchHub, WatchStream
from coordinator.state.commands import (
    Command,
    Compact,
    DeleteRange,
    Put,
    Selector,
    SessionOpen,
    Txn,
    Write,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.machine import StateMachine

ALL = Selector(b"", b"")


class World:
    """A state machine and a hub, as a member joins them."""

    def __init__(self, **limits: int) -> None:
        self.limits = Limits(**limits)
        self.state = StateMachine()
        self.hub = WatchHub(self.state, self.limits)

    def apply(self, *commands: Command) -> None:
        proposals = [encode_proposal(1, i, encode_command(c)) for i, c in enumerate(commands)]
        self.hub.publish(self.state.apply(encode_bundle(proposals)).batches)

    def put(self, *keys: str, value: str = "v") -> None:
        self.apply(*(Write(Put(k.encode(), value.encode())) for k in keys))

    def stream(self) -> WatchStream:
        return WatchStream(self.hub, self.limits)


def hand_over(ahead: World, behind: World) -> None:
    """Puts the state of one in the place of the other's, as a snapshot does."""
    capture = ahead.state.capture()
    slices = []
    while (encode := capture.read()) is not None:
        slices.append(encode())
    capture.release()
    behind.state.restore(StateMachine.prepare(slices))


def drain(stream: WatchStream) -> dict[int, list[tuple[int, tuple[bytes, ...]]]]:
    """Takes all that is to be told: revisions and keys by watch."""
    told: dict[int, list[tuple[int, tuple[bytes, ...]]]] = {}
    while (taken := stream.take()) is not None:
        watcher, delivery = taken
        assert isinstance(delivery, list)
        for matched in delivery:
            keys = tuple(e.key for e in matched.events)
            told.setdefault(watcher.watch_id, []).append((matched.revision, keys))
    return told


async def test_a_synced_watch_gets_what_matches() -> None:
    world = World()
    stream = world.stream()
    stream.create(1, Filter(Selector(b"/a")), world.state.revision + 1)
    stream.create(2, Filter(Selector(b"/a", b"/b")), world.state.revision + 1)
    stream.create(3, Filter(ALL), world.state.revision + 1)
    world.put("/a", "/ab", "/c")
    assert drain(stream) == {
        1: [(2, (b"/a",))],
        2: [(2, (b"/a",)), (3, (b"/ab",))],
        3: [(2, (b"/a",)), (3, (b"/ab",)), (4, (b"/c",))],
    }
    assert stream.take() is None


async def test_a_watch_from_the_first_revision_of_an_empty_store_waits() -> None:
    world = World()
    stream = world.stream()
    watcher = stream.create(1, Filter(ALL), 1)
    # One look at history, which is empty; then there is nothing to do until something happens.
    while stream.take() is not None:
        assert not watcher.synced or watcher.idle
    world.put("/a")
    assert drain(stream) == {1: [(2, (b"/a",))]}


async def test_filters_leave_out_puts_or_deletes() -> None:
    world = World()
    stream = world.stream()
    stream.create(1, Filter(ALL, no_put=True), 2)
    stream.create(2, Filter(ALL, no_delete=True), 2)
    world.put("/a")
    world.apply(Write(DeleteRange(Selector(b"/a"))))
    assert drain(stream) == {1: [(3, (b"/a",))], 2: [(2, (b"/a",))]}


async def test_events_of_one_revision_stay_together() -> None:
    world = World()
    stream = world.stream()
    stream.create(1, Filter(ALL), 2)
    world.apply(Write(Txn((), (Put(b"/b", b""), Put(b"/a", b"")))))
    assert drain(stream) == {1: [(2, (b"/b", b"/a"))]}


async def test_a_watch_from_the_past_replays_and_goes_on() -> None:
    world = World()
    world.put(*(f"/{i:04}" for i in range(1_000)))
    stream = world.stream()
    watcher = stream.create(1, Filter(ALL), 2)
    assert not watcher.synced
    told = drain(stream)[1]
    world.put("/new")
    told += drain(stream)[1]
    assert [r for r, _ in told] == list(range(2, 1_003))


async def test_a_watch_from_the_future_waits_for_its_revision() -> None:
    world = World()
    stream = world.stream()
    stream.create(1, Filter(ALL), 4)
    world.put("/1", "/2", "/3", "/4")
    assert [r for r, _ in drain(stream)[1]] == [4, 5]


async def test_a_slow_watch_lets_go_of_its_queue_and_misses_nothing() -> None:
    world = World(watch_backlog_batches_max=10)
    stream = world.stream()
    watcher = stream.create(1, Filter(ALL), 2)
    for i in range(100):
        world.put(f"/{i}")
        assert len(watcher.queue) <= 10
    assert [r for r, _ in drain(stream)[1]] == list(range(2, 102))
    assert watcher.synced


async def test_a_compacted_start_ends_the_watch_and_says_where() -> None:
    world = World()
    world.put(*(f"/{i}" for i in range(10)))
    world.apply(Compact(6))
    stream = world.stream()
    stream.create(1, Filter(ALL), 6)
    taken = stream.take()
    assert taken is not None and isinstance(taken[1], Compacted)
    assert taken[1].revision == 6
    assert not stream.watchers and world.hub.count == 0
    stream.create(1, Filter(ALL), 7)
    assert [r for r, _ in drain(stream)[1]] == [7, 8, 9, 10, 11]


async def test_a_snapshot_comes_first_in_parts_with_no_gap_and_no_overlap() -> None:
    world = World(watch_message_size_bytes_max=1_000)
    world.put(*(f"/{i:03}" for i in range(200)), value="x" * 100)
    stream = world.stream()
    stream.create(1, Filter(ALL), 0, snapshot=True)
    keys: list[bytes] = []
    revisions: list[int] = []
    parts = 0
    while (taken := stream.take()) is not None:
        _, delivery = taken
        if isinstance(delivery, Snapshot):
            parts += 1
            assert not revisions and delivery.revision == 201
            keys += [kv.key for kv in delivery.kvs]
            world.put("/100", "/later")  # changes while the snapshot is being told
            if delivery.last:
                assert len(keys) == 200
        else:
            assert isinstance(delivery, list)
            revisions += [m.revision for m in delivery]
    assert parts > 10
    assert keys == sorted(keys)
    assert revisions == list(range(202, world.state.revision + 1))


async def test_a_replaced_state_is_replayed_to_watches() -> None:
    ahead, behind = World(), World()
    ahead.put("/1", "/2", "/3")
    behind.put("/1")
    stream = behind.stream()
    stream.create(1, Filter(ALL), 1)
    stream.create(2, Filter(ALL), 3)
    assert drain(stream) == {1: [(2, (b"/1",))]}
    hand_over(ahead, behind)
    behind.hub.state_replaced()
    told = drain(stream)
    assert told[1][-2:] == [(3, (b"/2",)), (4, (b"/3",))]
    assert told[2] == [(3, (b"/2",)), (4, (b"/3",))]


async def test_a_state_replaced_by_one_without_the_history_ends_watches() -> None:
    ahead, behind = World(), World()
    ahead.put("/1", "/2", "/3")
    ahead.apply(Compact(4))
    behind.put("/1")
    stream = behind.stream()
    stream.create(1, Filter(ALL), 3)
    hand_over(ahead, behind)
    behind.hub.state_replaced()
    taken = stream.take()
    assert taken is not None and isinstance(taken[1], Compacted)


async def test_a_replaced_state_does_not_begin_a_future_watch_early() -> None:
    ahead, behind = World(), World()
    ahead.put("/1", "/2", "/3", "/4")
    behind.put("/1")
    stream = behind.stream()
    stream.create(1, Filter(ALL), 5)
    hand_over(ahead, behind)
    behind.hub.state_replaced()
    assert drain(stream) == {1: [(5, (b"/4",))]}


async def test_an_id_taken_again_is_another_watch() -> None:
    world = World()
    stream = world.stream()
    stream.create(1, Filter(ALL), 2)
    world.put("/a")
    stream.cancel(1)
    stream.create(1, Filter(Selector(b"/b")), 3)
    assert stream.take() is None
    world.put("/b")
    assert drain(stream) == {1: [(3, (b"/b",))]}


async def test_one_matching_serves_all_watches_with_the_same_filter() -> None:
    world = World()
    streams = [world.stream() for _ in range(3)]
    for stream in streams:
        stream.create(1, Filter(Selector(b"/", b"0")), 2)
    world.put("/a")
    found = []
    for stream in streams:
        taken = stream.take()
        assert taken is not None and isinstance(taken[1], list)
        found.append(taken[1][0])
    assert found[0] is found[1] is found[2]


async def test_canceled_watches_are_forgotten() -> None:
    world = World()
    stream = world.stream()
    stream.create(1, Filter(Selector(b"/a")), 2)
    stream.create(2, Filter(ALL), 2)
    world.put("/a")
    assert stream.cancel(1)
    assert not stream.cancel(1)
    assert list(drain(stream)) == [2]
    stream.close()
    assert world.hub.count == 0
    world.put("/a")
    assert stream.take() is None


async def test_wait_returns_when_there_is_something() -> None:
    world = World()
    stream = world.stream()
    stream.create(1, Filter(ALL), 2)
    waiter = asyncio.create_task(stream.wait())
    await asyncio.sleep(0)
    assert not waiter.done()
    world.put("/a")
    await waiter


async def test_random_histories_reach_every_watch_whole() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        world = World(watch_backlog_batches_max=rng.choice([1, 3, 1_000]))
        world.apply(SessionOpen(1, 1_000))
        stream = world.stream()
        started: dict[int, int] = {}
        told: dict[int, list[int]] = {}
        for step in range(200):
            if rng.random() < 0.1:
                start = rng.randrange(2, world.state.revision + 2)
                stream.create(step, Filter(ALL), start)
                started[step] = start
            world.put(*(f"/{rng.randrange(5)}" for _ in range(rng.randrange(4))))
            if rng.random() < 0.3 and (taken := stream.take()) is not None:
                assert isinstance(taken[1], list)
                told.setdefault(taken[0].watch_id, []).extend(m.revision for m in taken[1])
        for watch_id, batches in drain(stream).items():
            told.setdefault(watch_id, []).extend(r for r, _ in batches)
        for watch_id, start in started.items():
            expected = list(range(start, world.state.revision + 1))
            assert told.get(watch_id, []) == expected, (seed, watch_id)
