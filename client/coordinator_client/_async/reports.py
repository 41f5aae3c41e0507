"""What a program reports of itself: checks of the kind TTL."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from coordinator_client import _io_async as io
from coordinator_client import calls, errors
from coordinator_client._async.connection import Connection
from coordinator_client._async.writes import Writes
from coordinator_client.checks import CheckResult, result_json
from coordinator_client.compares import selector
from coordinator_client.failures import Backoff, CallFailed
from coordinator_client.operations import Put
from coordinator_client.pb import kv_pb2, session_pb2

ANSWER_TIMEOUT_S = 2.0
"""How long one node may take to confirm a report before another one is asked."""

WRITE_ATTEMPTS_MAX = 5


class Reports:
    """The reports on one check. Its key belongs to a session that each report keeps alive for the check's TTL.

    So a report that says the same as the one before writes nothing, and when no more come the key goes by itself.
    """

    def __init__(
        self, connection: Connection, key: str, ttl_ms: int, metadata: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._key = key
        self._ttl_ms = ttl_ms
        self._metadata = dict(metadata)
        self._session = 0
        self._told: bytes | None = None
        self._guard = io.Guard()
        self._busy = False
        self._idle = io.Flag()

    async def tell(self, result: CheckResult) -> None:
        """Reports a result; returns when it counts. Raises InvalidArgument, Unavailable, …"""
        value = result_json(result)
        await self._begin()
        try:
            for _ in range(WRITE_ATTEMPTS_MAX):
                if await self._tell(value):
                    return
            raise errors.Unavailable(f"the session of {self._key} ends all the time")
        finally:
            self._end()

    async def close(self, timeout_s: float) -> None:
        """Takes the result back; if that can't be done, it goes with the TTL."""
        await self._begin()
        try:
            if self._session:
                request = session_pb2.SessionCloseRequest(id=self._session)
                self._session = 0
                with contextlib.suppress(errors.CoordinatorError):
                    await self._connection.call(
                        calls.SESSION_CLOSE, request, safe=True, timeout_s=timeout_s
                    )
        finally:
            self._end()

    async def _begin(self) -> None:
        """Waits until no other report on this check is under way."""
        while True:
            with self._guard:
                if not self._busy:
                    self._busy = True
                    self._idle.clear()
                    return
            await self._idle.wait()

    def _end(self) -> None:
        with self._guard:
            self._busy = False
            self._idle.set()

    async def _tell(self, value: bytes) -> bool:
        """Makes one attempt; False: the session ended meanwhile."""
        if self._session == 0 or not await self._renew():
            self._told = None
            # One that was opened unseen holds no key and expires by itself.
            request = session_pb2.SessionOpenRequest(ttl_ms=self._ttl_ms, metadata=self._metadata)
            reply = await self._connection.call(calls.SESSION_OPEN, request, safe=True)
            self._session = reply.id
        if value == self._told and await self._stands():
            return True
        # As long as it is not known what the key holds, the next report writes it.
        self._told = None
        writes = Writes(self._connection)
        try:
            await writes.call(calls.PUT, Put(self._key, value, self._session).message())
        except errors.SessionNotFound:
            self._session = 0
            return False
        except errors.OutcomeUnknown:
            # Written twice, it says the same.
            return False
        self._told = value
        return True

    async def _stands(self) -> bool:
        """Whether the key is still there: it goes with an instance that is removed, and the session does not.

        A node that is a little behind may not know it yet; then it is written once more.
        """
        request = kv_pb2.RangeRequest(selector=selector(self._key), keys_only=True, local=True)
        reply = await self._connection.call(calls.RANGE, request, safe=True)
        return any(kv.session == self._session for kv in reply.kvs)

    async def _renew(self) -> bool:
        """Keeps the session alive for another TTL; returns whether it was still there. Raises Unavailable."""
        connection = self._connection
        deadline_s = io.now_s() + connection.timeout_s
        backoff = Backoff(len(connection.endpoints))
        while True:
            left_s = deadline_s - io.now_s()
            if left_s <= 0:
                raise errors.Unavailable(f"no node confirmed the report on {self._key}")
            stream = connection.open_stream(calls.SESSION_KEEP_ALIVE)
            try:
                stream.send(session_pb2.SessionKeepAliveRequest(ids=[self._session]))
                reply = await stream.next(min(left_s, ANSWER_TIMEOUT_S))
            except (CallFailed, TimeoutError):
                connection.leave(stream.endpoint)
                await connection.pause(min(backoff.next_s(), max(0.0, deadline_s - io.now_s())))
                continue
            finally:
                stream.cancel()
            return any(result.id == self._session and result.alive for result in reply.results)
