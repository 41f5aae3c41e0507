"""The service `coordinator.v1.Session`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from itertools import islice

from coordinator.api import render
from coordinator.api.begun import Begun
from coordinator.api.convert import Converter
from coordinator.api.window import check_window
from coordinator.errors import RequestError, Status
from coordinator.node.expiry import SYSTEM_PREFIX
from coordinator.node.interface import Node
from coordinator.rpc import Bidi, Call, Service, Stream, Unary, deadline_of, invalid, too_large
from coordinator.state.commands import SessionClose, SessionOpen
from coordinator.state.results import Code, Failure, SessionResult
from coordinator_client.pb import session_pb2

LIST_LENGTH_MAX = 10_000
"""Sessions in one reply."""

ID_ATTEMPTS = 3

BROKEN_AFTER_S = 0.05
"""How long after a client's last message it shows that its connection is gone."""

ITEM_OVERHEAD_BYTES = 8
"""What framing adds to an item of a reply."""


class SessionService:
    """Opens, keeps and ends sessions."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._convert = Converter(node.limits)

    def service(self) -> Service:
        """Returns the methods for a host."""
        pb = session_pb2
        keep_alive = Bidi(
            "KeepAlive", pb.SessionKeepAliveRequest, pb.SessionKeepAliveResponse, self.keep_alive
        )
        return Service(
            "coordinator.v1.Session",
            (
                Unary("Open", pb.SessionOpenRequest, pb.SessionOpenResponse, self.open),
                keep_alive,
                Unary("Close", pb.SessionCloseRequest, pb.SessionCloseResponse, self.close),
                Unary(
                    "Get",
                    pb.SessionGetRequest,
                    pb.SessionGetResponse,
                    Begun(self._begin_get, self._finish_get),
                ),
                Unary("List", pb.SessionListRequest, pb.SessionListResponse, self.list),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    async def open(
        self, call: Call, request: session_pb2.SessionOpenRequest
    ) -> session_pb2.SessionOpenResponse:
        """Opens a session under the client's id or a random one."""
        self._check_open(request)
        deadline = self._deadline(call)
        for _ in range(ID_ATTEMPTS):
            command = SessionOpen(
                id=request.id or secrets.randbits(62) + 1,
                ttl_ms=request.ttl_ms,
                disconnect_grace_ms=request.disconnect_grace_ms
                if request.HasField("disconnect_grace_ms")
                else None,
                metadata=tuple(sorted(request.metadata.items())),
            )
            outcome = await self._node.propose(command, deadline)
            result = outcome.result
            if isinstance(result, SessionResult):
                return session_pb2.SessionOpenResponse(
                    header=render.header(self._node, outcome.revision),
                    id=result.session.id,
                    ttl_ms=result.session.ttl_ms,
                )
            assert isinstance(result, Failure)
            error = render.error(result)
            if request.id or result.code is not Code.SESSION_EXISTS:
                break
        raise error

    def _check_open(self, request: session_pb2.SessionOpenRequest) -> None:
        limits = self._node.limits
        if not limits.session_ttl_ms_min <= request.ttl_ms <= limits.session_ttl_ms_max:
            raise invalid(
                "ttl_ms",
                f"must be from {limits.session_ttl_ms_min} to {limits.session_ttl_ms_max}",
            )
        if request.id < 0:
            raise invalid("id", "is negative")
        if request.HasField("disconnect_grace_ms") and not (
            0 <= request.disconnect_grace_ms <= request.ttl_ms
        ):
            raise invalid("disconnect_grace_ms", "must be from 0 to ttl_ms")
        if any(key.startswith(SYSTEM_PREFIX) for key in request.metadata):
            raise invalid("metadata", f"has a key that begins with {SYSTEM_PREFIX!r}, as none may")
        size = sum(len(k.encode()) + len(v.encode()) for k, v in request.metadata.items())
        if size > limits.session_metadata_size_bytes_max:
            raise too_large("metadata in bytes", size, limits.session_metadata_size_bytes_max)
        if self._node.state.session_count >= limits.sessions_max:
            raise too_large("the number of sessions", limits.sessions_max + 1, limits.sessions_max)

    async def keep_alive(
        self,
        stream: Stream[session_pb2.SessionKeepAliveRequest, session_pb2.SessionKeepAliveResponse],
    ) -> None:
        """Renews sessions, request by request; tells the node when the stream breaks."""
        attachments: dict[int, int] = {}
        try:
            while (request := await stream.receive()) is not None:
                await self._renew(stream, request, attachments)
            # A connection that broke looks like a client that has no more to say, until the call is canceled.
            await asyncio.sleep(BROKEN_AFTER_S)
        except asyncio.CancelledError:
            self._node.connection_lost(attachments)
            raise

    async def _renew(
        self,
        stream: Stream[session_pb2.SessionKeepAliveRequest, session_pb2.SessionKeepAliveResponse],
        request: session_pb2.SessionKeepAliveRequest,
        attachments: dict[int, int],
    ) -> None:
        node = self._node
        ids = tuple(request.ids)
        ids_max = node.limits.keep_alive_ids_max
        if len(attachments) + len(ids) > ids_max:
            # Sessions may come and go on a stream for as long as it lasts.
            for session_id in [i for i in attachments if node.state.session(i) is None]:
                del attachments[session_id]
        known = len(attachments.keys() | set(ids))
        if max(len(ids), known) > ids_max:
            raise too_large("ids", max(len(ids), known), ids_max)
        renewals = await node.keep_alive(
            ids,
            deadline_of(stream, node.timing.request_timeout_ms_default / 1000),
            [attachments.get(i, 0) for i in ids],
        )
        results = []
        for session_id, renewal in zip(ids, renewals, strict=True):
            if renewal.ttl_ms:
                attachments[session_id] = renewal.attachment
            else:
                attachments.pop(session_id, None)
            results.append(
                session_pb2.SessionKeepAliveResponse.Result(
                    id=session_id, alive=renewal.ttl_ms > 0, ttl_ms=renewal.ttl_ms
                )
            )
        await stream.send(
            session_pb2.SessionKeepAliveResponse(header=render.header(node), results=results)
        )

    async def close(
        self, call: Call, request: session_pb2.SessionCloseRequest
    ) -> session_pb2.SessionCloseResponse:
        """Ends a session."""
        if request.id <= 0:
            raise invalid("id", "must be positive")
        command = SessionClose(request.id, self._convert.request_id(request, request.request))
        check_window(self._node, command.request)
        outcome = await self._node.propose(command, self._deadline(call))
        if isinstance(outcome.result, Failure):
            raise render.error(outcome.result)
        assert isinstance(outcome.result, SessionResult)
        return session_pb2.SessionCloseResponse(
            header=render.header(self._node, outcome.revision), deleted=outcome.result.deleted
        )

    async def _begin_get(
        self, call: Call, request: session_pb2.SessionGetRequest
    ) -> session_pb2.SessionGetRequest:
        """Describes one session."""
        deadline = self._deadline(call)
        await self._node.read(local=request.local, min_revision=0, deadline=deadline)
        return request

    def _finish_get(self, request: session_pb2.SessionGetRequest) -> session_pb2.SessionGetResponse:
        node = self._node
        record = node.state.session(request.id)
        if record is None:
            raise RequestError(
                Status.NOT_FOUND,
                "SESSION_NOT_FOUND",
                f"there is no session {request.id}",
                {"session": str(request.id)},
            )
        keys = node.state.session_keys(request.id)
        fitting = fit((len(key) for key in keys), node.limits.range_reply_size_bytes_max)
        return session_pb2.SessionGetResponse(
            header=render.header(node, local=request.local),
            session=render.session(record, len(keys)),
            keys=keys[:fitting],
            more=fitting < len(keys),
        )

    async def list(
        self, call: Call, request: session_pb2.SessionListRequest
    ) -> session_pb2.SessionListResponse:
        """Describes all sessions, a page at a time."""
        if request.limit < 0 or request.start_after < 0:
            raise invalid("limit", "limit and start_after must not be negative")
        node = self._node
        await node.read(local=request.local, min_revision=0, deadline=self._deadline(call))
        limit = min(request.limit or LIST_LENGTH_MAX, LIST_LENGTH_MAX)
        records = [
            render.session(record, node.state.session_key_count(record.id))
            for record in islice(node.state.sessions(request.start_after), limit + 1)
        ]
        sizes = (record.ByteSize() for record in records[:limit])
        fitting = fit(sizes, node.limits.range_reply_size_bytes_max)
        return session_pb2.SessionListResponse(
            header=render.header(node, local=request.local),
            sessions=records[:fitting],
            more=len(records) > fitting,
        )


def fit(sizes: Iterable[int], size_bytes_max: int) -> int:
    """Returns how many items of these sizes fit one reply; the first always does."""
    count = total = 0
    for size in sizes:
        total += size + ITEM_OVERHEAD_BYTES
        if count and total > size_bytes_max:
            break
        count += 1
    return count
