"""Hosts handlers on `grpc.aio`, with the standard health and reflection services beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from coordinator.config import Limits
from coordinator.errors import ConfigError, RequestError
from coordinator.rpc import Bidi, Message, Service, Unary, stopping
from coordinator.wire.terms import (
    INTERNAL_WORDS,
    KEEP_ALIVE_S,
    KEEP_ALIVE_TIMEOUT_S,
    METADATA_SIZE_BYTES_MAX,
    QUIET_S,
    REFUSING_SHARE,
    STATUS_METADATA,
    STOP_EXCESS_S,
    only_request_error,
    receive_size_bytes_max,
    send_size_bytes_max,
    status_details,
)

SETTLE_S = 1.0
"""How long the status of a stream waits for the message before it."""

log = structlog.get_logger()

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _AioCall:
    """One call as handlers see it; see `rpc.Call` and `rpc.Stream`."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        stopping: asyncio.Event | None = None,
    ) -> None:
        self._context = context
        self._stopping = stopping
        self._write: asyncio.Future[None] | None = None

    @property
    def peer(self) -> str:
        return self._context.peer()

    @property
    def metadata(self) -> Mapping[str, str]:
        return {k: v for k, v in self._context.invocation_metadata() or () if isinstance(v, str)}

    @property
    def peer_certificate(self) -> None:
        return None

    @property
    def deadline(self) -> float | None:
        left = self._context.time_remaining()
        return None if left is None else asyncio.get_running_loop().time() + float(left)

    async def receive(self) -> Any:
        message = await self._context.read()
        return None if message is grpc.aio.EOF else message

    async def send(self, response: Any) -> None:
        # Shielded, as gRPC takes no status while a message is on its way, even if nobody waits for it.
        self._write = write = asyncio.ensure_future(self._context.write(response))
        write.add_done_callback(_retrieve)
        await asyncio.shield(write)

    async def stopping(self) -> None:
        assert self._stopping is not None
        await self._stopping.wait()

    async def settle(self) -> None:
        """Waits a moment for the message that is on its way."""
        if self._write is not None and not self._write.done():
            await asyncio.wait([self._write], timeout=SETTLE_S)


def _serialize(message: Message) -> bytes:
    """Handlers may answer with anything that knows its bytes: many answers may share a part that is encoded once."""
    return message.SerializeToString()


def _retrieve(write: asyncio.Future[None]) -> None:
    """Takes note of how a write ended that nobody may wait for any more."""
    if not write.cancelled():
        write.exception()


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: RequestError) -> None:
    details = ((STATUS_METADATA, status_details(error)),) if error.reason else ()
    await context.abort(_CODES[error.status.value], error.message, details)


async def _abort_unexpected(context: grpc.aio.ServicerContext[Any, Any], method: str) -> None:
    log.exception("a handler failed", method=method)
    await context.abort(grpc.StatusCode.INTERNAL, INTERNAL_WORDS)


