"""Watches on a member that installs a snapshot: nothing is missed and nothing told twice, or the watch says why."""

from __future__ import annotations

import asyncio
import random

import pytest

from coordinator.config import Limits
from coordinator.node.member import MemberNode
from coordinator.node.watches import Compacted, Filter, Snapshot, WatchStream
from coordinator.state.commands import Command, Compact, Put, Selector, Write
from tests.bus import Bus

ALL = Selector(b"", b"")


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def put(key: str) -> Write:
    return Write(Put(key.encode(), b""))


class Client:
    """Reads a stream, and remembers what it was told of each watch."""

    def __init__(self, node: MemberNode) -> None:
        self.node = node
        self.stream: WatchStream = node.open_watch_stream()
        self.told: dict[int, list[int]] = {}
        self.compacted: dict[int, int] = {}
        self.keys: dict[int, int] = {}

    def watch(self, watch_id: int, start: int, key: str = "", *, snapshot: bool = False) -> None:
        selector = Selector(key.encode()) if key else ALL
        self.told[watch_id] = []
        self.stream.create(watch_id, Filter(selector), start, snapshot=snapshot)

    def read(self, times: int = 1_000) -> None:
        for _ in range(times):
            taken = self.stream.take()
            if taken is None:
                return
            watcher, delivery = taken
            if isinstance(delivery, Compacted):
                self.compacted[watcher.watch_id] = delivery.revision
            elif isinstance(delivery, Snapshot):
                self.keys[watcher.watch_id] = delivery.revision
            else:
                self.told[watcher.watch_id] += [matched.revision for matched in delivery]


def install(bus: Bus, member: int, donor: int = 1) -> None:
    capture = bus.nodes[donor - 1].capture()
    slices = []
    while (encode := capture.read()) is not None:
        slices.append(encode())
    capture.release()
    node = bus.nodes[member - 1]
    bus.members[member - 1].applied = bus.members[donor - 1].applied
    node.restore(bus.members[donor - 1].applied, bus.term, node.prepare(slices))


async def test_what_the_snapshot_skipped_is_told_from_the_history_it_carries() -> None:
    async with Bus() as bus:
        client = Client(bus.nodes[2])
        await bus.nodes[0].propose(put("/a"), soon())
        client.watch(1, 2)
        client.watch(2, 3, "/b")
        client.watch(3, 0, snapshot=True)
        client.watch(4, 7)
        client.read()
        await bus.nodes[0].propose(put("/b"), soon())
        await bus.settle()  # queued, and not yet read
        bus.behind = {3}
        for key in ("/c", "/b", "/d", "/b"):
            await bus.nodes[0].propose(put(key), soon())
        install(bus, 3)
        bus.behind = set()
        await bus.nodes[0].propose(put("/b"), soon())
        await bus.settle()
        client.read()
        assert client.told == {
            1: [2, 3, 4, 5, 6, 7, 8],
            2: [3, 5, 7, 8],
            3: [3, 4, 5, 6, 7, 8],
            4: [7, 8],
        }
        assert client.keys == {3: 2} and not client.compacted


@pytest.mark.parametrize("queued", [False, True])
async def test_a_watch_whose_history_the_snapshot_lacks_ends_and_says_where(queued: bool) -> None:
    async with Bus() as bus:
        client = Client(bus.nodes[2])
        client.watch(1, 2)
        client.watch(2, 6)
        await bus.nodes[0].propose(put("/a"), soon())
        await bus.settle()
        if not queued:
            client.read()
        bus.behind = {3}
        for key in ("/b", "/c", "/d"):
            await bus.nodes[0].propose(put(key), soon())
        await bus.nodes[0].propose(Compact(4), soon())
        install(bus, 3)
        bus.behind = set()
        await bus.nodes[0].propose(put("/e"), soon())
        await bus.settle()
        client.read()
        # What it had not read yet is gone with the state; what came before is not told again.
        assert client.told == {1: [] if queued else [2], 2: [6]}
        assert client.compacted == {1: 4}
        assert bus.nodes[2].watch_count == 1


@pytest.mark.parametrize("seed", range(20))
async def test_random_installs_skip_and_repeat_nothing(seed: int) -> None:
    rng = random.Random(seed)
    async with Bus("abc", Limits(watch_backlog_batches_max=rng.choice([1, 3, 1_000]))) as bus:
        client = Client(bus.nodes[2])
        started: dict[int, int] = {}

        async def offer(command: Command) -> None:
            await bus.nodes[0].propose(command, soon())

        for _ in range(200):
            state = bus.nodes[2].state
            match rng.choice(["put", "put", "put", "read", "lag", "install", "watch", "compact"]):
                case "put":
                    await offer(put(f"/{rng.randrange(5)}"))
                case "read":
                    client.read(rng.randrange(1, 5))
                case "lag":
                    bus.behind = {3}
                case "install":
                    install(bus, 3)
                    bus.behind = set()
                case "watch" if len(started) < 10:
                    first = max(2, state.revision + rng.randrange(-3, 4))
                    started[len(started) + 1] = first
                    client.watch(len(started), first)
                case "compact" if rng.random() < 0.3:
                    await offer(Compact(max(1, bus.nodes[0].state.revision - rng.randrange(6))))
        install(bus, 3)
        client.read()
        last = bus.nodes[2].state.revision
        for watch_id, first in started.items():
            told = client.told[watch_id]
            assert told == list(range(first, first + len(told)))
            if watch_id in client.compacted:
                assert client.compacted[watch_id] >= first + len(told)
            else:
                assert first + len(told) == max(first, last + 1)
        assert any(client.told.values())
