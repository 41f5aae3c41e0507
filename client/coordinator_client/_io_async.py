"""The asyncio face's way to wait, to work in the background, and to talk over grpc.aio.

`_io_sync` offers the same names for threads. Everything above is written once on top of these.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, Self, TypeVar, cast

import grpc
import grpc.aio

from coordinator_client import calls, pipelining, validation
from coordinator_client._pipe_async import Pipeline
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


async def blocking(call: Callable[[], Result]) -> Result:
    """Makes a call that waits for the disk, and lets everything else go on meanwhile."""
    return await asyncio.to_thread(call)


def aside(call: Callable[[], None]) -> None:
    """Makes a call of the program's that must not hold up others. With one loop, none can wait for anything."""
    call()


class Guard(contextlib.nullcontext[None]):
    """Keeps two threads apart; with one loop there is nothing to do."""


def current() -> object:
    """Returns what runs now and may hold something: the task."""
    return asyncio.current_task()


class Flag:
    """Something that has happened or has not, and can be waited for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._event.is_set()

    def set(self) -> None:
        """It has happened."""
        self._event.set()

    def clear(self) -> None:
        """It has not happened (any more)."""
        self._event.clear()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until it happens, at most `timeout_s` seconds; returns whether it has."""
        if timeout_s is not None:
            validation.wait(timeout_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        return self._event.is_set()


class Awaited:
    """Lets `await connect(...)` and `async with connect(...)` both work: awaiting the client gives the client."""

    def __await__(self) -> Generator[None, None, Self]:
        return self
        yield


class Mailbox(Generic[Result]):
    """Brings things to one reader. Whoever puts something there does not wait."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Result] = asyncio.Queue()

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, item: Result) -> None:
        """Adds something."""
        self._queue.put_nowait(item)

    async def next(self, timeout_s: float | None = None) -> Result:
        """Returns what comes next; raises TimeoutError."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        if timeout_s is None:
            return await self._queue.get()
        async with asyncio.timeout(timeout_s):
            return await self._queue.get()


class Worker:
    """A task in the background."""

    def __init__(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        async def body() -> None:
            await run()

        self._task = asyncio.get_running_loop().create_task(body(), name=name)

    async def join(self, timeout_s: float) -> None:
        """Waits until it has ended by itself; after `timeout_s` seconds, ends it."""
        if self._task is asyncio.current_task():
            return
        _, pending = await asyncio.wait({self._task}, timeout=timeout_s)
        if pending:
            self._task.cancel()
            await asyncio.wait(pending)


def _failure(error: grpc.aio.AioRpcError) -> Failure:
    trailing = [(str(key), value) for key, value in error.trailing_metadata() or ()]
    return failure_from(error.code(), error.details(), trailing)


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
        self._channel = grpc.aio.insecure_channel(endpoint, options=CHANNEL_OPTIONS)
        self._unary: dict[str, Any] = {}
        self._closed = False
        self._pipeline: Pipeline | None = None
        self._open_pipeline: Any = self._channel.stream_stream(pipelining.PATH)
        self._unary_until_s = 0.0

    async def call(
        self, method: Method[Request, Reply], request: Request, timeout_s: float, safe: bool = False
    ) -> Reply:
        """Makes one call, together with others that are made now; raises CallFailed.

        `safe`: it may be made again elsewhere, and is given up when `give_up` is called.
        """
        if method.kind and request.ByteSize() <= pipelining.CALL_SIZE_BYTES_MAX:
            pipeline = self._pipeline
            if pipeline is None or pipeline.failure is not None:
                pipeline = self._next_pipeline(pipeline)
            if pipeline is not None:
                try:
                    return cast(
                        Reply, await pipeline.call(method.kind, request, timeout_s, safe=safe)
                    )
                except CallFailed as failed:
                    if not pipelining.unknown(pipeline.failure, failed.failure):
                        raise
        return await self._call_unary(method, request, timeout_s)

    def _next_pipeline(self, ended: Pipeline | None) -> Pipeline | None:
        """Returns a new pipeline; None: the node knows none."""
        if ended is not None and pipelining.unknown(ended.failure, ended.failure):
            self._pipeline = None
            self._unary_until_s = now_s() + pipelining.UNKNOWN_PAUSE_S
        if now_s() < self._unary_until_s:
            return None
        try:
            self._pipeline = Pipeline(
                self._open_pipeline, _failure, self._note_leader, self._note_silence
            )
        except grpc.aio.UsageError as error:
            raise CallFailed(CANCELED) from error
        return self._pipeline

    async def find_leader(self, timeout_s: float) -> str:
        """Returns where the leader is as far as the node knows; empty: it does not. Raises CallFailed."""
        pipeline = self._pipeline
        if pipeline is None or pipeline.failure is not None:
            pipeline = self._next_pipeline(pipeline)
        if pipeline is None:
            return ""
        await pipeline.call(calls.RANGE.kind, calls.QUESTION, timeout_s)
        return pipeline.leader

    def give_up(self) -> None:
        """Lets calls fail that wait for the node and may be made again elsewhere."""
        if self._pipeline is not None:
            self._pipeline.give_up()

    async def _call_unary(
        self, method: Method[Request, Reply], request: Request, timeout_s: float
    ) -> Reply:
        invoke = self._unary.get(method.path)
        if invoke is None:
            # Messages are encoded and decoded here: grpc.aio takes what can't be for an empty message, or for none.
            invoke = self._unary[method.path] = self._channel.unary_unary(method.path)
        try:
            return method.decode(await invoke(method.encode(request), timeout=timeout_s))
        except grpc.aio.AioRpcError as error:
            raise CallFailed(_failure(error)) from error
        except grpc.aio.UsageError as error:
            raise CallFailed(CANCELED) from error
        except asyncio.CancelledError as error:
            # Either this task was canceled, or the channel was closed under the call.
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise CallFailed(CANCELED) from error
        except Exception as error:
            failure = Failure(grpc.StatusCode.INTERNAL, f"a message can't be coded: {error!r}")
            raise CallFailed(failure) from error

    def open_stream(self, method: Method[Request, Reply]) -> Stream[Request, Reply]:
        """Opens a stream both ways; whether it can be opened shows when it is used."""
        # As above, its messages are encoded and decoded here.
        return Stream(self.endpoint, method, self._channel.stream_stream(method.path)())

    async def close(self) -> None:
        """Ends all calls and streams."""
        self._closed = True
        if self._pipeline is not None:
            self._pipeline.end(CANCELED)
        await self._channel.close()


class Stream(Generic[Request, Reply]):
    """A stream both ways. A slow reader makes the sender wait, not memory grow."""

    def __init__(self, endpoint: str, method: Method[Request, Reply], call: Any) -> None:
        self.endpoint = endpoint
        self._method = method
        self._call = call
        self._mailbox: asyncio.Queue[Reply | Failure] = asyncio.Queue(STREAM_MESSAGES_MAX)
        self._ended: Failure | None = None
        self._broken: Failure | None = None
        """Why this side ended it."""
        self._outgoing: asyncio.Queue[Request] = asyncio.Queue(STREAM_OUTGOING_MAX)
        loop = asyncio.get_running_loop()
        self._writer = loop.create_task(self._write())
        self._reader = loop.create_task(self._read())

    async def _read(self) -> None:
        end = Failure(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                await self._mailbox.put(self._method.decode(message))
        except grpc.aio.AioRpcError as error:
            end = _failure(error)
        except asyncio.CancelledError:
            if not self._call.cancelled():
                raise
            end = CANCELED
        except Exception as error:
            end = Failure(grpc.StatusCode.INTERNAL, f"a message can't be decoded: {error!r}")
            self._call.cancel()
        self._writer.cancel()
        await self._mailbox.put(self._broken or end)

    async def _write(self) -> None:
        # In a task of its own: a write waits for the connection, however long that takes, and one that waits when the
        # call is canceled is never woken.
        try:
            while True:
                await self._call.write(self._method.encode(await self._outgoing.get()))
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            # The stream has ended, and its reader hears why.
            pass
        except Exception as error:
            self._break(Failure(grpc.StatusCode.INTERNAL, f"a message can't be sent: {error!r}"))

    def _break(self, failure: Failure) -> None:
        """Ends the stream; `next` raises `failure` after what has come before."""
        self._broken = self._broken or failure
        self._call.cancel()

    def send(self, message: Request) -> None:
        """Sends a message, as soon as there is a connection. If the stream has ended, `next` says why."""
        if self._writer.done() or self._broken is not None:
            return
        try:
            self._outgoing.put_nowait(message)
        except asyncio.QueueFull:
            self._break(Failure(grpc.StatusCode.UNAVAILABLE, "the node takes no messages"))

    async def next(self, timeout_s: float | None = None) -> Reply:
        """Returns the next message; raises TimeoutError, or CallFailed when the stream has ended."""
        if self._ended is None:
            if self._mailbox.empty():
                async with asyncio.timeout(timeout_s):
                    event = await self._mailbox.get()
            else:
                event = self._mailbox.get_nowait()
            if not isinstance(event, Failure):
                return event
            self._ended = self._ended or event
        raise CallFailed(self._ended)

    def cancel(self) -> None:
        """Ends the stream; a waiting `next` raises CallFailed."""
        self._ended = self._ended or CANCELED
        self._call.cancel()
        self._writer.cancel()
        self._reader.cancel()
        while not self._mailbox.empty():
            self._mailbox.get_nowait()
        self._mailbox.put_nowait(CANCELED)
