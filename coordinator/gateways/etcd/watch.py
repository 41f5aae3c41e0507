"""The service `etcdserverpb.Watch`: one stream carries many watches."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from coordinator.gateways.etcd import render
from coordinator.gateways.etcd.convert import FROM_KEY
from coordinator.gateways.etcd.notices import EVENTS_SIZE_BYTES_MAX, encode, fragments
from coordinator.gateways.etcd.pb import watch_pb2 as pb
from coordinator.node.interface import Node
from coordinator.node.watches import Compacted, Delivery, Filter, MatchedBatch, Snapshot, Watcher
from coordinator.pieces import Encoded, Pieced
from coordinator.rpc import Bidi, Service, Stream
from coordinator.state.commands import Selector

WatchStream = Stream[pb.WatchRequest, pb.WatchResponse | Pieced | Encoded]

FIRST_ID = 0
INVALID_ID = -1
"""Stands for the stream as a whole, or for no watch."""


@dataclass
class _Wish:
    """What the client asked of a watch, beside its events."""

    prev_kv: bool
    fragment: bool
    progress_notify: bool
    told: bool = True
    """Whether something was sent since the last time that progress was due."""


class WatchService:
    """Streams of events."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        return Service(
            "etcdserverpb.Watch", (Bidi("Watch", pb.WatchRequest, pb.WatchResponse, self.watch),)
        )

    async def watch(self, stream: WatchStream) -> None:
        """Serves one stream until the client ends it; that it has no more to say does not."""
        session = _WatchSession(self._node, stream)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(session.close)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            group.create_task(session.write())
            group.create_task(session.tick())
            await session.read()


