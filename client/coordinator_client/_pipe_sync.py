"""The blocking face's pipelines: calls that threads make at the same time travel together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message

from coordinator_client.failures import CallFailed, Failure
from coordinator_client.pipelining import SILENCE_S, SILENT, PipelinedCall, PipelinedCalls


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
        note_silence: Callable[[], None],
    ) -> None:
        """`open_call` opens the stream; `failure_of` tells what an error of gRPC means. Raises ValueError.

        `note_leader` takes the leader's address whenever the node tells another one. `note_silence` is called now and
        then while the node answers nothing.
        """
        self._note_leader = note_leader
        self._note_silence = note_silence
        self.failure: Failure | None = None
        self._failure_of = failure_of
        self._now_s = now_s
        self._calls = PipelinedCalls[_Waiter]()
        self._changed = threading.Condition()
        self._waiting = False
        """Whether the thread that sends has nothing to send."""
        self._call = open_call(self._requests())
        threading.Thread(target=self._read, name="coordinator-pipeline", daemon=True).start()

    @property
    def leader(self) -> str:
        """Where the leader is, as the node said last; empty: it did not say."""
        return self._calls.leader

    def call(self, kind: str, request: Message, timeout_s: float, *, safe: bool = False) -> Message:
        """Makes a call, which may be given up while its outcome is unknown if it is `safe`. Raises CallFailed."""
        waiter = _Waiter()
        now_s = self._now_s()
        call = PipelinedCall(kind, request, now_s + timeout_s, waiter, safe=safe)
        with self._changed:
            if self.failure is not None:
                raise CallFailed(call.lost(self.failure))
            self._calls.add(call, now_s)
            if self._waiting:
                self._changed.notify()
        answer = self._wait(waiter, call.deadline_s)
        if answer is None:
            with self._changed:
                self._calls.forget(call)
                # It may have come at the last moment.
                answer = waiter.answer or call.late()
        if isinstance(answer, Failure):
            raise CallFailed(answer)
        return answer

    def _wait(self, waiter: _Waiter, deadline_s: float) -> Message | Failure | None:
        """Returns the answer; None if there is none in time."""
        answer = None
        while answer is None and (left_s := deadline_s - self._now_s()) > 0:
            answer = waiter.wait(min(left_s, SILENCE_S))
            if answer is None and self._calls.silent_s(self._now_s()) >= SILENCE_S:
                self._note_silence()
        return answer

    def give_up(self) -> None:
        """Lets those calls fail that may be made again elsewhere."""
        with self._changed:
            given_up = self._calls.give_up()
        for call in given_up:
            call.waiter.tell(call.lost(SILENT))

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
                    answered = list(self._calls.answered(message, self._now_s()))
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
