"""The services of the cluster as this node knows them: what every interface for service discovery asks.

It is read from the node's own applied state by a watch, as any client would, so it is as current as a local read and
answers without asking anyone. A quorum is asked once, when the node starts: one that is still catching up would take
services that it has not heard of for services that are not there. A node that is cut off later goes on telling what it
last knew.
"""

from __future__ import annotations

import asyncio

from coordinator.catalog.feeds import EVERY, Feeds, Subscription
from coordinator.catalog.health import CheckResult
from coordinator.catalog.index import Index
from coordinator.catalog.instances import ROOT, ROOT_END, Instance
from coordinator.catalog.service_settings import ServiceSettings
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.node.watches import Compacted, Delivery, Filter, MatchedBatch, Snapshot, Watcher
from coordinator.state.commands import Selector

SLICE_KEYS = 256
"""Keys that are looked at before others have their turn: about a millisecond."""


RETRY_S = 0.1
"""After a quorum could not be had in time."""


class Catalog:
    """All services with their instances. Whoever reads it sees each revision of the store as a whole, or not at all."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._index = Index()
        self._revision = 0
        self._ready = asyncio.Event()
        self._feeds = Feeds()
        self._watcher: Watcher | None = None
        self._busy = False
        """Whether it is taking in what its watch has let go of already."""
        self._stepped = asyncio.Event()
        """Set, and replaced, whenever it has taken something in."""

    @property
    def ready(self) -> bool:
        """Whether it may be believed: it is empty until the node has caught up with the others once."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Returns when it is ready."""
        await self._ready.wait()

    @property
    def revision(self) -> int:
        """The revision of the store at which a service was last touched, or the catalog built anew."""
        return self._revision

    @property
    def seen(self) -> int:
        """The revision of the store that it shows: all that was changed up to it, and nothing later."""
        watcher = self._watcher
        if watcher is not None and watcher.idle and not self._busy:
            return self._node.state.revision
        return self._revision

    async def reach(self, revision: int, deadline: float) -> None:
        """Returns when it shows this revision, which the node has applied, or a later one. Raises RequestError."""
        try:
            async with asyncio.timeout_at(deadline):
                while not self.ready or self.seen < revision:
                    await self._stepped.wait()
        except TimeoutError:
            raise RequestError(
                Status.UNAVAILABLE,
                "NOT_READY",
                "this member has not read the services yet, as it has not caught up with the others",
                {"applied": "no"},
            ) from None

    def services(self) -> tuple[str, ...]:
        """Returns the names of all services that have an instance or a proxy, ascending."""
        return self._index.services()

    def service(self, name: str) -> tuple[Instance, ...]:
        """Returns all instances of a service, healthy or not, in order of registration; none: no such service.

        The same tuple as long as nothing changes.
        """
        return self._index.service(name)

    def endpoints(self, name: str) -> tuple[Instance, ...]:
        """Returns what callers of a service are to find: its proxies if it publishes any, else its instances."""
        return self._index.endpoints(name)

    def settings(self, name: str) -> ServiceSettings:
        """Returns what is set for a service as a whole."""
        return self._index.settings(name)

    def instance(self, name: str, id: str) -> Instance | None:
        """Returns one instance of a service; None if there is no such one."""
        return self._index.instance(name, id)

    def result(self, name: str, id: str, check: str) -> CheckResult | None:
        """Returns what stands in the key of a check's result, whether it counts or not."""
        return self._index.result(name, id, check)

    def checked(self) -> list[tuple[str, str]]:
        """Returns service and id of every instance that declares checks."""
        return self._index.checked()

    def revision_of(self, name: str) -> int:
        """Returns a number that rises whenever the service changes; 0 if there is no such service.

        It is the revision of the store at which a key of the service was last touched, or the catalog built anew.
        """
        return self._index.revision_of(name)

    def at(self, packed: bytes) -> tuple[Instance, ...]:
        """Returns the instances at an IP address of 4 or 16 bytes."""
        return self._index.at(packed)

    def snapshot(self, service: str) -> tuple[tuple[Instance, ...], ...]:
        """Returns the instances of a service, or of EVERY, by service and in order of registration."""
        names = self.services() if service == EVERY else (service,)
        return tuple(self.service(name) for name in names)

    @property
    def followed(self) -> bool:
        """Whether anybody follows a service."""
        return self._feeds.followed

    def subscribe(self, service: str) -> Subscription:
        """Returns a new follower of a service, or of EVERY; the caller gives it back to `unsubscribe`."""
        return self._feeds.subscribe(service, self._node.limits.watch_backlog_batches_max)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forgets a follower."""
        self._feeds.unsubscribe(subscription)

    async def run(self) -> None:
        """Keeps the catalog current until it is cancelled."""
        while not await self._catch_up():
            await asyncio.sleep(RETRY_S)
        while True:
            await self._follow()

    async def _catch_up(self) -> bool:
        """Waits until the node has applied all that was committed before; False: no quorum could be had in time."""
        timeout_s = self._node.timing.request_timeout_ms_default / 1000
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            await self._node.read(local=False, min_revision=0, deadline=deadline)
        except RequestError:
            return False
        return True

    async def _follow(self) -> None:
        """Reads everything and what comes after it; returns when the node lost the thread and must begin again."""
        stream = self._node.open_watch_stream()
        try:
            self._watcher = stream.create(
                1,
                Filter(Selector(ROOT, ROOT_END)),
                self._node.state.revision + 1,
                snapshot=True,
            )
            fresh: Index | None = Index()
            while True:
                await stream.wait()
                taken = stream.take()
                delivery: Delivery = taken[1] if taken is not None else []
                if isinstance(delivery, Compacted):
                    return
                self._busy = True
                if isinstance(delivery, Snapshot):
                    assert fresh is not None
                    await self._read(fresh, delivery)
                    if delivery.last:
                        # What was known before is told until all of it can be told anew.
                        self._index, fresh = fresh, None
                        self._revision = delivery.revision
                        self._ready.set()
                        self._feeds.reset()
                else:
                    await self._apply(delivery)
                self._busy = False
                self._note_step()
                await asyncio.sleep(0)
        finally:
            self._watcher, self._busy = None, False
            stream.close()

    def _note_step(self) -> None:
        self._stepped.set()
        self._stepped = asyncio.Event()

    @staticmethod
    async def _read(fresh: Index, snapshot: Snapshot) -> None:
        for count, kv in enumerate(snapshot.kvs, 1):
            # A deletion leaves no trace in a snapshot, so that every service counts as touched.
            fresh.put(kv, snapshot.revision)
            if count % SLICE_KEYS == 0:
                await asyncio.sleep(0)

    async def _apply(self, batches: list[MatchedBatch]) -> None:
        count = 0
        for batch in batches:
            before = self._feeds.begin(batch.events, self._index)
            for event in batch.events:
                if event.kv is not None:
                    self._index.put(event.kv, batch.revision)
                else:
                    self._index.delete(event.key, batch.revision)
            self._revision = batch.revision
            self._feeds.end(before, batch.revision, self._index)
            count += len(batch.events)
            if count >= SLICE_KEYS:
                count = 0
                await asyncio.sleep(0)
