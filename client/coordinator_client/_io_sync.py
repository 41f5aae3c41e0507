"""The blocking face's way to wait, to work in the background, and to talk over grpcio's synchronous channels.

`_io_async` offers the same names for asyncio. Background work runs in daemon threads; there is no event loop.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

import grpc

from coordinator_client import calls, pipelining, validation
from coordinator_client._pipe_sync import Pipeline
from coordinator_client.calls import CHANNEL_OPTIONS, Method, Reply, Request
from coordinator_client.failures import CallFailed, Failure, failure_from

STREAM_MESSAGES_MAX = 4
"""Messages of a stream that are held for a slow reader before the sender is made to wait."""
STREAM_OUTGOING_MAX = 1024
"""Messages that wait to be sent on a stream; with one more it ends. Those who use one send a few and await the answer,
so that a node that takes none meanwhile is best left for another.
"""


_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def now_s() -> float:
    """Returns seconds of a clock that never goes back and, where there is one, counts through suspension."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


Result = TypeVar("Result")


def blocking(call: Callable[[], Result]) -> Result:
    """Makes a call that waits for the disk."""
    return call()


def current() -> object:
    """Returns what runs now and may hold something: the thread."""
    return threading.get_ident()


def aside(call: Callable[[], None]) -> None:
    """Makes a call of the program's that must not hold up others."""
    threading.Thread(target=call, name="coordinator-aside", daemon=True).start()


class Guard:
    """Keeps two threads apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


class Flag:
    """Something that has happened or has not, and can be waited for."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._event.is_set()

    def set(self) -> None:
        """It has happened."""
        self._event.set()

    def clear(self) -> None:
        """It has not happened (any more)."""
        self._event.clear()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until it happens, at most `timeout_s` seconds; returns whether it has."""
        return self._event.wait(None if timeout_s is None else validation.wait(timeout_s))


class Awaited:
    """Has a meaning only in the asyncio face."""


class Mailbox(Generic[Result]):
    """Brings things to one reader. Whoever puts something there does not wait."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Result] = queue.SimpleQueue()

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, item: Result) -> None:
        """Adds something."""
        self._queue.put(item)

    def next(self, timeout_s: float | None = None) -> Result:
        """Returns what comes next; raises TimeoutError."""
        if timeout_s is not None:
            timeout_s = min(max(0.0, timeout_s), threading.TIMEOUT_MAX)
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None


