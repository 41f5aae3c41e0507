"""The asyncio face's pipelines: calls that tasks make at the same time travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from coordinator_client.failures import CallFailed, Failure
from coordinator_client.pipelining import SILENCE_S, SILENT, PipelinedCall, PipelinedCalls

Waiter = asyncio.Future[Message | Failure]


class Pipeline:
    """One stream of calls to one endpoint. Once `failure` is set it has ended."""

    def __init__(
        self,
        open_call: Callable[[], Any],
        failure_of: Callable[[Any], Failure],
        note_leader: Callable[[str], None],
        note_silence: Callable[[], None],
    ) -> None:
        """`open_call` opens the stream; `failure_of` tells what an error of gRPC means.

        `note_leader` takes the leader's address whenever the node tells another one. `note_silence` is called now and
        then while the node answers nothing.
        """
        self._note_leader = note_leader
        self._note_silence = note_silence
        self.failure: Failure | None = None
        self._failure_of = failure_of
        self._calls = PipelinedCalls[Waiter]()
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._call = open_call()
        self._writer = self._loop.create_task(self._write())
        self._reader = self._loop.create_task(self._read())

    @property
    def leader(self) -> str:
        """Where the leader is, as the node said last; empty: it did not say."""
        return self._calls.leader

    async def call(
        self, kind: str, request: Message, timeout_s: float, *, safe: bool = False
    ) -> Message:
        """Makes a call, which may be given up while its outcome is unknown if it is `safe`. Raises CallFailed."""
        waiter: Waiter = self._loop.create_future()
        now_s = self._loop.time()
        deadline_s = now_s + timeout_s
        call = PipelinedCall(kind, request, deadline_s, waiter, safe=safe)
        self._calls.add(call, now_s)
        if self._silence is None:
            self._silence = self._loop.call_later(SILENCE_S, self._listen)
        # They leave at the end of this turn of the loop, with all that others ask for until then.
        self._news.set()
        if self._timer is None or self._timer.when() > deadline_s:
            self._set_timer(deadline_s)
        try:
            answer = await waiter
        except asyncio.CancelledError:
            self._calls.forget(call)
            raise
        if isinstance(answer, Failure):
            raise CallFailed(answer)
        return answer

    def _set_timer(self, deadline_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline_s, self._late)

    def _late(self) -> None:
        self._timer = None
        for call in self._calls.late(self._loop.time()):
            _tell(call, call.late())
        deadline_s = self._calls.next_deadline_s()
        if deadline_s is not None:
            self._set_timer(deadline_s)

    def _listen(self) -> None:
        """Looks whether the node has said anything lately."""
        self._silence = None
        if not self._calls:
            return
        left_s = SILENCE_S - self._calls.silent_s(self._loop.time())
        if left_s <= 0:
            self._note_silence()
            left_s = SILENCE_S / 2
        self._silence = self._loop.call_later(left_s, self._listen)

    def give_up(self) -> None:
        """Lets those calls fail that may be made again elsewhere."""
        for call in self._calls.give_up():
            _tell(call, call.lost(SILENT))

    async def _write(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while (message := self._calls.take(self._loop.time())) is not None:
                    await self._call.write(message)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            pass  # the stream has ended, and its reader hears why
        except Exception as error:
            self.end(Failure(grpc.StatusCode.INTERNAL, f"a call can't be sent: {error!r}"))

    async def _read(self) -> None:
        end = Failure(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                leader = self._calls.leader
                for call, answer in self._calls.answered(message, self._loop.time()):
                    _tell(call, answer)
                if self._calls.leader != leader:
                    self._note_leader(self._calls.leader)
        except grpc.aio.AioRpcError as error:
            end = self._failure_of(error)
        except asyncio.CancelledError:
            if not self._call.cancelled():
                raise
            end = Failure(grpc.StatusCode.CANCELLED, "canceled by this client")
        except Exception as error:
            end = Failure(grpc.StatusCode.INTERNAL, f"an answer can't be decoded: {error!r}")
        self.end(end)

    def end(self, failure: Failure) -> None:
        """Ends the stream: all that wait hear of the failure. Idempotent."""
        if self.failure is not None:
            return
        self.failure = failure
        for timer in (self._timer, self._silence):
            if timer is not None:
                timer.cancel()
        for call in self._calls.end():
            _tell(call, call.lost(failure))
        self._call.cancel()
        current = asyncio.current_task()
        for task in (self._writer, self._reader):
            if task is not current:
                task.cancel()


def _tell(call: PipelinedCall[Waiter], answer: Message | Failure) -> None:
    if not call.waiter.done():
        call.waiter.set_result(answer)
