# Generated from coordinator_client/_async/keepalive.py by scripts/unasync.py; edit that file instead.
"""Keeps the sessions of a program alive: many over one stream, on another node when one dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from coordinator_client import _io_sync as io
from coordinator_client import calls, errors
from coordinator_client.failures import CallFailed, Failure
from coordinator_client.keepalives import KeepAliveSchedule
from coordinator_client.lifetime import Lifetime
from coordinator_client.pb import session_pb2

if TYPE_CHECKING:
    from coordinator_client._sync.connection import Connection

SESSIONS_MAX = 1_000
"""Sessions on one stream; beyond that, a client opens another."""

_Stream = io.Stream[session_pb2.SessionKeepAliveRequest, session_pb2.SessionKeepAliveResponse]
_News = tuple[_Stream | None, session_pb2.SessionKeepAliveResponse | Failure | None]
_WAKE: _News = (None, None)


class KeepAlive:
    """Some sessions of a client. It ends with the last one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._guard = io.Guard()
        self._schedule = KeepAliveSchedule()
        self._on_lost: dict[int, Callable[[str], None]] = {}
        self._ended = False
        self._woken = False
        self._stream: _Stream | None = None
        self._mailbox = io.Mailbox[_News]()
        self._worker = io.Worker(self._run, "coordinator-keep-alive")

    @property
    def endpoint(self) -> str | None:
        """Where the sessions are kept alive now; None while it looks for a node."""
        stream = self._stream
        return None if stream is None else stream.endpoint

    @property
    def ended(self) -> bool:
        """Whether it has no session any more, and takes none."""
        return self._ended

    def add(
        self, session_id: int, life: Lifetime, on_lost: Callable[[str], None], tied: bool
    ) -> bool:
        """Takes a session; returns False if it has no room, or has ended.

        `life` is kept up to date. `tied`: whether the cluster is to note at once over which stream it is kept alive, as
        it has a grace for when that breaks. `on_lost` is called with the reason when it is over; it must not wait.
        """
        with self._guard:
            if self._ended or len(self._schedule) >= SESSIONS_MAX:
                return False
            news = self._schedule.add(session_id, life, io.now_s(), tied)
            self._on_lost[session_id] = on_lost
        if news:
            self.wake()
        return True

    def remove(self, session_id: int) -> None:
        """Forgets a session. Idempotent."""
        with self._guard:
            self._schedule.remove(session_id)
            self._on_lost.pop(session_id, None)
            self._ended = not len(self._schedule)
            ended = self._ended
        if ended:
            self.wake()

    def wake(self) -> None:
        """Something has changed."""
        # Once is enough: sessions that are opened at the same time are seen to in one turn.
        with self._guard:
            woken, self._woken = self._woken, True
        if not woken:
            self._mailbox.put(_WAKE)

    def join(self, timeout_s: float) -> None:
        """Waits until it has ended, which it does when the client is closed."""
        self.wake()
        self._worker.join(timeout_s)

    # --- in the background ----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended:
            wait_s = self._turn()
            try:
                news = self._mailbox.next(wait_s)
            except TimeoutError:
                continue
            self._take(*news)
        self._drop_stream()

    def _turn(self) -> float | None:
        """Does what is to be done now; returns how long there is nothing more to do."""
        now_s = io.now_s()
        with self._guard:
            self._woken = False
            ended = self._schedule.ended(now_s)
            late = self._schedule.late(now_s)
        if self._connection.closed:
            self._lose(self._schedule.ids(), "its client was closed")
            return 0.0
        self._lose(ended, "no node confirmed it within its TTL")
        if late:
            self._leave_node(now_s)
        with self._guard:
            ids = self._schedule.due(now_s)
        if ids:
            self._send(ids)
        with self._guard:
            return 0.0 if self._ended else self._schedule.wait_s(io.now_s())

    def _send(self, ids: list[int]) -> None:
        stream = self._stream
        if stream is None:
            try:
                stream = self._connection.open_stream(calls.SESSION_KEEP_ALIVE)
            except errors.Closed:
                return  # the next turn sees to that
            self._stream = stream
            self._listen(stream)
        stream.send(session_pb2.SessionKeepAliveRequest(ids=ids))

    def _listen(self, stream: _Stream) -> None:
        def listen() -> None:
            try:
                while True:
                    self._mailbox.put((stream, stream.next()))
            except CallFailed as failed:
                self._mailbox.put((stream, failed.failure))

        io.Worker(listen, "coordinator-keep-alive-answers")

    def _take(
        self, stream: _Stream | None, news: session_pb2.SessionKeepAliveResponse | Failure | None
    ) -> None:
        if stream is None or stream is not self._stream:
            return
        now_s = io.now_s()
        if isinstance(news, session_pb2.SessionKeepAliveResponse):
            with self._guard:
                over = self._schedule.answered(news.results, now_s)
            self._lose(over, "it expired or was closed by someone else")
        else:
            self._leave_node(now_s)

    def _leave_node(self, now_s: float) -> None:
        stream = self._stream
        if stream is not None:
            self._connection.leave(stream.endpoint)
        self._drop_stream()
        with self._guard:
            self._schedule.failed(now_s)

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    def _lose(self, ids: list[int], reason: str) -> None:
        for session_id in ids:
            with self._guard:
                on_lost = self._on_lost.get(session_id)
            self.remove(session_id)
            if on_lost is not None:
                on_lost(reason)