class _Host:
    """Turns methods into what `grpc.aio` calls, and knows the streams that are open."""

    def __init__(self) -> None:
        self._streams: set[asyncio.Task[Any]] = set()
        self._stop = asyncio.Event()
        self._under_way = 0
        self._last_call = 0.0

    def unary(self, method: Unary) -> Any:
        async def run(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self._under_way += 1
            try:
                if self._stop.is_set():
                    raise stopping()
                return await method.call(_AioCall(context), request)
            except RequestError as error:
                await _abort(context, error)
            except Exception:
                await _abort_unexpected(context, method.name)
            finally:
                self._under_way -= 1
                self._last_call = asyncio.get_running_loop().time()

        return run

    def bidi(self, method: Bidi) -> Any:
        async def run(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            task = asyncio.current_task()
            assert task is not None
            if not method.drains:
                self._streams.add(task)
            call = _AioCall(context, self._stop)
            try:
                if self._stop.is_set():
                    raise stopping()
                await method.call(call)
            except RequestError as error:
                await call.settle()
                await _abort(context, error)
            except BaseExceptionGroup as group:
                await call.settle()
                expected = only_request_error(group)
                if expected is not None:
                    await _abort(context, expected)
                elif not context.done():
                    await _abort_unexpected(context, method.name)
            except asyncio.CancelledError:
                if not self._stop.is_set() or context.done():
                    raise
                await call.settle()
                await _abort(context, stopping())
            except Exception:
                await call.settle()
                if not context.done():
                    await _abort_unexpected(context, method.name)
            finally:
                self._streams.discard(task)

        return run

    def refuse(self) -> None:
        """Refuses new calls from now on, and ends all streams that do not end by themselves, with a word why."""
        self._stop.set()
        for task in self._streams:
            task.cancel()

    async def quiet(self, timeout_s: float) -> None:
        """Returns when no call was under way and none came for QUIET_S, or after the timeout."""
        loop = asyncio.get_running_loop()
        deadline, self._last_call = loop.time() + timeout_s, loop.time()
        while (now := loop.time()) < deadline:
            if not self._under_way and now - self._last_call >= QUIET_S:
                return
            await asyncio.sleep(QUIET_S / 5)

    def method_handler(self, method: Unary | Bidi) -> Any:
        deserializer = method.request.FromString
        if isinstance(method, Unary):
            return grpc.unary_unary_rpc_method_handler(
                self.unary(method),
                request_deserializer=deserializer,
                response_serializer=_serialize,
            )
        return grpc.stream_stream_rpc_method_handler(
            self.bidi(method), request_deserializer=deserializer, response_serializer=_serialize
        )


class GrpcAioServer:
    """One listener for gRPC clients."""

    def __init__(self, services: Sequence[Service], limits: Limits) -> None:
        self._services = services
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", receive_size_bytes_max(limits)),
                ("grpc.max_send_message_length", send_size_bytes_max(limits)),
                ("grpc.max_metadata_size", METADATA_SIZE_BYTES_MAX),
                ("grpc.so_reuseport", 0),
                # Clients may probe their connection, also while they only watch.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
                ("grpc.http2.max_ping_strikes", 0),
                # A client that is gone without a word is noticed, and its streams are freed.
                ("grpc.keepalive_time_ms", int(1000 * KEEP_ALIVE_S)),
                ("grpc.http2.ping_timeout_ms", int(1000 * KEEP_ALIVE_TIMEOUT_S)),
            ),
            maximum_concurrent_rpcs=limits.streams_max,
        )
        self._host = _Host()
        for service in services:
            methods = {m.name: self._host.method_handler(m) for m in service.methods}
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service.name, methods),)
            )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [
            *(s.name for s in services if s.described),
            health.SERVICE_NAME,
            reflection.SERVICE_NAME,
        ]
        reflection.enable_server_reflection(names, self._server)

    def bind(self, address: str) -> int:
        """Takes the address; returns the port. Raises ConfigError if it can't be had."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(
                f"can't listen for clients on {address}: the address is in use or not of this machine"
            ) from error
        if port == 0:
            raise ConfigError(f"can't listen for clients on {address}")
        return port

    async def start(self) -> None:
        """Begins to serve."""
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        """Tells the health service's clients whether the services can do their work.

        The server as a whole, the empty name, is well as long as it answers.
        """
        state = health_pb2.HealthCheckResponse.ServingStatus.ValueType
        status = state(
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        for service in self._services:
            await self._health.set(service.name, status)

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, lets those under way finish for `grace_s`, then ends them.

        Connections stay open at first: gRPC ends a call that comes as they are closed in a way that leaves open whether
        it was carried out, while one that is refused goes elsewhere.
        """
        try:
            async with asyncio.timeout(grace_s + STOP_EXCESS_S):
                await self._stop(grace_s)
        except TimeoutError:
            # What ends calls is not in our hands, and nothing that was acknowledged hangs on it.
            log.warning("calls do not end: they are left to the end of this program")

    async def _stop(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + grace_s
        await self._health.enter_graceful_shutdown()
        self._host.refuse()
        await self._host.quiet(REFUSING_SHARE * grace_s)
        await self._server.stop(max(0.0, ends_at - loop.time()))
