"""The service `coordinator.v1.Watch`: one stream carries many watches."""

from __future__ import annotations

import asyncio
import contextlib

from coordinator.api import render
from coordinator.api.convert import INT64_MAX, Converter
from coordinator.api.watch_groups import Group, grouped
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.node.watches import (
    Compacted,
    Delivery,
    Filter,
    Snapshot,
    Watcher,
)
from coordinator.pieces import Pieced
from coordinator.rpc import Bidi, Message, Service, Stream
from coordinator_client.pb import watch_pb2

WatchStream = Stream[watch_pb2.WatchRequest, Message]

_CANCELS = {
    Status.INVALID_ARGUMENT: watch_pb2.WatchCanceled.REASON_INVALID,
    Status.RESOURCE_EXHAUSTED: watch_pb2.WatchCanceled.REASON_LIMIT,
}


class WatchService:
    """Streams of events."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        pb = watch_pb2
        return Service(
            "coordinator.v1.Watch", (Bidi("Watch", pb.WatchRequest, pb.WatchResponse, self.watch),)
        )

    async def watch(self, stream: WatchStream) -> None:
        """Serves one stream until the client cancels it, or has no more to say and no watch left."""
        session = _WatchSession(self._node, stream)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(session.close)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            writer = group.create_task(session.write())
            ticker = group.create_task(session.tick())
            await session.read(group)
            writer.cancel()
            ticker.cancel()


class _WatchSession:
    """One stream: what its client asked for and what it is told."""

    def __init__(self, node: Node, stream: WatchStream) -> None:
        self._node = node
        self._stream = stream
        self._convert = Converter(node.limits)
        self._watches = node.open_watch_stream()
        self._creates: dict[int, watch_pb2.WatchCreate] = {}
        self._starting: dict[int, asyncio.Task[None]] = {}
        self._last_id = 0
        self._grouped = False
        """Whether the client takes what several watches are told in one message."""
        self._half_closed = False
        self._emptied = asyncio.Event()
        # Held from taking something from the watches until all of it is sent: whoever holds it knows that
        # what a watch has let go of has been told.
        self._writing = asyncio.Lock()

    def close(self) -> None:
        self._watches.close()

    async def _send(self, watch_id: int, revision: int | None = None, **response: object) -> None:
        """Sends one message; the caller holds `_writing`."""
        message = watch_pb2.WatchResponse(
            header=render.header(self._node, revision),
            watch_id=watch_id,
            **response,  # type: ignore[arg-type]  # the name and value of the oneof's member
        )
        await self._stream.send(message)

    # --- requests -----------------------------------------------------------------------------------

    async def read(self, group: asyncio.TaskGroup) -> None:
        """Takes the client's requests until it ends the stream, then waits for what is under way."""
        while (request := await self._stream.receive()) is not None:
            kind = request.WhichOneof("request")
            if kind == "create":
                await self._create(group, request.create)
            elif kind == "cancel":
                await self._cancel(request.cancel.watch_id)
            elif kind == "progress":
                await self._progress(asked=True, only=request.progress.watch_id)
            else:
                raise RequestError(
                    Status.INVALID_ARGUMENT, "INVALID_ARGUMENT", "a message without a request"
                )
        # Some clients end their side when they have asked for what they want; it is told all the same.
        self._half_closed = True
        self._forget(0)
        await self._emptied.wait()

    def _forget(self, watch_id: int) -> bool:
        """The watch is over; returns whether there was one."""
        known = self._creates.pop(watch_id, None) is not None
        if self._half_closed and not self._creates:
            self._emptied.set()
        return known

    async def _create(self, group: asyncio.TaskGroup, create: watch_pb2.WatchCreate) -> None:
        self._grouped = self._grouped or create.grouped
        if not self._grouped:
            self._check_cluster(create.cluster_id)
        watch_id = create.watch_id
        if watch_id == 0:
            while self._last_id == 0 or self._last_id in self._creates:
                self._last_id += 1
            watch_id = self._last_id
        if watch_id < 0 or watch_id in self._creates:
            raise RequestError(
                Status.INVALID_ARGUMENT,
                "INVALID_ARGUMENT",
                f"watch_id {watch_id} is negative or in use on this stream",
                {"field": "watch_id"},
            )
        if len(self._creates) >= self._node.limits.watches_per_stream_max:
            await self._refuse(watch_id, create, _too_many())
            return
        self._creates[watch_id] = create
        if create.local and not create.min_revision and not self._starting:
            await self._start(watch_id, create)
        else:
            task = group.create_task(self._start(watch_id, create))
            self._starting[watch_id] = task
            task.add_done_callback(lambda done: self._started(watch_id, done))

    def _started(self, watch_id: int, task: asyncio.Task[None]) -> None:
        # Another watch may have taken the id meanwhile.
        if self._starting.get(watch_id) is task:
            del self._starting[watch_id]

    def _check_cluster(self, cluster_id: int) -> None:
        own = self._node.state.cluster_id
        if cluster_id and own and cluster_id != own:
            raise RequestError(
                Status.FAILED_PRECONDITION,
                "CLUSTER_MISMATCH",
                f"the watch belongs to cluster {cluster_id:x}, this is cluster {own:x}",
                {"cluster_id": str(own)},
            )

    async def _start(self, watch_id: int, create: watch_pb2.WatchCreate) -> None:
        try:
            await self._begin(watch_id, create)
        except RequestError as error:
            if error.reason == "CLUSTER_MISMATCH" and not self._grouped:
                raise
            await self._refuse(watch_id, create, error)

    async def _refuse(
        self, watch_id: int, create: watch_pb2.WatchCreate, error: RequestError
    ) -> None:
        reason = _CANCELS.get(error.status, watch_pb2.WatchCanceled.REASON_UNAVAILABLE)
        if error.reason == "CLUSTER_MISMATCH":
            reason = watch_pb2.WatchCanceled.REASON_CLUSTER
        canceled = watch_pb2.WatchCanceled(reason=reason, message=error.message)
        async with self._writing:
            if self._creates.get(watch_id, create) is create:
                await self._send(watch_id, canceled=canceled)
                self._forget(watch_id)

    async def _begin(self, watch_id: int, create: watch_pb2.WatchCreate) -> None:
        node = self._node
        selector = self._convert.selector("selector", create.selector)
        if not 0 <= create.start_revision < INT64_MAX or create.min_revision < 0:
            raise RequestError(
                Status.INVALID_ARGUMENT, "INVALID_ARGUMENT", "a revision is out of range"
            )
        if create.with_snapshot and create.start_revision:
            raise RequestError(
                Status.INVALID_ARGUMENT,
                "INVALID_ARGUMENT",
                "with_snapshot and start_revision exclude each other",
            )
        # A quorum is asked where the watch begins only when the client leaves that to the server; and whether
        # this is the cluster that the client means, as long as this member does not know that itself.
        unknown_cluster = create.cluster_id != 0 and node.state.cluster_id == 0
        await node.read(
            local=(create.local or create.start_revision > 0) and not unknown_cluster,
            min_revision=create.min_revision,
            deadline=asyncio.get_running_loop().time()
            + node.timing.request_timeout_ms_default / 1000,
        )
        self._check_cluster(create.cluster_id)
        async with self._writing:
            if self._creates.get(watch_id) is not create:
                return  # canceled meanwhile
            if node.watches_full:
                raise _too_many()
            # One message says where the watch begins, and nothing of it may be sent before.
            start = create.start_revision or node.state.revision + 1
            watcher = self._watches.create(
                watch_id,
                Filter(selector, create.no_put, create.no_delete),
                start,
                snapshot=create.with_snapshot,
                variant=create.prev_kv,
            )
            await self._stream.send(
                watch_pb2.WatchResponse(
                    header=render.header(node),
                    watch_id=watch_id,
                    created=watch_pb2.WatchCreated(start_revision=watcher.next_revision),
                )
            )

    async def _cancel(self, watch_id: int) -> None:
        async with self._writing:
            if not self._forget(watch_id):
                return
            task = self._starting.pop(watch_id, None)
            if task is not None:
                task.cancel()
            self._watches.cancel(watch_id)
            await self._send(watch_id, canceled=watch_pb2.WatchCanceled())

    # --- what the client is told --------------------------------------------------------------------

    async def write(self) -> None:
        """Sends what watches have to tell, together or one watch after the other."""
        while True:
            await self._watches.wait()
            async with self._writing:
                if self._grouped:
                    await self._tell_all()
                elif (taken := self._watches.take()) is not None:
                    await self._tell(*taken)
            if self._watches.ready_count:
                # Nothing above need have waited: replay of a long history takes turns with everyone else.
                await asyncio.sleep(0)

    async def _tell(self, watcher: Watcher, delivery: Delivery) -> None:
        if isinstance(delivery, Snapshot):
            await self._send_snapshot(watcher, delivery)
        elif isinstance(delivery, Compacted):
            canceled = watch_pb2.WatchCanceled(
                reason=watch_pb2.WatchCanceled.REASON_COMPACTED,
                compacted_revision=delivery.revision,
                message=f"history up to revision {delivery.revision} is compacted",
            )
            # First: who is told may use the number again at once.
            self._forget(watcher.watch_id)
            await self._send(watcher.watch_id, canceled=canceled)
        elif delivery:
            group = self._new_group()
            prev_kv = self._creates[watcher.watch_id].prev_kv
            group.add([watcher.watch_id], prev_kv, delivery)
            for encoded in group.messages_for(watcher.watch_id):
                await self._send_encoded(group.revision, encoded)

    async def _tell_all(self) -> None:
        """Tells what all watches that are ready now have to tell, as much as fits one message."""
        group = self._new_group()
        for prev_kv, batches, watch_ids in self._watches.take_alike():
            if group.full:
                await self._send_group(group)
                group = self._new_group()
            group.add(watch_ids, bool(prev_kv), batches)
        for _ in range(self._watches.ready_count):
            taken = self._watches.take()
            if taken is None:
                break
            watcher, delivery = taken
            if not isinstance(delivery, list):
                await self._send_group(group)
                group = self._new_group()
                await self._tell(watcher, delivery)
                continue
            if watcher.watch_id in group:
                await self._send_group(group)
                group = self._new_group()
            prev_kv = self._creates[watcher.watch_id].prev_kv
            group.add([watcher.watch_id], prev_kv, delivery)
            if group.full:
                break
        await self._send_group(group)

    def _new_group(self) -> Group:
        return Group(self._node.limits.watch_message_size_bytes_max)

    async def _send_group(self, group: Group) -> None:
        for encoded in group.messages():
            await self._send_encoded(group.revision, encoded)

    async def _send_encoded(self, revision: int, content: bytes) -> None:
        header = render.encoded_header(self._node, revision)
        await self._stream.send(Pieced(_EMPTY, (header, content)))

    async def _send_snapshot(self, watcher: Watcher, snapshot: Snapshot) -> None:
        await self._send(
            watcher.watch_id,
            snapshot.revision,
            snapshot=watch_pb2.WatchSnapshot(
                kvs=[render.key_value(kv) for kv in snapshot.kvs],
                revision=snapshot.revision,
                last=snapshot.last,
            ),
        )

    async def tick(self) -> None:
        """Tells idle watches that asked for it how far they are."""
        while True:
            await asyncio.sleep(self._node.timing.watch_progress_ms / 1000)
            await self._progress(asked=False)

    async def _progress(self, *, asked: bool, only: int = 0) -> None:
        async with self._writing:
            revision = self._node.state.revision
            idle = [
                watch_id
                for watch_id, watcher in self._watches.watchers.items()
                if self._wants_progress(watch_id, asked, only)
                and watcher.idle
                and watcher.next_revision <= revision + 1
            ]
            progressed = watch_pb2.WatchProgressed(revision=revision)
            if not self._grouped:
                for watch_id in idle:
                    await self._send(watch_id, revision, progressed=progressed)
            elif idle:
                content = grouped(idle, "progressed", progressed.SerializeToString())
                await self._send_encoded(revision, content)

    def _wants_progress(self, watch_id: int, asked: bool, only: int) -> bool:
        create = self._creates.get(watch_id)
        if create is None or only not in (0, watch_id):
            return False
        return asked or create.progress_notify


_EMPTY = watch_pb2.WatchResponse()


def _too_many() -> RequestError:
    return RequestError(
        Status.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", "too many watches on this stream or member"
    )
