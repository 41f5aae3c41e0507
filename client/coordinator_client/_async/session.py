"""A session that keeps itself alive."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from coordinator_client import _io_async as io
from coordinator_client import calls, errors
from coordinator_client._async.connection import Connection
from coordinator_client._async.keepalive import KeepAlive
from coordinator_client._async.writes import Writes
from coordinator_client.lifetime import Lifetime
from coordinator_client.model import PutResult
from coordinator_client.operations import Put
from coordinator_client.pb import session_pb2

_log = logging.getLogger("coordinator_client")


class Session:
    """A lifetime that owns ephemeral keys; made by `Client.session`.

    Use it as a context manager: entering opens the session, leaving ends it and deletes its keys. In between it keeps
    itself alive in the background, on another node when one dies.
    """

    def __init__(
        self,
        connection: Connection,
        request: session_pb2.SessionOpenRequest,
        on_lost: Callable[[Session], None] | None,
        writes: Writes,
    ) -> None:
        self._connection = connection
        self._writes = writes
        self._request = request
        self._on_lost = on_lost
        self._id = 0
        self._life = Lifetime(request.ttl_ms / 1000, io.now_s())
        self._guard = io.Guard()
        self._stop = io.Flag()
        self._kept: KeepAlive | None = None
        self.lost = io.Flag()
        """Set once when the session ended although it was not closed: `is_set()`, `wait(timeout_s)`."""
        self.lost_reason = ""
        """A sentence for people, once the session is lost."""

    def __repr__(self) -> str:
        if self._stop.is_set():
            state = "closed"
        elif self.lost.is_set():
            state = "lost"
        elif self._id == 0:
            state = "not open yet"
        else:
            where = "" if self.endpoint is None else f" at {self.endpoint}"
            state = f"alive{where}, sure for {self.remaining_s:.1f} s"
        return f"<{type(self).__name__} {self._id}: {state}>"

    @property
    def id(self) -> int:
        """The session id; 0 before it was opened."""
        return self._id

    @property
    def ttl_s(self) -> float:
        """How long the session lives without a keep-alive, as the cluster granted it, in seconds."""
        return self._life.ttl_s

    @property
    def remaining_s(self) -> float:
        """How long the session is sure to live if no keep-alive gets through from now on, in seconds."""
        over = self._id == 0 or self._stop.is_set() or self.lost.is_set()
        return 0.0 if over else self._life.remaining_s(io.now_s())

    @property
    def endpoint(self) -> str | None:
        """The endpoint over which the session is kept alive; None before the first time, and while it looks for one."""
        kept = self._kept
        return None if kept is None else kept.endpoint

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the session was opened with."""
        return dict(self._request.metadata)

    async def open(self, *, timeout_s: float | None = None) -> Self:
        """Opens the session and begins to keep it alive; returns it.

        `timeout_s`: how long that may take; by default as long as any call. Raises SessionExists if the id is taken,
        InvalidArgument if the TTL is outside the cluster's limits, and Unavailable, DeadlineExceeded or (only with an
        id of your own) OutcomeUnknown.
        """
        if self._id or self._stop.is_set():
            raise errors.Closed("a session is opened once")
        # Without an id of its own, a session that was opened unseen holds no keys and expires by itself.
        reply, sent_s = await self._connection.timed_call(
            calls.SESSION_OPEN, self._request, safe=self._request.id == 0, timeout_s=timeout_s
        )
        self._life = Lifetime(reply.ttl_ms / 1000, sent_s)
        self._id = reply.id
        # With a grace, the first keep-alive goes out at once: it ties the session to a stream, whose loss is noticed.
        tied = self._request.HasField("disconnect_grace_ms")
        self._kept = self._connection.keep_alive(self._id, self._life, self._lose, tied)
        if self._stop.is_set() or self.lost.is_set():
            self._leave()
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

    async def close(self, *, timeout_s: float | None = None) -> bool:
        """Ends the session and deletes its keys; returns whether it lived until then, as far as can be told.

        If the cluster can't be reached within `timeout_s` seconds, by default those of any call, the session is left to
        end by its TTL; that is not an error.
        """
        if self._stop.is_set():
            return False
        self._stop.set()
        if self._id == 0:
            return False
        alive = not self.lost.is_set()
        if alive:
            try:
                await self._end(self._connection.timeout_s if timeout_s is None else timeout_s)
            except errors.SessionNotFound:
                alive = False
            except errors.CoordinatorError as error:
                _log.warning("session %d is left to its TTL: %s", self._id, error)
        self._leave()
        return alive

    async def _end(self, timeout_s: float) -> None:
        """Asks the cluster to end the session; raises SessionNotFound if that was surely done by somebody else."""
        request = session_pb2.SessionCloseRequest(id=self._id)
        began_s = io.now_s()
        try:
            await self._connection.call(
                calls.SESSION_CLOSE, request, safe=False, timeout_s=timeout_s
            )
        except errors.OutcomeUnknown:
            left_s = timeout_s - (io.now_s() - began_s)
            if left_s <= 0:
                raise
            # That it is gone now may come from the request whose answer was lost.
            with contextlib.suppress(errors.SessionNotFound):
                await self._connection.call(
                    calls.SESSION_CLOSE, request, safe=True, timeout_s=left_s
                )

    def check_alive(self) -> None:
        """Raises SessionLost if the session is lost, and Closed if it is not open."""
        if self.lost.is_set():
            raise errors.SessionLost(self.lost_reason, self._id)
        if self._id == 0 or self._stop.is_set():
            raise errors.Closed("the session is not open")

    async def put(
        self,
        key: str | bytes,
        value: str | bytes = b"",
        *,
        sequence: bool = False,
        prev: bool = False,
        timeout_s: float | None = None,
    ) -> PutResult:
        """Writes a key that goes when the session ends; like `Client.put`. Raises SessionLost too."""
        self.check_alive()
        request = Put(key, value, self, sequence, prev).message()
        try:
            reply = await self._writes.call(calls.PUT, request, timeout_s)
        except errors.SessionNotFound as error:
            self.declare_lost("the cluster does not know the session any more")
            raise errors.SessionLost(self.lost_reason, self._id) from error
        return calls.put_result(reply, reply.header.revision)

    def declare_lost(self, reason: str) -> None:
        """Takes note that the session is over; the first call tells the program, later ones do nothing."""
        if self._note_lost(reason):
            self._tell_lost()

    def _note_lost(self, reason: str) -> bool:
        with self._guard:
            if self.lost.is_set() or self._stop.is_set():
                return False
            self.lost_reason = f"session {self._id} is lost: {reason}"
            self.lost.set()
        self._leave()
        return True

    def _lose(self, reason: str) -> None:
        """The session is over, as is found out where other sessions are kept alive too, which must not wait."""
        if self._note_lost(reason):
            io.aside(self._tell_lost)

    def _tell_lost(self) -> None:
        if self._on_lost is not None:
            try:
                self._on_lost(self)
            except Exception:
                _log.exception("on_lost of session %d failed", self._id)

    def _leave(self) -> None:
        """It is kept alive no more."""
        kept = self._kept
        if kept is not None:
            kept.remove(self._id)
