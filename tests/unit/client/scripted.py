"""A server that answers as a test tells it to, for faults that real nodes have only by chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import Message

from coordinator.errors import RequestError, Status
from coordinator.wire.terms import STATUS_METADATA, status_details
from coordinator_client import calls, pipelining
from coordinator_client.calls import Method
from coordinator_client.failures import failure_from
from coordinator_client.pb import pipeline_pb2

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, Any], Awaitable[Message | None]]


class Scripted(grpc.GenericRpcHandler):
    """Answers unary calls and streams with the functions that a test put into `unary` and `streams`."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.pipelines = True
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
        if path == pipelining.PATH and path not in self._streams:
            return self._pipeline()
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

    def _pipeline(self) -> Any:
        """Answers pipelined calls as if each had come alone."""
        if not self.pipelines:
            return None

        async def answer(
            call: pipeline_pb2.PipelineCall, context: Context, writing: asyncio.Lock
        ) -> None:
            kind = call.WhichOneof("request") or ""
            path = next(m.path for m in vars(calls).values() if getattr(m, "kind", "") == kind)
            self.calls.append(path)
            result = pipeline_pb2.PipelineResult(id=call.id)
            try:
                if path not in self._unary:
                    await _Inside().abort(grpc.StatusCode.UNIMPLEMENTED)
                reply = await self._unary[path][1](getattr(call, kind), _Inside())
                getattr(result, kind).CopyFrom(reply)
            except _Aborted as aborted:
                failure = failure_from(aborted.code, aborted.message, aborted.trailing)
                result.error.code = aborted.code.value[0]
                result.error.message, result.error.reason = failure.message, failure.reason
                result.error.metadata.update(failure.metadata)
            except Exception as error:
                result.error.code = grpc.StatusCode.UNKNOWN.value[0]
                result.error.message = f"Unexpected {type(error)}: {error}"
            async with writing:
                await context.write(pipeline_pb2.PipelineResponse(results=[result]))

        async def run(_: Any, context: Context) -> None:
            writing = asyncio.Lock()
            async with asyncio.TaskGroup() as group:
                while (message := await context.read()) is not grpc.aio.EOF:
                    for call in message.calls:
                        group.create_task(answer(call, context, writing))

        return grpc.stream_stream_rpc_method_handler(
            run,
            request_deserializer=pipeline_pb2.PipelineRequest.FromString,
            response_serializer=pipeline_pb2.PipelineResponse.SerializeToString,
        )


class _Aborted(Exception):
    def __init__(self, code: grpc.StatusCode, message: str, trailing: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.trailing = code, message, trailing


class _Inside:
    """What an answer may do with its context when its call came over a pipeline."""

    async def abort(self, code: grpc.StatusCode, message: str = "", trailing: Any = ()) -> NoReturn:
        raise _Aborted(code, message, trailing)


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
