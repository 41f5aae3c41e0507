"""A server that answers as a test tells it to, for faults that real nodes have only by chance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from coordinator.errors import RequestError, Status
from coordinator.wire.grpc_aio import STATUS_METADATA, status_details
from coordinator_client.calls import Method

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, Context], Awaitable[Message | None]]


class Scripted(grpc.GenericRpcHandler):
    """Answers unary calls and streams with the functions that a test put into `unary` and `streams`."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.calls: list[str] = []
        """Paths, in the order in which they were called."""
        self._unary: dict[str, tuple[Method[Any, Any], Answer]] = {}
        self._streams: dict[str, tuple[Method[Any, Any], Callable[[Context], Awaitable[None]]]] = {}

    def on_call(self, method: Method[Any, Any], answer: Answer) -> None:
        self._unary[method.path] = (method, answer)

    def on_stream(
        self, method: Method[Any, Any], serve: Callable[[Context], Awaitable[None]]
    ) -> None:
        self._streams[method.path] = (method, serve)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        path = details.method
        self.calls.append(path)
        if path in self._unary:
            method, answer = self._unary[path]
            return grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=method.request.FromString,
                response_serializer=method.reply.SerializeToString,
            )
        if path not in self._streams:
            return None
        method, serve = self._streams[path]

        async def stream(_: Any, context: Context) -> None:
            await serve(context)

        return grpc.stream_stream_rpc_method_handler(
            stream,
            request_deserializer=method.request.FromString,
            response_serializer=method.reply.SerializeToString,
        )


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """Runs a scripted server on a free port."""
    script = Scripted()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((script,))
    script.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield script
    finally:
        await server.stop(0)


async def fail(
    context: Context, status: Status, reason: str = "", message: str = "", **details: str
) -> None:
    """Ends a call as a node would: with our details if there is a reason, else with the status alone."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.value)
    trailing: tuple[tuple[str, bytes], ...] = ()
    if reason:
        error = RequestError(status, reason, message, details)
        trailing = ((STATUS_METADATA, status_details(error)),)
    await context.abort(code, message, trailing)
