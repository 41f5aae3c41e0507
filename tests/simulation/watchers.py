"""Clients that watch: they lose their streams, come back elsewhere, and go on after the last revision they saw."""

from __future__ import annotations

import asyncio

from coordinator.node.watches import Compacted, Delivery, Filter, Snapshot
from coordinator.state.model import KeyValue
from tests.simulation.client import Caller
from tests.simulation.history import History, WatchRecord
from tests.simulation.loop import Life
from tests.simulation.oracle import ObservedNode
from tests.simulation.writers import below

_Pipe = asyncio.Queue[Delivery]


class Watch:
    """One client with one watch at a time."""

    def __init__(self, prefix: bytes, caller: Caller, history: History, *, settled: bool) -> None:
        """`settled`: it stays with a node as long as that lives."""
        self.over = False
        self.prefix = prefix
        self._caller = caller
        self._chance = caller.chance
        self._history = history
        self._settled = settled
        self._record = self._begin(1)
        self._next_revision = 1
        self._snapshot = False
        self._gathered: list[KeyValue] = []

    def _begin(self, first_revision: int) -> WatchRecord:
        record = WatchRecord(self.prefix, first_revision)
        self._history.watches.append(record)
        return record

    @property
    def seen(self) -> int:
        """The last revision that the watch told of."""
        return self._next_revision - 1

    async def run(self) -> None:
        while not self.over:
            host = self._caller.choose()
            self._caller.turn_away()
            if host is None or host.life is None or host.node is None:
                await self._caller.pause(0.05)
                continue
            await self._follow(host.life, host.node)
            self._record.resumed += 1
            await self._caller.pause(0.02)

    async def _follow(self, life: Life, node: ObservedNode) -> None:
        """Holds a stream until it breaks."""
        pipe: _Pipe = asyncio.Queue()
        start = 0 if self._snapshot else self._next_revision
        self._gathered = []
        serving = life.spawn(self._serve(life, node, pipe, start))
        clock = self._caller.hosts.loop
        until = clock.now + (1e9 if self._settled else self._chance.uniform(0.2, 4.0))
        while clock.now < until and not life.over:
            # A stream that breaks takes along what is on its way.
            getting = clock.create_task(pipe.get())
            patience = min(until - clock.now, 1.0)
            await asyncio.wait(
                {getting, life.ended, serving}, timeout=patience, return_when="FIRST_COMPLETED"
            )
            if not getting.done():
                getting.cancel()
                if serving.done():
                    break
                continue
            if not self._take(getting.result()):
                break
        clock.after(0.0, life, serving.cancel)

    async def _serve(self, life: Life, node: ObservedNode, pipe: _Pipe, start: int) -> None:
        """The server's side, as the API does it."""
        stream = node.open_watch_stream()
        slow = self._chance.random() < 0.3
        try:
            stream.create(1, Filter(below(self.prefix)), start, snapshot=not start)
            while True:
                await stream.wait()
                while (taken := stream.take()) is not None:
                    _, delivery = taken
                    await asyncio.sleep(self._chance.uniform(0.01, 0.2) if slow else 1e-4)
                    # An empty list only says that others may have their turn.
                    if delivery or not isinstance(delivery, list):
                        pipe.put_nowait(delivery)
        finally:
            stream.close()

    def _take(self, delivery: Delivery) -> bool:
        """Takes note of what the watch tells; False if it ended."""
        if isinstance(delivery, Compacted):
            self._record.compacted_at = delivery.revision
            if delivery.revision < self._next_revision and not self._snapshot:
                self._history.complaints.append(
                    f"a watch from revision {self._next_revision} was told that {delivery.revision} is compacted"
                )
            self._snapshot = True
            return False
        if isinstance(delivery, Snapshot):
            self._gathered += delivery.kvs
            if delivery.last:
                self._record = self._begin(delivery.revision + 1)
                self._record.snapshot = (delivery.revision, tuple(self._gathered))
                self._next_revision = delivery.revision + 1
                self._snapshot = False
            return True
        for batch in delivery:
            self._record.told.append((batch.revision, batch.events))
            if batch.revision < self._next_revision:
                self._history.complaints.append(
                    f"a watch from revision {self._next_revision} was told of {batch.revision}"
                )
            self._next_revision = batch.revision + 1
        return True
