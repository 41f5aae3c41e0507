"""A future of the blocking face, for a call that may have to wait for an instance before it begins."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc

from coordinator_client.grpc_channels.call_options import CallOptions
from coordinator_client.grpc_channels.failed_call import FailedCall
from coordinator_client.grpc_channels.subchannels import Pick

__all__ = ["LateFuture"]

_log = logging.getLogger("coordinator_client")

Invoke = Callable[[Any], Any]


class Calls(Protocol):
    """What begins calls: one of blocking_calls."""

    def begin(
        self, invoke: Invoke, options: CallOptions, unwanted: Callable[[], bool]
    ) -> tuple[Any, Pick | None]:
        """Begins a call when there is an instance for it."""

    def begin_now(self, invoke: Invoke, options: CallOptions) -> tuple[Any, Pick] | None:
        """Begins a call if there is an instance for it."""

    def seems_unsent(self, error: Any, pick: Pick) -> bool:
        """Whether a call that failed may never have left."""

    def is_unsent(self, error: Any, pick: Pick, options: CallOptions) -> bool:
        """Whether it never left; may wait a moment."""

    def wake(self) -> None:
        """Makes every waiting `begin` ask whether it is wanted."""


class LateFuture(grpc.Call, grpc.Future):  # type: ignore[type-arg]  # generic in its stub only
    """Stands for a call of grpcio that begins at once if an instance is connected, and again if it never left.

    A thread does what has to wait; mostly nothing has.
    """

    def __init__(self, calls: Calls, options: CallOptions, invoke: Invoke) -> None:
        self._calls = calls
        self._options = options
        self._invoke = invoke
        self._changed = threading.Condition()
        self._call: Any = None
        """The call of grpcio, or a FailedCall, or None as long as there is no instance."""
        self._over = False
        self._canceled = False
        self._callbacks: list[Callable[[Any], None]] = []
        try:
            begun = calls.begin_now(invoke, options)
        except grpc.RpcError as error:
            # When a request can't be serialized. It is a future, too.
            self._follow(error, None)
            return
        if begun is None:
            self._in_thread(self._begin)
        else:
            self._follow(*begun)

    # How it goes.

    def _in_thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="coordinator-channel-future", daemon=True).start()

    def _begin(self) -> None:
        try:
            call, pick = self._calls.begin(self._invoke, self._options, lambda: self._canceled)
        except grpc.RpcError as error:
            call, pick = error, None
        except ValueError as error:
            call, pick = FailedCall(grpc.StatusCode.CANCELLED, str(error)), None
        except Exception as error:
            _log.exception("a call can't be begun")
            call, pick = FailedCall(grpc.StatusCode.INTERNAL, str(error)), None
        self._follow(call, pick)

    def _follow(self, call: Any, pick: Pick | None) -> None:
        with self._changed:
            self._call = call
            canceled = self._canceled
        if canceled:
            call.cancel()
        call.add_done_callback(lambda ended: self._take_end(ended, pick))

    def _take_end(self, call: Any, pick: Pick | None) -> None:
        # In a thread of grpcio, which must not wait.
        if pick is None or self._canceled or not self._calls.seems_unsent(call, pick):
            self._end()
        else:
            self._in_thread(lambda: self._try_again(call, pick))

    def _try_again(self, call: Any, pick: Pick) -> None:
        if self._calls.is_unsent(call, pick, self._options):
            self._begin()
        else:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._over = True
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:
            try:
                callback(self)
            except Exception:
                _log.exception("a callback of a call failed")

    def _ended(self, timeout: float | None = None) -> Any:
        """Returns the call that it came to; raises FutureTimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._over, timeout):
                raise grpc.FutureTimeoutError
            return self._call

    # What grpc.Future promises.

    def cancel(self) -> bool:
        """Ends the call, also one that has not begun."""
        with self._changed:
            if self._over or self._canceled:
                return False
            self._canceled = True
            call = self._call
        if call is not None:
            call.cancel()
        self._calls.wake()
        return True

    def cancelled(self) -> bool:
        """Whether `cancel` ended it, or is about to."""
        with self._changed:
            return self._canceled and (not self._over or self._call.cancelled())

    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._over

    def done(self) -> bool:
        """Whether it has ended."""
        return self._over

    def result(self, timeout: float | None = None) -> Any:
        """Returns the response, and waits for it; raises what the call failed with."""
        call = self._ended(timeout)
        if isinstance(call, FailedCall) and self._canceled:
            raise grpc.FutureCancelledError
        return call.result()

    def exception(self, timeout: float | None = None) -> Any:
        """Returns what the call failed with; None if it did not."""
        call = self._ended(timeout)
        if isinstance(call, FailedCall) and self._canceled:
            raise grpc.FutureCancelledError
        return call.exception()

    def traceback(self, timeout: float | None = None) -> Any:
        """Returns the traceback of `exception`."""
        return self._ended(timeout).traceback()

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Calls `fn` with this future when it has ended."""
        with self._changed:
            if not self._over:
                self._callbacks.append(fn)
                return
        fn(self)

    # What grpc.Call promises.

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Calls back when the call has ended; False, and nothing, if it has."""
        with self._changed:
            if self._over:
                return False
            self._callbacks.append(lambda _: callback())
            return True

    def is_active(self) -> bool:
        """Whether it has not ended."""
        return not self._over

    def time_remaining(self) -> Any:
        """Returns the seconds until the deadline; None without one."""
        deadline_s = self._options.deadline_s
        return None if deadline_s is None else max(0.0, deadline_s - time.monotonic())

    def code(self) -> Any:
        """Returns the status, and waits for it."""
        return self._ended().code()

    def details(self) -> Any:
        """Returns the details of the status, and waits for them."""
        return self._ended().details()

    def debug_error_string(self) -> Any:
        """Returns what grpcio tells about a failure, and waits for it."""
        return self._ended().debug_error_string()

    def initial_metadata(self) -> Any:
        """Returns the metadata that came before the response, and waits for the end of the call."""
        return self._ended().initial_metadata()

    def trailing_metadata(self) -> Any:
        """Returns the metadata that came after the response, and waits for it."""
        return self._ended().trailing_metadata()
