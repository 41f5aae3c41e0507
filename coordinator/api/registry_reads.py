"""The methods of `coordinator.v1.Registry` that tell what there is: List and Watch."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from coordinator.api import render
from coordinator.api.registry_messages import (
    Suits,
    change_message,
    check_service_asked_for,
    instance_message,
)
from coordinator.api.session import ITEM_OVERHEAD_BYTES, fit
from coordinator.catalog.catalog import Catalog
from coordinator.catalog.feeds import Step, Subscription
from coordinator.catalog.instances import Instance
from coordinator.node.interface import Node
from coordinator.rpc import Call, Stream, deadline_of, invalid
from coordinator_client.pb import registry_pb2

PAGE_LENGTH_MAX = 1_000
"""Services or instances in one reply."""

SLICE_INSTANCES = 256
"""Instances that are looked at before others have their turn: about a millisecond."""

ListRequest = registry_pb2.RegistryListRequest
ListResponse = registry_pb2.RegistryListResponse
WatchStream = Stream[registry_pb2.RegistryWatchRequest, registry_pb2.RegistryWatchResponse]


class RegistryReads:
    """Answers from the catalog, once it shows what a quorum had acknowledged."""

    def __init__(self, node: Node, catalog: Catalog) -> None:
        self._node = node
        self._catalog = catalog

    async def _catch_up(self, call: Call, *, local: bool, min_revision: int) -> None:
        node = self._node
        if min_revision < 0:
            raise invalid("min_revision", "is negative")
        deadline = deadline_of(call, node.timing.request_timeout_ms_default / 1000)
        await node.read(local=local, min_revision=min_revision, deadline=deadline)
        # What this member has applied is asked for of a local read, too: whoever wrote here finds it.
        await self._catalog.reach(node.state.revision, deadline)

    # --- List ---------------------------------------------------------------------------------------

    async def list(self, call: Call, request: ListRequest) -> ListResponse:
        """Names services, or describes instances, a page at a time."""
        check_service_asked_for(request.service)
        if request.limit < 0:
            raise invalid("limit", "is negative")
        limit = min(request.limit or PAGE_LENGTH_MAX, PAGE_LENGTH_MAX)
        if request.service:
            after = _read_place(request.page_token)
            await self._catch_up(call, local=request.local, min_revision=request.min_revision)
            response = await self._instances(request, after, limit)
        else:
            for field in ("healthy", "tag", "zone"):
                if getattr(request, field):
                    raise invalid(field, "needs a service")
            await self._catch_up(call, local=request.local, min_revision=request.min_revision)
            response = await self._services(request.page_token, limit)
        response.header.CopyFrom(render.header(self._node, local=request.local))
        return response

    async def _services(self, after: str, limit: int) -> ListResponse:
        catalog = self._catalog
        names = catalog.services()
        start = bisect_right(names, after) if after else 0
        # All in one turn, so that it is of one revision; counting may take longer.
        found = [(name, catalog.service(name)) for name in names[start : start + limit]]
        response = ListResponse(revision=catalog.seen)
        for name, instances in found:
            healthy = 0
            for part in _slices(instances):
                healthy += sum(instance.healthy for instance in part)
                await asyncio.sleep(0)
            response.services.add(name=name, instances=len(instances), healthy=healthy)
        sizes = (summary.ByteSize() for summary in response.services)
        fitting = fit(sizes, self._node.limits.range_reply_size_bytes_max)
        del response.services[fitting:]
        if start + fitting < len(names):
            response.next_page_token = response.services[-1].name
        return response

    async def _instances(
        self, request: ListRequest, after: tuple[int, str], limit: int
    ) -> ListResponse:
        instances = self._catalog.service(request.service)
        response = ListResponse(revision=self._catalog.seen)
        suits = Suits(request)
        size, size_max = 0, self._node.limits.range_reply_size_bytes_max
        last = ""
        start = bisect_right(instances, after, key=lambda instance: instance.place)
        for part in _slices(instances, start):
            for instance in filter(suits, part):
                message = instance_message(instance)
                size += message.ByteSize() + ITEM_OVERHEAD_BYTES
                count = len(response.instances)
                if count == limit or (count and size > size_max):
                    response.next_page_token = last
                    return response
                response.instances.append(message)
                last = _write_place(instance)
            await asyncio.sleep(0)
        return response

    # --- Watch --------------------------------------------------------------------------------------

    async def watch(self, stream: WatchStream) -> None:
        """Tells the instances there are and then every change, until the client has enough."""
        request = await stream.receive()
        if request is None:
            return
        check_service_asked_for(request.service)
        await self._catch_up(stream, local=request.local, min_revision=request.min_revision)
        subscription = self._catalog.subscribe(request.service)
        try:
            await self._follow(stream, subscription, Suits(request), request.local)
        finally:
            self._catalog.unsubscribe(subscription)

    async def _follow(
        self, stream: WatchStream, subscription: Subscription, suits: Suits, local: bool
    ) -> None:
        begun = False
        while True:
            await subscription.wait()
            step = subscription.take()
            if step is None:
                teller = _Teller(self._node, stream, self._catalog.seen, local)
                teller.snapshot, teller.reset = True, begun
                instances = self._catalog.snapshot(subscription.service)
                await teller.tell(_added(chain.from_iterable(instances), suits))
                begun = True
            else:
                teller = _Teller(self._node, stream, step.revision, local)
                await teller.tell(_changes(step, suits))
            await asyncio.sleep(0)


class _Teller:
    """Sends a snapshot, or the changes of one revision, in messages of a limited size."""

    def __init__(self, node: Node, stream: WatchStream, revision: int, local: bool) -> None:
        self._node = node
        self._stream = stream
        self._revision = revision
        self._local = local
        self.snapshot = False
        self.reset = False

    async def tell(self, changes: Iterable[registry_pb2.Change | None]) -> None:
        """Sends all changes; None is passed over. A snapshot is told even if it is empty."""
        size, size_max = 0, self._node.limits.watch_message_size_bytes_max
        part: list[registry_pb2.Change] = []
        for count, change in enumerate(changes, 1):
            if change is not None:
                change_size = change.ByteSize() + ITEM_OVERHEAD_BYTES
                if part and size + change_size > size_max:
                    await self._send(part, partial=True)
                    part, size = [], 0
                part.append(change)
                size += change_size
            if count % SLICE_INSTANCES == 0:
                await asyncio.sleep(0)
        if part or self.snapshot:
            await self._send(part, partial=False)

    async def _send(self, part: list[registry_pb2.Change], *, partial: bool) -> None:
        message = registry_pb2.RegistryWatchResponse(
            header=render.header(self._node, self._revision, local=self._local),
            snapshot=self.snapshot,
            reset=self.reset,
            revision=self._revision,
            changes=part,
            partial=partial,
        )
        self.reset = False
        await self._stream.send(message)


def _added(instances: Iterable[Instance], suits: Suits) -> Iterator[registry_pb2.Change | None]:
    for instance in instances:
        yield registry_pb2.Change(instance=instance_message(instance)) if suits(instance) else None


def _changes(step: Step, suits: Suits) -> Iterable[registry_pb2.Change | None]:
    """Returns what a step is to those with this filter; made once for all of them unless it is large."""
    made = (change_message(change, suits) for change in step.changes)
    if len(step.changes) > SLICE_INSTANCES:
        return made
    known = step.rendered.get(suits.identity)
    if known is None:
        known = step.rendered[suits.identity] = tuple(made)
    return known  # type: ignore[return-value]  # only this function puts something there


def _slices(instances: Sequence[Instance], start: int = 0) -> Iterator[Sequence[Instance]]:
    for position in range(start, len(instances), SLICE_INSTANCES):
        yield instances[position : position + SLICE_INSTANCES]


def _write_place(instance: Instance) -> str:
    return f"{instance.create_revision}/{instance.id}"


def _read_place(token: str) -> tuple[int, str]:
    """Returns the place after which a page begins."""
    if not token:
        return 0, ""
    revision, slash, id = token.partition("/")
    if not slash or not (revision.isascii() and revision.isdigit() and len(revision) < 20):
        raise invalid("page_token", "is not one that an earlier page came with")
    return int(revision), id