class _WatchSession:
    """One stream: what its client asked for and what it is told."""

    def __init__(self, node: Node, stream: WatchStream) -> None:
        self._node = node
        self._stream = stream
        self._watches = node.open_watch_stream()
        self._wishes: dict[int, _Wish] = {}
        self._next_id = 0
        self._progress_asked = False
        # Held from taking something from the watches until all of it is sent: whoever holds it knows that
        # what a watch has let go of has been told.
        self._writing = asyncio.Lock()

    def close(self) -> None:
        self._watches.close()

    async def _send(
        self, watch_id: int, revision: int | None = None, **response: bool | int | str
    ) -> None:
        """Sends one message; the caller holds `_writing`."""
        header = render.header(self._node, revision)
        await self._stream.send(
            pb.WatchResponse(
                header=header,
                watch_id=watch_id,
                **response,  # type: ignore[arg-type]  # fields of the message
            )
        )

    # --- requests -----------------------------------------------------------------------------------

    async def read(self) -> None:
        """Takes the client's requests until it has no more."""
        while (request := await self._stream.receive()) is not None:
            kind = request.WhichOneof("request_union")
            async with self._writing:
                if kind == "create_request":
                    await self._create(request.create_request)
                elif kind == "cancel_request":
                    await self._cancel(request.cancel_request.watch_id)
                elif kind == "progress_request":
                    self._progress_asked = True
                    await self._answer_progress()

    async def _create(self, request: pb.WatchCreateRequest) -> None:
        revision = self._node.state.revision
        end = request.range_end
        key = request.key or FROM_KEY
        if request.watch_id in self._wishes and request.watch_id:
            await self._refuse(revision, "mvcc: duplicate watch ID provided on the WatchStream")
            return
        if end and end != FROM_KEY and key >= end:
            await self._refuse(revision, "mvcc: watcher range is empty")
            return
        if len(self._wishes) >= self._node.limits.watches_per_stream_max or self._node.watches_full:
            await self._refuse(revision, "etcdserver: too many requests")
            return
        watch_id = request.watch_id or self._free_id()
        selector = Selector(key, None if not end else b"" if end == FROM_KEY else end)
        matching = Filter(
            selector,
            no_put=pb.WatchCreateRequest.NOPUT in request.filters,
            no_delete=pb.WatchCreateRequest.NODELETE in request.filters,
        )
        self._wishes[watch_id] = _Wish(request.prev_kv, request.fragment, request.progress_notify)
        start = request.start_revision or revision + 1
        self._watches.create(watch_id, matching, start)
        # Nothing of the watch may be sent before: it is told how far the store is by now.
        await self._send(watch_id, revision, created=True)

    def _free_id(self) -> int:
        while self._next_id in self._wishes:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    async def _refuse(self, revision: int, reason: str) -> None:
        await self._send(INVALID_ID, revision, created=True, canceled=True, cancel_reason=reason)

    async def _cancel(self, watch_id: int) -> None:
        if self._wishes.pop(watch_id, None) is not None:
            self._watches.cancel(watch_id)
            await self._send(watch_id, canceled=True)

    # --- what the client is told --------------------------------------------------------------------

    async def write(self) -> None:
        """Sends what watches have to tell, one watch after the other."""
        while True:
            await self._watches.wait()
            async with self._writing:
                taken = self._watches.take()
                if taken is not None:
                    await self._tell(*taken)
                await self._answer_progress()
            if self._watches.ready_count:
                # Nothing above need have waited: replay of a long history takes turns with everyone else.
                await asyncio.sleep(0)

    async def _tell(self, watcher: Watcher, delivery: Delivery) -> None:
        assert not isinstance(delivery, Snapshot), "no watch here asks for one"
        if isinstance(delivery, Compacted):
            # First: who is told may use the number again at once.
            del self._wishes[watcher.watch_id]
            # The least revision from which a watch would be whole.
            await self._send(
                watcher.watch_id, canceled=True, compact_revision=delivery.revision + 1
            )
        elif delivery:
            wish = self._wishes[watcher.watch_id]
            wish.told = True
            await self._tell_events(watcher.watch_id, wish, delivery)

    async def _tell_events(self, watch_id: int, wish: _Wish, delivery: list[MatchedBatch]) -> None:
        """Sends batches in messages of about a size; all of one revision together, unless it may come in fragments."""
        if len(delivery) == 1 and watch_id == FIRST_ID and not wish.fragment:
            await self._stream.send(self._alike(delivery[0], wish.prev_kv))
            return
        events: list[bytes] = []
        size = 0
        for place, matched in enumerate(delivery):
            encoded = encode(matched, wish.prev_kv)
            if wish.fragment and len(encoded) > EVENTS_SIZE_BYTES_MAX:
                if events:
                    await self._send_events(watch_id, delivery[place - 1].revision, events)
                    events, size = [], 0
                *parts, last = fragments(matched, wish.prev_kv)
                for part in parts:
                    await self._send_events(watch_id, matched.revision, [part], fragment=True)
                await self._send_events(watch_id, matched.revision, [last])
                continue
            if events and size + len(encoded) > self._node.limits.watch_message_size_bytes_max:
                await self._send_events(watch_id, delivery[place - 1].revision, events)
                events, size = [], 0
            events.append(encoded)
            size += len(encoded)
        if events:
            await self._send_events(watch_id, delivery[-1].revision, events)

    def _alike(self, matched: MatchedBatch, prev_kv: bool) -> Encoded:
        """Returns what the first watch of a stream, often its only one, is told: made once for all streams."""
        identity = ("etcd", prev_kv, self._node.term)
        made = matched.rendered.get(identity)
        if made is None:
            head = pb.WatchResponse(
                header=render.header(self._node, matched.revision), watch_id=FIRST_ID
            )
            whole = Pieced(head, (encode(matched, prev_kv),)).SerializeToString()
            made = matched.rendered[identity] = Encoded(whole)
        assert isinstance(made, Encoded)
        return made

    async def _send_events(
        self, watch_id: int, revision: int, events: list[bytes], *, fragment: bool = False
    ) -> None:
        head = pb.WatchResponse(
            header=render.header(self._node, revision), watch_id=watch_id, fragment=fragment
        )
        await self._stream.send(Pieced(head, events))

    async def _answer_progress(self) -> None:
        """Tells how far all watches of the stream are, if that was asked and none lags; the caller holds `_writing`."""
        if self._progress_asked and all(
            watcher.idle for watcher in self._watches.watchers.values()
        ):
            self._progress_asked = False
            await self._send(INVALID_ID)

    async def tick(self) -> None:
        """Tells watches that asked for it how far they are, when they had nothing else to tell for a while."""
        while True:
            await asyncio.sleep(self._node.timing.etcd_progress_ms / 1000)
            for watch_id, watcher in list(self._watches.watchers.items()):
                async with self._writing:
                    wish = self._wishes.get(watch_id)
                    if wish is None or self._watches.watchers.get(watch_id) is not watcher:
                        continue
                    due, wish.told = wish.progress_notify and not wish.told, False
                    if due and watcher.idle and watcher.next_revision <= self._revision + 1:
                        await self._send(watch_id)

    @property
    def _revision(self) -> int:
        return self._node.state.revision
