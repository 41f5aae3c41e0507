"""The blocking face: a grpc.Channel over the instances of a service."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import Channel

from coordinator_client import _io_sync as io
from coordinator_client import errors, validation
from coordinator_client.balancing import Ejection, Policy
from coordinator_client.grpc_channels import blocking_calls
from coordinator_client.grpc_channels.failed_call import FailedCall
from coordinator_client.grpc_channels.subchannels import Pick, Subchannel, SubchannelTable
from coordinator_client.grpc_channels.view import View

__all__ = ["BalancedChannel", "grpc_channel"]

_log = logging.getLogger("coordinator_client")

LOOK_S = 0.25
"""grpcio's thread that watches a channel looks five times a second whether it is still wanted, and fails with a
traceback if the channel is closed before it has. So this is how long a channel stays open after it was let go.
"""
IDLE_S = 1.0
"""How long one without calls stays open after it was let go. Nobody waits for that, so it leaves that thread more time
for its look, which comes late on a machine that is busy.
"""
NOTICE_S = 0.5
"""How long after a call failed the loss of its connection is waited for, which is noticed in another thread."""
JOIN_S = 5.0
WAIT_S_MAX = 3600.0
"""Longer waits are made of several."""


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
    those of the connection to each instance. Raises InvalidArgument. Close it before the view.
    """
    table = SubchannelTable(
        view.service, policy=policy, tag=tag, zone=zone, ejection=ejection, port=port
    )

    def connect(target: str) -> Channel:
        if credentials is None:
            return grpc.insecure_channel(target, options=options, compression=compression)
        return grpc.secure_channel(target, credentials, options=options, compression=compression)

    if drain_s is not None:
        validation.wait(drain_s, "drain_s")
    return BalancedChannel(view, table, connect, hash_key, drain_s)


