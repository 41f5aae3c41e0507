"""What all connections of a front share: methods, limits, the calls under way, and the turn in which replies leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from coordinator.config import MIB, Limits, Timing
from coordinator.rpc import Service, stopping
from coordinator.wire.front.deadlines import Deadlines
from coordinator.wire.front.heads import routes_of
from coordinator.wire.front.replies import Refusal, error_ending
from coordinator.wire.front.tallies import Tallies
from coordinator.wire.http2.limits import Http2Limits, Rate
from coordinator.wire.terms import (
    METADATA_SIZE_BYTES_MAX,
    QUIET_S,
    receive_size_bytes_max,
    send_size_bytes_max,
)

IDLE_S = 0.005
STREAMS_MORE = 1_000
"""A connection admits so many streams more than there may be calls, so that those beyond are told why they end."""
RESETS_PER_S, RESETS_BURST_MIN = 500, 5_000
"""Streams that a client may reset for longer, and at once."""
STREAM_WINDOW_BYTES = 1 * MIB
CONNECTION_WINDOW_BYTES = 16 * MIB
UNREAD_BYTES_MAX = 16 * MIB
"""Of a connection, what its handlers have not taken yet; beyond, its client has to wait."""

log = structlog.get_logger()


class Flushed(Protocol):
    """A connection, as far as writing goes."""

    def flush(self) -> None:
        """Writes what is there to be written."""
        ...

    def abort(self) -> None:
        """Ends it at once."""
        ...


class Watched(Protocol):
    """A connection, as far as whether its client is still there goes."""

    def check(self, now: float) -> None:
        """Looks, at a loop time, whether it is to be closed."""
        ...

    def shut_down(self) -> None:
        """Tells the client to go elsewhere with new calls, and ends the streams that do not end by themselves."""
        ...

    def end_calls(self) -> None:
        """Ends all calls."""
        ...

    def finish(self) -> None:
        """Ends the connection."""
        ...

    def abort(self) -> None:
        """Ends it at once."""
        ...


class Turn:
    """Lets what connections have to write in one turn of the loop leave in one write for each."""

    __slots__ = ("_dirty", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: list[Flushed] = []

    def add(self, connection: Flushed) -> None:
        """Takes note of a connection that has something to write, and is not noted yet."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            try:
                connection.flush()
            except Exception:
                # A mistake of ours with one connection is no matter of the others.
                log.exception("writing failed")
                connection.abort()


def http2_limits(limits: Limits) -> Http2Limits:
    """Returns what a client may make one connection hold."""
    return Http2Limits(
        streams_max=limits.streams_max + STREAMS_MORE,
        header_list_size_bytes_max=METADATA_SIZE_BYTES_MAX,
        stream_window_bytes=STREAM_WINDOW_BYTES,
        connection_window_bytes=CONNECTION_WINDOW_BYTES,
        unread_bytes_max=UNREAD_BYTES_MAX,
        # A client may cancel all that it may have open, at once.
        resets=Rate(per_s=RESETS_PER_S, burst=max(limits.streams_max, RESETS_BURST_MIN)),
    )


class Host:
    """The calls of all connections."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        services: Sequence[Service],
        limits: Limits,
        timing: Timing,
        tallies: Tallies,
    ) -> None:
        self.loop = loop
        self.routes = routes_of(services)
        self.limits = limits
        self.timing = timing
        self.http2_limits = http2_limits(limits)
        self.receive_max = receive_size_bytes_max(limits)
        self.send_max = send_size_bytes_max(limits)
        self.calls_max = limits.streams_max
        self.tallies = tallies
        self.turn = Turn(loop)
        self.deadlines = Deadlines(loop)
        self.stopping = asyncio.Event()
        self.stopping_refusal: Refusal | None = None
        """The reply to every new call, once this server stops."""
        self.unary_open = 0
        self.last_call = 0.0
        """When the last unary call ended, as loop time; kept once this server stops."""
        self.connections: dict[Watched, None] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def refuse(self) -> None:
        """Refuses new calls from now on."""
        ending = error_ending(stopping())
        self.stopping_refusal = Refusal(ending.status, ending.alone)
        self.last_call = self.loop.time()
        self.stopping.set()

    def admit(self, connection: Watched) -> None:
        """Takes a connection in."""
        self.connections[connection] = None
        self.tallies.connections_open = len(self.connections)

    def forget(self, connection: Watched) -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)
        self.tallies.connections_open = len(self.connections)

    def leave(self, task: asyncio.Task[None]) -> None:
        """Cancels the task of a call that has ended, and keeps it until it is done."""
        if not task.done():
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            task.cancel()

    async def quiet(self, timeout_s: float) -> None:
        """Returns when no unary call was under way and none came for QUIET_S, or after the timeout."""
        deadline = self.loop.time() + timeout_s
        while (now := self.loop.time()) < deadline:
            if not self.unary_open and now - self.last_call >= QUIET_S:
                return
            await asyncio.sleep(QUIET_S / 5)

    async def idle(self, until: float) -> None:
        """Returns when no call is under way, or at a loop time."""
        while self.tallies.calls_open and self.loop.time() < until:
            await asyncio.sleep(IDLE_S)

    async def end_calls(self, until: float) -> bool:
        """Ends what is still under way; returns whether all ended before a loop time."""
        for connection in list(self.connections):
            connection.end_calls()
        if not self._leaving:
            return True
        timeout_s = max(0.0, until - self.loop.time())
        _, pending = await asyncio.wait(set(self._leaving), timeout=timeout_s)
        return not pending
