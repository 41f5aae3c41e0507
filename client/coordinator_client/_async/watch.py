"""A watch that outlives the nodes it is served by."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from coordinator_client import _io_async as io
from coordinator_client import errors, validation
from coordinator_client._async.connection import Connection
from coordinator_client._async.lanes import Lagged, Lane
from coordinator_client.compares import describe
from coordinator_client.cursor import NodeUnsuited, WatchCursor, WatchSpec
from coordinator_client.failures import Backoff, CallFailed, Decision, decide, error_of
from coordinator_client.model import EventBatch

CREATE_TIMEOUT_S_MIN = 1.0


class Watch:
    """An iterator of event batches; made by `Client.watch`.

    Use it as a context manager. When the block is entered, the watch stands: every later change will be reported.
    Iteration goes on until `close`, through lost nodes, each batch exactly once and in order. It is for one reader.
    """

    def __init__(self, connection: Connection, spec: WatchSpec) -> None:
        self._connection = connection
        self._cursor = WatchCursor(spec)
        self._lane: Lane | None = None
        self._closed = io.Flag()
        self._backoff = Backoff(len(connection.endpoints))
        self._created_by_s = 0.0

    def __repr__(self) -> str:
        if self._closed.is_set() or self._connection.closed:
            state = "closed"
        elif self._cursor.created:
            state = f"at {self.endpoint}, next revision {self.next_revision}"
        else:
            state = f"waiting for a node, next revision {self.next_revision}"
        return f"<{type(self).__name__} of {describe(self._cursor.spec.selector)}: {state}>"

    @property
    def endpoint(self) -> str | None:
        """The endpoint that serves the watch now; None while it looks for one."""
        lane = self._lane
        return None if lane is None else lane.endpoint

    @property
    def next_revision(self) -> int:
        """The first revision that was not received in full yet; 0 before the watch stands."""
        return self._cursor.next_revision

    @property
    def served(self) -> bool:
        """Whether a node serves the watch now; False while it looks for one, and after the end."""
        return self._lane is not None and self._cursor.created

    async def request_progress(self) -> None:
        """Asks the node how far it is; `next_revision` tells once somebody who waits in `next` received the answer.

        A watch with `progress` gets a batch with it. Does nothing while no node serves the watch. Not to be called
        twice at the same time.
        """
        lane = self._lane
        if lane is not None and self._cursor.created:
            lane.request_progress()

    async def open(self) -> Self:
        """Waits until a node has confirmed the watch; returns it.

        Raises Unavailable if none does within the client's timeout, or what the cluster's refusal means.
        """
        deadline_s = io.now_s() + self._connection.timeout_s
        while not self._cursor.created:
            if not await self._advance(deadline_s):
                self._end()
                raise errors.Unavailable("no node could begin the watch in time")
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventBatch:
        try:
            return await self.next()
        except errors.Closed:
            raise StopAsyncIteration from None

    async def next(self, timeout_s: float | None = None) -> EventBatch:
        """Returns the next batch; waits for it, at most `timeout_s` seconds, and for ever by default.

        With 0 it takes what is there. Raises DeadlineExceeded after `timeout_s`, Compacted if history does not reach
        back to where the watch is, and Closed after `close`.
        """
        deadline_s = None if timeout_s is None else io.now_s() + validation.wait(timeout_s)
        while True:
            if self._closed.is_set():
                raise errors.Closed("the watch is closed")
            batch = self._cursor.take()
            if batch is not None:
                return batch
            if not await self._advance(deadline_s):
                raise errors.DeadlineExceeded(f"nothing happened for {timeout_s} s")

    async def _advance(self, deadline_s: float | None) -> bool:
        """Takes one message, or opens one stream; returns False when the deadline has passed."""
        if self._closed.is_set() or self._connection.closed:
            raise errors.Closed("the watch is closed")
        lane = self._lane
        if lane is None:
            lane = self._lane = self._connection.open_watch()
            lane.begin(self._cursor.request())
            patience_s = max(CREATE_TIMEOUT_S_MIN, self._connection.timeout_s * 0.4)
            self._created_by_s = io.now_s() + patience_s
        limit_s = deadline_s
        if not self._cursor.created and (limit_s is None or self._created_by_s < limit_s):
            limit_s = self._created_by_s
        try:
            self._cursor.receive(
                await lane.next(None if limit_s is None else max(0.0, limit_s - io.now_s()))
            )
            if self._cursor.created:
                self._backoff = Backoff(len(self._connection.endpoints))
        except TimeoutError:
            if not self._cursor.created and io.now_s() >= self._created_by_s:
                self._drop_lane(lane)
            return deadline_s is None or io.now_s() < deadline_s
        except Lagged:
            # Nothing is wrong with the node, nor is anything lost: it holds what this program was too slow to take.
            self._lane = None
            self._cursor.created = False
            return deadline_s is None or io.now_s() < deadline_s
        except NodeUnsuited:
            return await self._move_on(lane, deadline_s)
        except CallFailed as failed:
            if self._closed.is_set() or self._connection.closed:
                raise errors.Closed("the watch is closed") from failed
            if decide(failed.failure, safe=True) is Decision.RAISE:
                self._end()
                raise error_of(failed.failure, safe=True) from failed
            return await self._move_on(lane, deadline_s)
        except errors.CoordinatorError:
            self._end()
            raise
        return True

    async def _move_on(
        self,
        lane: Lane,
        deadline_s: float | None,
    ) -> bool:
        self._drop_lane(lane)
        pause_s = self._backoff.next_s()
        if deadline_s is not None:
            pause_s = min(pause_s, max(0.0, deadline_s - io.now_s()))
        await self._closed.wait(pause_s)
        return deadline_s is None or io.now_s() < deadline_s

    def _drop_lane(self, lane: Lane) -> None:
        lane.cancel()
        self._lane = None
        self._cursor.created = False
        self._connection.leave(lane.endpoint)

    async def close(self) -> None:
        """Ends the watch; whoever waits in `next` gets Closed, and iteration ends."""
        self._end()

    def cancel(self) -> None:
        """Does what `close` does, where nothing can be waited for, such as in a callback."""
        self._end()

    def _end(self) -> None:
        self._closed.set()
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.cancel()
