"""The sessions that are opened for instances whose programs open none, and closed again where that came to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from coordinator.api.session import SessionService
from coordinator.errors import OutcomeUnknown, RequestError
from coordinator.node.interface import Node
from coordinator.rpc import Call
from coordinator.state.commands import SessionClose
from coordinator_client.pb import registry_pb2, session_pb2

DISCONNECT_GRACE_MS = 1_000
"""Unless the request says otherwise."""

CLOSINGS_MAX = 1_000
"""Sessions that are being closed at once; further ones end by their TTL."""

CLOSE_PAUSE_S = 1.0
"""Between attempts to close one."""


class InstanceSessions:
    """Opens sessions in the name of a registration."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._sessions = SessionService(node)
        self._closings: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def opened(self, call: Call, request: registry_pb2.RegisterRequest) -> AsyncIterator[int]:
        """Opens a session and gives its id. It is closed soon if the block ends with an error, or is cancelled."""
        # Chosen here, so that it is known even if the answer is not.
        session = secrets.randbits(62) + 1
        grace_ms = min(DISCONNECT_GRACE_MS, request.ttl_ms)
        if request.HasField("disconnect_grace_ms"):
            grace_ms = request.disconnect_grace_ms
        opening = session_pb2.SessionOpenRequest(
            id=session,
            ttl_ms=request.ttl_ms,
            disconnect_grace_ms=grace_ms,
            metadata={"service": request.instance.service, "instance": request.instance.id},
        )
        opened = False
        try:
            await self._sessions.open(call, opening)
            opened = True
            yield session
        except BaseException as error:
            refused = isinstance(error, RequestError) and not isinstance(error, OutcomeUnknown)
            if opened or not refused:
                self._close_soon(session, request.ttl_ms)
            raise

    def _close_soon(self, session: int, ttl_ms: int) -> None:
        """Lets a session that nobody will keep alive end before its TTL is over, which may be a day."""
        if len(self._closings) < CLOSINGS_MAX:
            task = asyncio.create_task(self._close(session, ttl_ms))
            self._closings.add(task)
            task.add_done_callback(self._closings.discard)

    async def _close(self, session: int, ttl_ms: int) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + ttl_ms / 1000
        while (now := loop.time()) < ends_at:
            deadline = now + self._node.timing.request_timeout_ms_default / 1000
            try:
                await self._node.propose(SessionClose(session), deadline)
                return
            except RequestError as error:
                if error.reason == "STOPPING":
                    return
                await asyncio.sleep(CLOSE_PAUSE_S)
