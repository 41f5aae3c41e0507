"""The four kinds of calls in the asyncio face.

grpc.aio gives a call object at once, but an instance may have to be waited for. grpc.aio has objects for such calls,
those of channels with interceptors. So a call is made on a channel that never connects, the facade, whose interceptors
wait for an instance and then make the call there. What is to be done reaches the interceptor in a context variable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from coordinator_client.grpc_channels.call_options import CallOptions
from coordinator_client.grpc_channels.outcomes import never_left, verdict
from coordinator_client.grpc_channels.subchannels import Pick

if TYPE_CHECKING:
    from coordinator_client.grpc_channels.aio_channel import BalancedChannel

__all__ = ["StreamStream", "StreamUnary", "UnaryStream", "UnaryUnary", "interceptors"]

_begin: ContextVar[Callable[[Any], Awaitable[Any]]] = ContextVar("_begin")


async def _go_on(self: Any, continuation: Any, details: Any, request: Any) -> Any:
    return await _begin.get()(request)


_intercept: Any = _go_on


class _InterceptUnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary = _intercept


class _InterceptUnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = _intercept


class _InterceptStreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary = _intercept


class _InterceptStreamStream(grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream = _intercept


def interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """Returns those of a facade."""
    return (
        _InterceptUnaryUnary(),
        _InterceptUnaryStream(),
        _InterceptStreamUnary(),
        _InterceptStreamStream(),
    )


class _Calls:
    """What the four have in common."""

    KIND = ""

    def __init__(
        self, channel: BalancedChannel, path: str, serializer: Any, deserializer: Any
    ) -> None:
        self._channel = channel
        self._path = path
        self._serializer = serializer
        self._deserializer = deserializer
        self._facade = getattr(channel.facade, self.KIND)(path, serializer, deserializer)

    def _defer(self, begin: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        token = _begin.set(begin)
        try:
            return self._facade(request)
        finally:
            _begin.reset(token)

    def _start(self, pick: Pick, request: Any, options: CallOptions) -> Any:
        try:
            invocations = pick.subchannel.invocations
            invocation = invocations.get(self)
            if invocation is None:
                make = getattr(pick.subchannel.channel, self.KIND)
                invocation = invocations[self] = make(
                    self._path, self._serializer, self._deserializer
                )
            call = invocation(request, **options.arguments())
        except BaseException:
            self._channel.finish(pick, None)
            raise
        call.add_done_callback(partial(self._report, pick))
        return call

    def _report(self, pick: Pick, call: Any) -> None:
        code = None if call.cancelled() else _at_once(call.code())
        details = None if code is None else _at_once(call.details())
        self._channel.finish(pick, verdict(code, details))


class _UnaryRequest(_Calls):
    """Calls with one request: it is at hand for another instance if the call never left."""

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Returns the call; see grpc.aio."""
        self._channel.check_open()
        options = CallOptions(timeout, metadata, credentials, wait_for_ready, compression)
        return self._defer(partial(self._begin, options), request)

    async def _begin(self, options: CallOptions, request: Any) -> Any:
        key = options.key(self._channel.hash_key)
        while True:
            pick = await self._channel.obtain(key, options.deadline_s, options.wait_for_ready)
            call = self._start(pick, request, options)
            try:
                if not await self._is_unsent(pick, call, options):
                    return call
            except asyncio.CancelledError:
                call.cancel()
                raise

    async def _is_unsent(self, pick: Pick, call: Any, options: CallOptions) -> bool:
        """Whether another instance may get the call; waits until that is known."""
        if not await self._has_failed(pick, call):
            return False
        code, details = await call.code(), await call.details()
        return never_left(code, details, pick.subchannel.target) and await self._channel.is_lost(
            pick, options.deadline_s
        )

    async def _has_failed(self, pick: Pick, call: Any) -> bool:
        raise NotImplementedError


class UnaryUnary(_UnaryRequest, grpc.aio.UnaryUnaryMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """One request, one response."""

    KIND = "unary_unary"

    async def _has_failed(self, pick: Pick, call: Any) -> bool:
        return await call.code() is not grpc.StatusCode.OK


class UnaryStream(_UnaryRequest, grpc.aio.UnaryStreamMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """One request, a stream of responses."""

    KIND = "unary_stream"

    async def _has_failed(self, pick: Pick, call: Any) -> bool:
        await call.initial_metadata()
        # Of a call that failed, these come as well, and its status right after them.
        if not call.done() and not pick.lost:
            return False
        return await call.code() is not grpc.StatusCode.OK


class _StreamRequest(_Calls):
    """Calls with a stream of requests: these can't be sent twice. If an instance is there, the call is grpcio's own."""

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Returns the call; see grpc.aio."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready, compression)
        pick = self._channel.obtain_now(options.key(self._channel.hash_key))
        if pick is not None:
            return self._start(pick, request_iterator, options)
        return self._defer(partial(self._begin, options), request_iterator)

    async def _begin(self, options: CallOptions, requests: Any) -> Any:
        key = options.key(self._channel.hash_key)
        pick = await self._channel.obtain(key, options.deadline_s, options.wait_for_ready)
        return self._start(pick, requests, options)


class StreamUnary(_StreamRequest, grpc.aio.StreamUnaryMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """A stream of requests, one response."""

    KIND = "stream_unary"


class StreamStream(_StreamRequest, grpc.aio.StreamStreamMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """Streams both ways."""

    KIND = "stream_stream"


def _at_once(ready: Coroutine[Any, Any, Any]) -> Any:
    """Returns what a coroutine returns that need not wait; None if it would."""
    try:
        ready.send(None)
    except StopIteration as done:
        return done.value
    finally:
        ready.close()
    return None
