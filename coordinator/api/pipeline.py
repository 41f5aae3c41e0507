"""The service `coordinator.v1.Pipeline`: many calls on one stream, each carried out as if it had come on its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog

from coordinator.api.begun import Begun, in_full
from coordinator.api.framing import field, varint_field
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.pieces import Pieced
from coordinator.rpc import Bidi, Call, DrainingStream, Message, Service, Unary, stopping
from coordinator_client.pb import pipeline_pb2

QUIET_S = 0.1
"""A stream of a member that stops ends when no call was under way, and none came, for this long."""

CALLS = {
    "range": "coordinator.v1.KV/Range",
    "put": "coordinator.v1.KV/Put",
    "delete_range": "coordinator.v1.KV/DeleteRange",
    "txn": "coordinator.v1.KV/Txn",
    "compact": "coordinator.v1.KV/Compact",
    "session_open": "coordinator.v1.Session/Open",
    "session_close": "coordinator.v1.Session/Close",
    "session_get": "coordinator.v1.Session/Get",
}
"""The methods that can be called, by the field that holds the request and its answer."""

_RESULTS = pipeline_pb2.PipelineResponse.DESCRIPTOR.fields_by_name["results"].number
_RESULT = {f.name: f.number for f in pipeline_pb2.PipelineResult.DESCRIPTOR.fields}
_ID = _RESULT["id"]

log = structlog.get_logger()


def _in_parts(method: Callable[[Call, Any], Awaitable[Any]]) -> Begun:
    """Returns a method in two parts, the second one of which does nothing if it has none."""
    return method if isinstance(method, Begun) else Begun(method, _as_it_is)


def _as_it_is(reply: Message) -> Message:
    return reply


class PipelineService:
    """Carries out the calls of pipelines with the methods of other services."""

    def __init__(self, services: Sequence[Service], node: Node) -> None:
        """`services`: those that have the methods of `CALLS`; any others are passed over."""
        methods = {
            f"{service.name}/{method.name}": method.call
            for service in services
            for method in service.methods
            if isinstance(method, Unary)
        }
        self._methods = {kind: _in_parts(methods[path]) for kind, path in CALLS.items()}
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        pb = pipeline_pb2
        run = Bidi("Run", pb.PipelineRequest, pb.PipelineResponse, self.run, drains=True)
        return Service("coordinator.v1.Pipeline", (run,))

    async def run(self, stream: DrainingStream[Any, Any]) -> None:
        """Serves one pipeline until its client ends it, or the member stops."""
        await _Pipeline(self._methods, self._node, stream).run()


class _PipelineCall:
    """One call, as its handler sees it; see `rpc.Call`."""

    __slots__ = ("_stream", "deadline")

    def __init__(self, stream: Call, deadline: float | None) -> None:
        self._stream = stream
        self.deadline = deadline

    @property
    def peer(self) -> str:
        return self._stream.peer

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._stream.metadata

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        return self._stream.peer_certificate


class _Ready(NamedTuple):
    """A call whose wait is over."""

    number: int
    kind: str
    size: int
    ended: asyncio.Future[Any]


class _Pipeline:
    """One stream: the calls under way, and the answers that wait to be sent.

    No more is read while too many calls are under way, so that a client which sends faster than the cluster serves it
    waits itself. Replies are made one by one as they are sent: calls of a client that takes none cost what they came
    to, which is little, and not what would be told of it.
    """

    def __init__(
        self,
        methods: Mapping[str, Begun],
        node: Node,
        stream: DrainingStream[Any, Any],
    ) -> None:
        self._methods = methods
        self._node = node
        self._limits = node.limits
        self._message_size_max = node.limits.watch_message_size_bytes_max
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._open: set[asyncio.Future[Any]] = set()
        """What the calls under way wait for, or waited for if they have no answer yet."""
        self._open_size_bytes = 0
        self._ready: deque[_Ready] = deque()
        """Calls whose wait is over."""
        self._answers: deque[bytes] = deque()
        self._answers_size_bytes = 0
        self._news = asyncio.Event()
        """There is an answer to send, or the stream is to end."""
        self._room = asyncio.Event()
        """Set when a call has ended, or answers were sent."""
        self._ended = False
        self._stopping = False
        self._last_call = 0.0
        self._leader = ""
        """The leader's address that the client was told."""

    async def run(self) -> None:
        """Serves until the end of the stream. Raises RequestError when the member stops."""
        ending = self._loop.create_task(self._stop())
        reading = self._loop.create_task(self._read())
        writing = self._loop.create_task(self._write())
        parts = (ending, reading, writing)
        try:
            await asyncio.wait((ending, writing), return_when=asyncio.FIRST_COMPLETED)
            for part in (reading, writing, ending):
                if part.done():
                    part.result()
        finally:
            for task in (*parts, *self._open):
                task.cancel()
            # Theirs is what is not told on a stream that is gone; nobody else takes note of it.
            await asyncio.gather(*parts, *self._open, return_exceptions=True)

    # --- calls ----------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while (message := await self._stream.receive()) is not None:
                self._last_call = self._loop.time()
                for call in message.calls:
                    while self._full():
                        self._room.clear()
                        await self._room.wait()
                    self._begin(call)
        finally:
            self._ended = True
            self._news.set()

    def _full(self) -> bool:
        limits = self._limits
        return (
            len(self._open) >= limits.pipeline_calls_max
            or self._open_size_bytes >= limits.pipeline_size_bytes_max
            or self._answers_size_bytes >= limits.pipeline_size_bytes_max
        )

    def _begin(self, call: pipeline_pb2.PipelineCall) -> None:
        kind = call.WhichOneof("request")
        if kind is None:
            self._refuse(
                call.id,
                RequestError(
                    Status.UNIMPLEMENTED,
                    "UNIMPLEMENTED",
                    "the call has no request, or one that this member does not know",
                    {"applied": "no"},
                ),
            )
        elif self._stopping:
            self._refuse(call.id, stopping())
        else:
            self._carry_out(call, kind)

    def _carry_out(self, call: pipeline_pb2.PipelineCall, kind: str) -> None:
        timeout_ms = call.timeout_ms
        deadline = self._loop.time() + timeout_ms / 1000 if timeout_ms else None
        method = self._methods[kind]
        request = getattr(call, kind)
        of = _PipelineCall(self._stream, deadline)
        try:
            waits = asyncio.ensure_future(method.begin(of, request))
        except Exception as error:
            self._fail(call.id, kind, error)
            return
        size = call.ByteSize()
        self._open.add(waits)
        self._open_size_bytes += size
        waits.add_done_callback(partial(self._done, call.id, kind, size))

    def _done(self, number: int, kind: str, size: int, ended: asyncio.Future[Any]) -> None:
        """What a call waited for has come."""
        self._ready.append(_Ready(number, kind, size, ended))
        self._news.set()

    async def _finish(self, ready: _Ready) -> None:
        """Makes the answer to a call."""
        try:
            reply = await in_full(self._methods[ready.kind].finish(ready.ended.result()))
            self._answer(ready.number, ready.kind, reply.SerializeToString())
        except Exception as error:
            self._fail(ready.number, ready.kind, error)
        self._open.discard(ready.ended)
        self._open_size_bytes -= ready.size
        self._room.set()

    def _fail(self, number: int, kind: str, error: Exception) -> None:
        if not isinstance(error, RequestError):
            log.error("a handler failed", method=CALLS[kind], exc_info=error)
            message = "internal error; the member's log has more"
            error = RequestError(Status.INTERNAL, "", message)
        self._refuse(number, error)

    # --- answers --------------------------------------------------------------------------------

    def _refuse(self, number: int, error: RequestError) -> None:
        failure = pipeline_pb2.PipelineError(
            code=error.status.value,
            message=error.message,
            reason=error.reason,
            metadata=error.details,
        )
        self._answer(number, "error", failure.SerializeToString())

    def _answer(self, number: int, kind: str, reply: bytes) -> None:
        """Puts a result among those to be sent."""
        answer = field(_RESULTS, varint_field(_ID, number) + field(_RESULT[kind], reply))
        self._answers.append(answer)
        self._answers_size_bytes += len(answer)
        self._news.set()

    async def _write(self) -> None:
        """Sends what was answered since the last message; returns when the client has ended and has its answers."""
        while not (self._ended and not self._open and not self._answers):
            await self._news.wait()
            self._news.clear()
            while self._ready or self._answers:
                while self._ready and self._answers_size_bytes < self._message_size_max:
                    await self._finish(self._ready.popleft())
                answers = self._take()
                await self._stream.send(Pieced(self._news_of_leader(), answers))
                self._answers_size_bytes -= sum(map(len, answers))
                self._room.set()

    def _news_of_leader(self) -> pipeline_pb2.PipelineResponse:
        """Returns what a client is told of who leads, if that is new."""
        leader = self._node.leader_client_address
        if leader == self._leader:
            leader = ""
        self._leader = leader or self._leader
        return pipeline_pb2.PipelineResponse(leader=leader)

    def _take(self) -> list[bytes]:
        """Returns answers for one message of about the size that there may be, or a larger one alone."""
        taken = [self._answers.popleft()]
        size = len(taken[0])
        while self._answers and size + len(self._answers[0]) <= self._message_size_max:
            taken.append(self._answers.popleft())
            size += len(taken[-1])
        return taken

    # --- the end --------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Once the member stops: refuses new calls, and ends the stream when nothing comes and nothing is under way."""
        await self._stream.stopping()
        self._stopping = True
        self._last_call = self._loop.time()
        while self._open or self._answers or self._loop.time() - self._last_call < QUIET_S:
            await asyncio.sleep(QUIET_S / 5)
        raise stopping()
