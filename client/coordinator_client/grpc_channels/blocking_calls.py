"""The four kinds of calls in the blocking face: each picks an instance, and is then one of grpcio's own calls."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc

from coordinator_client.grpc_channels.call_options import CallOptions
from coordinator_client.grpc_channels.failed_call import FailedCall
from coordinator_client.grpc_channels.late_future import LateFuture
from coordinator_client.grpc_channels.outcomes import never_left, verdict
from coordinator_client.grpc_channels.subchannels import Pick

if TYPE_CHECKING:
    from coordinator_client.grpc_channels.blocking_channel import BalancedChannel

__all__ = ["StreamStream", "StreamUnary", "UnaryStream", "UnaryUnary"]

CANCELED = "Locally cancelled by application!"
"""How grpcio says it."""

Invoke = Callable[[Any], Any]
"""Makes a call with the multi-callable of a sub-channel."""


class _Calls:
    """What the four have in common."""

    KIND = ""
    AGAIN = False
    """Whether the request is still at hand when a call has failed."""

    def __init__(
        self, channel: BalancedChannel, path: str, serializer: Any, deserializer: Any
    ) -> None:
        self._channel = channel
        self._path = path
        self._serializer = serializer
        self._deserializer = deserializer

    def _obtain(self, options: CallOptions, unwanted: Callable[[], bool] = lambda: False) -> Pick:
        key = options.key(self._channel.hash_key)
        return self._channel.obtain(key, options.deadline_s, options.wait_for_ready, unwanted)

    def _invocation(self, pick: Pick) -> Any:
        """Returns the multi-callable of the sub-channel."""
        invocations = pick.subchannel.invocations
        invocation = invocations.get(self)
        if invocation is None:
            make = getattr(pick.subchannel.channel, self.KIND)
            invocation = invocations[self] = make(self._path, self._serializer, self._deserializer)
        return invocation

    def _complete(self, invoke: Invoke, options: CallOptions) -> Any:
        """Makes a call to its end."""
        pick = self._obtain(options)
        while True:
            ok: bool | None = None
            try:
                result = invoke(self._invocation(pick))
                ok = True
                return result
            except grpc.RpcError as error:
                ok = verdict(error.code(), error.details())
                if not self.is_unsent(error, pick, options):
                    raise
            finally:
                self._channel.finish(pick, ok)
            try:
                pick = self._obtain(options)
            except ValueError as error:
                # The channel was closed meanwhile, which ends calls under way like this.
                raise FailedCall(grpc.StatusCode.CANCELLED, str(error)) from error

    def begin(
        self,
        invoke: Invoke,
        options: CallOptions,
        unwanted: Callable[[], bool] = lambda: False,
    ) -> tuple[Any, Pick | None]:
        """Begins a call, when there is an instance for it; returns it and whom it was given to."""
        try:
            pick = self._obtain(options, unwanted)
        except FailedCall as failure:
            return failure, None
        return self._start(pick, invoke), pick

    def begin_now(self, invoke: Invoke, options: CallOptions) -> tuple[Any, Pick] | None:
        """Begins a call, if there is an instance for it."""
        pick = self._channel.obtain_now(options.key(self._channel.hash_key))
        return None if pick is None else (self._start(pick, invoke), pick)

    def _start(self, pick: Pick, invoke: Invoke) -> Any:
        try:
            call = invoke(self._invocation(pick))
        except BaseException:
            self._channel.finish(pick, None)
            raise
        # A call that its program forgets must end, so nothing here may remember it.
        report = partial(self._report, pick, weakref.ref(call))
        if not call.add_callback(report):
            report()
        return call

    def wake(self) -> None:
        """Makes every waiting `begin` ask whether it is wanted."""
        self._channel.wake()

    def is_unsent(self, error: grpc.RpcError, pick: Pick, options: CallOptions) -> bool:
        """Whether a call that failed never left, so that another instance may get it."""
        return self.seems_unsent(error, pick) and self._channel.is_lost(pick, options.deadline_s)

    def seems_unsent(self, error: Any, pick: Pick) -> bool:
        """The same as far as its status tells; does not wait."""
        return self.AGAIN and never_left(error.code(), error.details(), pick.subchannel.target)

    def _report(self, pick: Pick, reference: Callable[[], Any]) -> None:
        call = reference()
        code = None if call is None else call.code()
        self._channel.finish(pick, verdict(code, None if call is None else call.details()))


class _UnaryResponse(_Calls):
    """Calls with one response: three ways to make them."""

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Returns the response; see grpc."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready, compression)
        return self._complete(
            lambda invocation: invocation(request, **options.arguments()), options
        )

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Returns the response and the call; see grpc."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready, compression)
        return self._complete(
            lambda invocation: invocation.with_call(request, **options.arguments()),
            options,
        )

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Returns a future of the response; see grpc."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready, compression)
        return LateFuture(
            self, options, lambda invocation: invocation.future(request, **options.arguments())
        )


class _StreamResponse(_Calls):
    """Calls with a stream of responses."""

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Returns an iterator over the responses; see grpc. Waits here if it has to wait for an instance."""
        options = CallOptions(timeout, metadata, credentials, wait_for_ready, compression)

        def begin(unwanted: Callable[[], bool] = lambda: False) -> tuple[Any, Pick | None]:
            return self.begin(
                lambda invocation: invocation(request, **options.arguments()), options, unwanted
            )

        return _UnsentStream(self, options, begin) if self.AGAIN else begin()[0]


