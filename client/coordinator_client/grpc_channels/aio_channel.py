"""The asyncio face: a grpc.aio.Channel over the instances of a service."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from grpc.aio import Channel

from coordinator_client import errors, validation
from coordinator_client.balancing import Ejection, Policy
from coordinator_client.grpc_channels import aio_calls
from coordinator_client.grpc_channels.subchannels import Pick, Subchannel, SubchannelTable
from coordinator_client.grpc_channels.view import View

__all__ = ["BalancedChannel", "grpc_channel"]

NOTICE_S = 0.5
"""How long after a call failed the loss of its connection is waited for, which is noticed in another task."""
NOWHERE = "ipv4:127.0.0.1:9"
"""The target of a channel that never connects."""
SHUTDOWN = grpc.ChannelConnectivity.SHUTDOWN


def grpc_channel(
    view: View,
    policy: Policy | None = None,
    *,
    port: str | None = None,
    tag: str | None = None,
    zone: str | None = None,
    ejection: Ejection | None = Ejection(),  # noqa: B008  # frozen
    hash_key: str | None = None,
    drain_s: float | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    compression: grpc.Compression | None = None,
) -> Channel:
    """Returns a channel whose calls are balanced over the healthy instances of an open view; any stub works on it.

    `policy`, `tag`, `zone`, `ejection`: see `ServiceView.balancer`. `port`: the name of the port to call, of those
    that instances name; an instance without it, or where it is not TCP, gets no calls. `hash_key`: the metadata entry
    of a call that a ConsistentHash goes by. `drain_s`: how many seconds calls to an instance that has gone, or drains,
    may still take; None lets them all end. `credentials` (by default none: insecure), `options` and `compression` are
    those of the connection to each instance. Raises InvalidArgument. Belongs to the running event loop; close it before
    the view.
    """
    table = SubchannelTable(
        view.service, policy=policy, tag=tag, zone=zone, ejection=ejection, port=port
    )

    def connect(target: str) -> Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=options, compression=compression)
        return grpc.aio.secure_channel(
            target, credentials, options=options, compression=compression
        )

    if drain_s is not None:
        validation.wait(drain_s, "drain_s")
    return BalancedChannel(view, table, connect, hash_key, drain_s)


class BalancedChannel(Channel):
    """See `grpc_channel`."""

    def __init__(
        self,
        view: View,
        table: SubchannelTable,
        connect: Callable[[str], Channel],
        hash_key: str | None,
        drain_s: float | None,
    ) -> None:
        self.hash_key = hash_key
        self.facade = grpc.aio.insecure_channel(NOWHERE, interceptors=aio_calls.interceptors())
        """Makes the call objects of calls that may have to wait for an instance; see aio_calls."""
        self._view = view
        self._table = table
        self._connect = connect
        self._drain_s = drain_s
        self._closed = False
        self._changed = asyncio.Event()
        """Set, and replaced, when anything changes."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired: set[Subchannel] = set()
        self._refresh()
        self._changes = view.changes()
        self._spawn(self._follow(), "follow")

    # The calls of the program.

    def check_open(self) -> None:
        """Raises UsageError after `close`."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")  # as grpcio says it

    def obtain_now(self, key: str | bytes) -> Pick | None:
        """Gives a call to a connected instance, if there is one. `finish` must follow. Raises UsageError if closed."""
        self.check_open()
        self._refresh()
        return self._table.pick(key)

    async def obtain(
        self, key: str | bytes, deadline_s: float | None, wait_for_ready: bool | None
    ) -> Pick:
        """Gives a call to a connected instance; waits for one as a gRPC channel does. `finish` must follow.

        Raises AioRpcError with UNAVAILABLE, DEADLINE_EXCEEDED, or CANCELLED if the channel is closed meanwhile.
        """
        while not self._closed:
            pick = self.obtain_now(key)
            if pick is not None:
                return pick
            complaint = self._table.complaint
            if not (wait_for_ready or self._table.pending):
                raise _failed(grpc.StatusCode.UNAVAILABLE, complaint)
            remaining_s = None if deadline_s is None else deadline_s - time.monotonic()
            if not await self._change(remaining_s):
                raise _failed(grpc.StatusCode.DEADLINE_EXCEEDED, f"{complaint}, and time ran out")
        # The program made the call before that.
        raise _failed(grpc.StatusCode.CANCELLED, "Channel closed!")

    def finish(self, pick: Pick, ok: bool | None) -> None:
        """The call is over; see `Call.done` for `ok`."""
        if self._table.finish(pick, ok):
            self._tell()

    async def is_lost(self, pick: Pick, deadline_s: float | None) -> bool:
        """Whether the connection that a failed call was given to is gone; this may be noticed a moment later."""
        give_up_s = time.monotonic() + NOTICE_S
        if deadline_s is not None:
            give_up_s = min(give_up_s, deadline_s)
        while not pick.lost and await self._change(give_up_s - time.monotonic()):
            pass
        return pick.lost

    # The sub-channels.

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _change(self, timeout_s: float | None) -> bool:
        """Waits until something changes; returns whether it has."""
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        return changed.is_set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(
            work, name=f"coordinator-channel-{name}-{self._view.service}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refresh(self) -> None:
        added, retired = self._table.update(self._view.instances())
        for subchannel in added:
            subchannel.channel = self._connect(subchannel.target)
            self._spawn(self._watch(subchannel), "watch")
        for subchannel in retired:
            self._retired.add(subchannel)
            self._spawn(self._drain(subchannel), "drain")
        if added or retired:
            self._tell()

    async def _follow(self) -> None:
        with contextlib.suppress(errors.CoordinatorError):
            async for _ in self._changes:
                if self._closed:
                    return
                self._refresh()

    async def _watch(self, subchannel: Subchannel) -> None:
        # A channel that is closed meanwhile is in another state, too.
        with contextlib.suppress(grpc.aio.UsageError):
            while not subchannel.retired:
                # So that it connects again when the connection is lost.
                state = subchannel.channel.get_state(try_to_connect=True)
                if state is SHUTDOWN:
                    return
                self._table.note_state(subchannel, state)
                self._tell()
                await subchannel.channel.wait_for_state_change(state)

    async def _drain(self, subchannel: Subchannel) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                while subchannel.outstanding:
                    await self._changed.wait()
        self._retired.discard(subchannel)
        await subchannel.channel.close()

    # What grpc.aio.Channel promises.

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Returns READY if an instance is connected; it always connects."""
        return SHUTDOWN if self._closed else self._table.state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the state is another one."""
        while self.get_state() is last_observed_state:
            await self._changed.wait()

    async def channel_ready(self) -> None:
        """Waits until an instance is connected; raises UsageError when the channel is closed."""
        while self.get_state() is not grpc.ChannelConnectivity.READY:
            self.check_open()
            await self._changed.wait()

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.aio.Channel."""
        return aio_calls.UnaryUnary(self, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.aio.Channel."""
        return aio_calls.UnaryStream(self, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.aio.Channel."""
        return aio_calls.StreamUnary(self, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.aio.Channel."""
        return aio_calls.StreamStream(self, method, request_serializer, response_deserializer)

    async def close(self, grace: float | None = None) -> None:
        """Takes no more calls, and ends those under way after `grace` seconds, at once without."""
        if self._closed:
            return
        self._closed = True
        self._tell()
        await self._changes.close()
        channels = [each.channel for each in (*self._table.subchannels, *self._retired)]
        await asyncio.gather(self.facade.close(grace), *(each.close(grace) for each in channels))
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _failed(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, f"{code.name}: {details}"
    )