class Worker:
    """A daemon thread in the background."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Waits until it has ended by itself, at most `timeout_s` seconds."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)


def _failure(error: Any) -> Failure:
    # What grpcio raises is at once an RpcError and a Call; its declared types do not say so.
    trailing = [(str(key), value) for key, value in error.trailing_metadata() or ()]
    return failure_from(error.code() or grpc.StatusCode.UNKNOWN, error.details(), trailing)


CANCELED = Failure(grpc.StatusCode.CANCELLED, "canceled by this client")


class Channel:
    """Connections to one endpoint."""

    def __init__(
        self,
        endpoint: str,
        note_leader: Callable[[str], None] = lambda _: None,
        note_silence: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`note_leader` takes the leader's address when the node tells it.

        `note_silence` takes the endpoint, now and then while it answers nothing.
        """
        self.endpoint = endpoint
        self._note_leader = note_leader
        self._note_silence = lambda: note_silence(endpoint)
        self._channel = grpc.insecure_channel(endpoint, options=CHANNEL_OPTIONS)
        self._unary: dict[str, Any] = {}
        self._guard = Guard()
        self._under_way = 0
        self._pipeline: Pipeline | None = None
        self._open_pipeline: Any = self._channel.stream_stream(pipelining.PATH)
        self._unary_until_s = 0.0

    def call(
        self, method: Method[Request, Reply], request: Request, timeout_s: float, safe: bool = False
    ) -> Reply:
        """Makes one call, together with others that are made now; raises CallFailed.

        `safe`: it may be made again elsewhere, and is given up when `give_up` is called.
        """
        if not method.kind or request.ByteSize() > pipelining.CALL_SIZE_BYTES_MAX:
            return self._call_unary(method, request, timeout_s)
        with self._guard:
            # One alone goes faster without the threads that gather many.
            pipeline = self._usable_pipeline() if self._under_way else None
            self._under_way += 1
        try:
            if pipeline is not None:
                try:
                    return cast(Reply, pipeline.call(method.kind, request, timeout_s, safe=safe))
                except CallFailed as failed:
                    if not pipelining.unknown(pipeline.failure, failed.failure):
                        raise
            return self._call_unary(method, request, timeout_s)
        finally:
            with self._guard:
                self._under_way -= 1

    def _usable_pipeline(self) -> Pipeline | None:
        """Returns a pipeline, a new one if there is none; None: the node knows none. The caller holds the guard."""
        pipeline = self._pipeline
        if pipeline is not None and pipeline.failure is None:
            return pipeline
        if pipeline is not None and pipelining.unknown(pipeline.failure, pipeline.failure):
            self._pipeline = None
            self._unary_until_s = now_s() + pipelining.UNKNOWN_PAUSE_S
        if now_s() < self._unary_until_s:
            return None
        try:
            self._pipeline = Pipeline(
                self._open_pipeline, _failure, now_s, self._note_leader, self._note_silence
            )
        except ValueError as error:
            # grpcio's way to say that the channel was closed.
            raise CallFailed(CANCELED) from error
        return self._pipeline

    def find_leader(self, timeout_s: float) -> str:
        """Returns where the leader is as far as the node knows; empty: it does not. Raises CallFailed."""
        with self._guard:
            pipeline = self._usable_pipeline()
        if pipeline is None:
            return ""
        pipeline.call(calls.RANGE.kind, calls.QUESTION, timeout_s)
        return pipeline.leader

    def give_up(self) -> None:
        """Lets calls fail that wait for the node and may be made again elsewhere."""
        with self._guard:
            pipeline = self._pipeline
        if pipeline is not None:
            pipeline.give_up()

    def _call_unary(
        self, method: Method[Request, Reply], request: Request, timeout_s: float
    ) -> Reply:
        invoke = self._unary.get(method.path)
        if invoke is None:
            invoke = self._channel.unary_unary(
                method.path,
                request_serializer=method.encode,
                response_deserializer=method.decode,
            )
            self._unary[method.path] = invoke
        try:
            reply: Reply = invoke(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise CallFailed(_failure(error)) from error
        except ValueError as error:
            # grpcio's way to say that the channel was closed.
            raise CallFailed(CANCELED) from error
        return reply

    def open_stream(self, method: Method[Request, Reply]) -> Stream[Request, Reply]:
        """Opens a stream both ways; whether it can be opened shows when it is used."""
        invoke = self._channel.stream_stream(
            method.path,
            request_serializer=method.encode,
            response_deserializer=method.decode,
        )
        return Stream(self.endpoint, invoke)

    def close(self) -> None:
        """Ends all calls and streams."""
        with self._guard:
            pipeline = self._pipeline
        if pipeline is not None:
            pipeline.end(CANCELED)
        self._channel.close()


class Stream(Generic[Request, Reply]):
    """A stream both ways. A slow reader makes the sender wait, not memory grow."""

    def __init__(self, endpoint: str, invoke: Callable[..., Any]) -> None:
        self.endpoint = endpoint
        self._outgoing: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._mailbox = _Mailbox[Reply]()
        try:
            self._call = invoke(self._requests())
        except ValueError:
            # grpcio's way to say that the channel was closed.
            self._call = None
            self._mailbox.end(CANCELED)
            return
        self._reader = threading.Thread(target=self._read, name="coordinator-stream", daemon=True)
        self._reader.start()

    def _requests(self) -> Iterator[Request]:
        while (message := self._outgoing.get()) is not None:
            yield message

    def _read(self) -> None:
        end = Failure(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
        try:
            for message in self._call:
                if not self._mailbox.put(message):
                    break
        except grpc.RpcError as error:
            end = _failure(error)
        self._mailbox.end(end)
        self._outgoing.put(None)

    def send(self, message: Request) -> None:
        """Sends a message. If the stream has ended, `next` says why."""
        if self._outgoing.qsize() < STREAM_OUTGOING_MAX:
            self._outgoing.put(message)
            return
        self._mailbox.end(Failure(grpc.StatusCode.UNAVAILABLE, "the node takes no messages"))
        if self._call is not None:
            self._call.cancel()

    def next(self, timeout_s: float | None = None) -> Reply:
        """Returns the next message; raises TimeoutError, or CallFailed when the stream has ended."""
        return self._mailbox.get(timeout_s)

    def cancel(self) -> None:
        """Ends the stream; a waiting `next` raises CallFailed."""
        self._mailbox.close()
        if self._call is not None:
            with contextlib.suppress(ValueError):
                self._call.cancel()
        self._outgoing.put(None)


class _Mailbox(Generic[Reply]):
    """A few messages between the thread that reads a stream and the one that uses it."""

    def __init__(self) -> None:
        self._messages: deque[Reply] = deque()
        self._ended: Failure | None = None
        self._changed = threading.Condition()

    def put(self, message: Reply) -> bool:
        """Waits for room and adds a message; returns False if nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._messages) < STREAM_MESSAGES_MAX or self._ended is not None
            )
            if self._ended is not None:
                return False
            self._messages.append(message)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None) -> Reply:
        """Returns the next message; raises TimeoutError, or CallFailed after the last one."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._messages or self._ended is not None, timeout_s
            )
            if not ready:
                raise TimeoutError
            if self._messages:
                self._changed.notify_all()
                return self._messages.popleft()
            assert self._ended is not None
            raise CallFailed(self._ended)

    def end(self, failure: Failure) -> None:
        """Nothing more will come; what is there may still be taken."""
        with self._changed:
            self._ended = self._ended or failure
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more is wanted; what is there is dropped."""
        with self._changed:
            self._messages.clear()
            self._ended = self._ended or CANCELED
            self._changed.notify_all()