class _UnsentStream:
    """A stream of responses; until the first one came, it may begin again at another instance.

    All but the iteration and `cancel` is up to the call of grpcio that it stands for.
    """

    def __init__(
        self,
        calls: _Calls,
        options: CallOptions,
        begin: Callable[[Callable[[], bool]], tuple[Any, Pick | None]],
    ) -> None:
        self._calls = calls
        self._options = options
        self._begin = begin
        self._lock = threading.Lock()
        """Keeps `cancel` and a call that takes the place of another apart, so that none is left to run."""
        self._canceled = False
        self._call, self._pick = begin(self._is_canceled)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while True:
            try:
                response = next(self._call)
            except grpc.RpcError as error:
                # One that `cancel` has ended does not seem unsent.
                if self._pick is None or not self._calls.is_unsent(
                    error, self._pick, self._options
                ):
                    raise
                self._begin_again()
            else:
                self._pick = None
                return response

    def _is_canceled(self) -> bool:
        return self._canceled

    def _begin_again(self) -> None:
        call: Any = FailedCall(grpc.StatusCode.CANCELLED, CANCELED)
        pick = None
        if not self._canceled:
            try:
                call, pick = self._begin(self._is_canceled)
            except ValueError as error:
                # As above.
                call = FailedCall(grpc.StatusCode.CANCELLED, str(error))
        with self._lock:
            self._call, self._pick = call, pick
            canceled = self._canceled
        if canceled:
            call.cancel()

    def cancel(self) -> Any:
        """Ends the call, also one that waits to begin again."""
        with self._lock:
            self._canceled = True
            call = self._call
        canceled = call.cancel()
        self._calls.wake()
        return canceled


grpc.Call.register(_UnsentStream)


class UnaryUnary(_UnaryResponse, grpc.UnaryUnaryMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """One request, one response."""

    KIND = "unary_unary"
    AGAIN = True


class UnaryStream(_StreamResponse, grpc.UnaryStreamMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """One request, a stream of responses."""

    KIND = "unary_stream"
    AGAIN = True


class StreamUnary(_UnaryResponse, grpc.StreamUnaryMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """A stream of requests, one response."""

    KIND = "stream_unary"


class StreamStream(_StreamResponse, grpc.StreamStreamMultiCallable):  # type: ignore[type-arg]  # generic in its stub only
    """Streams both ways."""

    KIND = "stream_stream"