class BalancedChannel(Channel):
    """See `grpc_channel`. Safe for threads."""

    def __init__(
        self,
        view: View,
        table: SubchannelTable,
        connect: Callable[[str], Channel],
        hash_key: str | None,
        drain_s: float | None,
    ) -> None:
        self.hash_key = hash_key
        self._view = view
        self._table = table
        self._connect = connect
        self._drain_s = drain_s
        self._closed = False
        self._changed = threading.Condition()
        """Its lock guards everything here."""
        self._watchers: dict[Subchannel, Callable[[grpc.ChannelConnectivity], None]] = {}
        self._retired: dict[Subchannel, threading.Timer | None] = {}
        self._subscribers: list[tuple[Any, list[grpc.ChannelConnectivity]]] = []
        self._delivery = threading.RLock()
        with self._changed:
            self._refresh()
        self._changes = view.changes()
        self._worker = io.Worker(self._follow, f"coordinator-channel-{view.service}")

    # The calls of the program.

    def obtain_now(self, key: str | bytes) -> Pick | None:
        """Gives a call to a connected instance, if there is one. `finish` must follow. Raises ValueError if closed."""
        with self._changed:
            if self._closed:
                raise ValueError("Cannot invoke RPC on closed channel!")  # as grpcio says it
            self._refresh()
            return self._table.pick(key)

    def obtain(
        self,
        key: str | bytes,
        deadline_s: float | None,
        wait_for_ready: bool | None,
        unwanted: Callable[[], bool] = lambda: False,
    ) -> Pick:
        """Gives a call to a connected instance; waits for one as a gRPC channel does. `finish` must follow.

        `unwanted`: whether the call was canceled; see `wake`. Raises FailedCall with UNAVAILABLE, DEADLINE_EXCEEDED, or
        CANCELLED, also if the channel is closed meanwhile; ValueError after `close`.
        """
        with self._changed:
            while (pick := self.obtain_now(key)) is None:
                complaint = self._table.complaint
                if not (wait_for_ready or self._table.pending):
                    raise FailedCall(grpc.StatusCode.UNAVAILABLE, complaint)
                remaining_s = WAIT_S_MAX if deadline_s is None else deadline_s - time.monotonic()
                if remaining_s <= 0:
                    raise FailedCall(
                        grpc.StatusCode.DEADLINE_EXCEEDED, f"{complaint}, and time ran out"
                    )
                if unwanted():
                    raise FailedCall(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
                self._changed.wait(min(remaining_s, WAIT_S_MAX))
                if self._closed:
                    raise FailedCall(grpc.StatusCode.CANCELLED, "Channel closed!")
            return pick

    def wake(self) -> None:
        """Makes every waiting `obtain` look again."""
        with self._changed:
            self._changed.notify_all()

    def finish(self, pick: Pick, ok: bool | None) -> None:
        """The call is over; see `Call.done` for `ok`."""
        with self._changed:
            if self._table.finish(pick, ok) and pick.subchannel in self._retired:
                self._close_after(pick.subchannel, IDLE_S)

    def is_lost(self, pick: Pick, deadline_s: float | None) -> bool:
        """Whether the connection that a failed call was given to is gone; this may be noticed a moment later."""
        remaining_s = NOTICE_S if deadline_s is None else deadline_s - time.monotonic()
        with self._changed:
            return self._changed.wait_for(lambda: pick.lost, min(remaining_s, NOTICE_S))

    # The sub-channels. All of this is called with the lock.

    def _refresh(self) -> None:
        added, retired = self._table.update(self._view.instances())
        for subchannel in added:
            subchannel.channel = self._connect(subchannel.target)
            watcher = self._watchers[subchannel] = partial(self._note_state, subchannel)
            subchannel.channel.subscribe(watcher, try_to_connect=True)
        for subchannel in retired:
            self._retired[subchannel] = None
            subchannel.channel.unsubscribe(self._watchers.pop(subchannel))
            if not subchannel.outstanding:
                self._close_after(subchannel, IDLE_S)
            elif self._drain_s is not None:
                self._close_after(subchannel, max(self._drain_s, LOOK_S))
        if added or retired:
            self._changed.notify_all()

    def _close_after(self, subchannel: Subchannel, pause_s: float) -> None:
        before = self._retired.get(subchannel)
        if before is not None:
            before.cancel()
        timer = threading.Timer(pause_s, self._close_retired, [subchannel])
        timer.daemon = True
        timer.name = "coordinator-channel-drain"
        self._retired[subchannel] = timer
        timer.start()

    # Threads of its own and of grpcio.

    def _follow(self) -> None:
        with contextlib.suppress(errors.CoordinatorError):
            for _ in self._changes:
                with self._changed:
                    if self._closed:
                        return
                    self._refresh()
                self._deliver()

    def _note_state(self, subchannel: Subchannel, state: grpc.ChannelConnectivity) -> None:
        with self._changed:
            if subchannel.retired or self._closed:
                return
            self._table.note_state(subchannel, state)
            self._changed.notify_all()
            if state is grpc.ChannelConnectivity.IDLE:
                # So it is when its connection is lost. Only a new subscription makes grpcio connect again.
                subchannel.channel.subscribe(_pass_over, try_to_connect=True)
                subchannel.channel.unsubscribe(_pass_over)
        self._deliver()

    def _close_retired(self, subchannel: Subchannel) -> None:
        with self._changed:
            if self._closed or self._retired.pop(subchannel, None) is None:
                return
        subchannel.channel.close()

    # What grpc.Channel promises.

    def subscribe(
        self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False
    ) -> None:
        """Calls back with the state, READY when one instance is, and whenever it changes; it always connects."""
        with self._delivery:
            self._subscribers.append((callback, []))
            self._deliver()

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """Ends a subscription."""
        with self._delivery:
            for entry in self._subscribers:
                if entry[0] == callback:
                    self._subscribers.remove(entry)
                    break

    def _deliver(self) -> None:
        # The state is read under the lock of deliveries, so that nobody hears of an older one later.
        with self._delivery:
            for callback, told in list(self._subscribers):
                with self._changed:
                    state = grpc.ChannelConnectivity.SHUTDOWN if self._closed else self._table.state
                if told != [state]:
                    told[:] = [state]
                    try:
                        callback(state)
                    except Exception:
                        _log.exception("a subscriber to the state of a channel failed")

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.Channel."""
        return blocking_calls.UnaryUnary(self, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.Channel."""
        return blocking_calls.UnaryStream(self, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.Channel."""
        return blocking_calls.StreamUnary(self, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        """See grpc.Channel."""
        return blocking_calls.StreamStream(self, method, request_serializer, response_deserializer)

    def close(self) -> None:
        """Ends all calls and connections; takes a fraction of a second."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            subchannels = [*self._watchers, *self._retired]
            for subchannel, watcher in self._watchers.items():
                subchannel.channel.unsubscribe(watcher)
            for timer in self._retired.values():
                if timer is not None:
                    timer.cancel()
            self._changed.notify_all()
        self._changes.close()
        self._worker.join(JOIN_S)
        self._deliver()
        if subchannels:
            time.sleep(LOOK_S)
        for subchannel in subchannels:
            subchannel.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _pass_over(state: grpc.ChannelConnectivity) -> None:
    """Nobody needs this."""
