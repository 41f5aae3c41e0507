"""The blocking face's pipelines: calls that threads make at the same time travel together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message

from coordinator_client.failures import CallFailed, Failure
from coordinator_client.pipelining import PipelinedCall, PipelinedCalls


class _Waiter:
    """A thread that waits for one answer."""

    __slots__ = ("_turn", "answer")

    def __init__(self) -> None:
        self.answer: Message | Failure | None = None
        self._turn = threading.Lock()
        self._turn.acquire()

    def tell(self, answer: Message | Failure) -> None:
        """Gives it the answer; called once."""
        self.answer = answer
        self._turn.release()

    def wait(self, timeout_s: float) -> Message | Failure | None:
        """Returns the answer; None if there is none in time."""
        self._turn.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX))
        return self.answer


class Pipeline:
    """One stream of calls to one endpoint. Once `failure` is set it has ended."""

    def __init__(
        self,
        open_call: Callable[[Iterator[bytes]], Any],
        failure_of: Callable[[Any], Failure],
        now_s: Callable[[], float],
        note_leader: Callable[[str], None],
    ) -> None:
        """`open_call` opens the stream; `failure_of` tells what an error of gRPC means. Raises ValueError.

        `note_leader` takes the leader's address whenever the node tells another one.
        """
        self._note_leader = note_leader
        self.failure: Failure | None = None
        self._failure_of = failure_of
        self._now_s = now_s
        self._calls = PipelinedCalls[_Waiter]()
        self._changed = threading.Condition()
        self._waiting = False
        """Whether the thread that sends has nothing to send."""
        self._call = open_call(self._requests())
        threading.Thread(target=self._read, name="coordinator-pipeline", daemon=True).start()

    def call(self, kind: str, request: Message, timeout_s: float) -> Message:
        """Makes a call. Raises CallFailed."""
        waiter = _Waiter()
        call = PipelinedCall(kind, request, self._now_s() + timeout_s, waiter)
        with self._changed:
            if self.failure is not None:
                raise CallFailed(call.lost(self.failure))
            self._calls.add(call)
            if self._waiting:
                self._changed.notify()
        answer = waiter.wait(timeout_s)
        if answer is None:
            with self._changed:
                self._calls.forget(call)
                # It may have come at the last moment.
                answer = waiter.answer or call.late()
        if isinstance(answer, Failure):
            raise CallFailed(answer)
        return answer

    def _requests(self) -> Iterator[bytes]:
        """Yields messages to send, on a thread of gRPC."""
        while True:
            with self._changed:
                while (message := self._calls.take(self._now_s())) is None:
                    if self.failure is not None:
                        return
                    self._waiting = True
                    self._changed.wait()
                    self._waiting = False
            yield message

    def _read(self) -> None:
        end = Failure(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
        try:
            for message in self._call:
                with self._changed:
                    known = self._calls.leader
                    answered = list(self._calls.answered(message))
                    leader = self._calls.leader
                for call, answer in answered:
                    call.waiter.tell(answer)
                if leader != known:
                    self._note_leader(leader)
        except grpc.RpcError as error:
            end = self._failure_of(error)
        except Exception as error:
            end = Failure(grpc.StatusCode.INTERNAL, f"an answer can't be decoded: {error!r}")
        self.end(end)

    def end(self, failure: Failure) -> None:
        """Ends the stream: all that wait hear of the failure. Idempotent."""
        with self._changed:
            if self.failure is not None:
                return
            self.failure = failure
            left = self._calls.end()
            self._changed.notify_all()
        for call in left:
            call.waiter.tell(call.lost(failure))
        self._call.cancel()
