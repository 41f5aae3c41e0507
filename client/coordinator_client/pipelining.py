"""What both faces keep of a pipeline: the calls under way, as messages and back. Does no input or output."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from coordinator_client.failures import Failure
from coordinator_client.pb import pipeline_pb2

PATH = "/coordinator.v1.Pipeline/Run"

MESSAGE_SIZE_BYTES_MAX = 512 * 1024
"""Calls are gathered into messages of about this size."""
CALL_SIZE_BYTES_MAX = 256 * 1024
"""A larger request travels alone, as a unary call, so that small ones need not wait behind it."""
SILENCE_S = 0.3
"""A node that answers none of the calls under way for so long may be gone, or stand still: another one is asked."""
UNKNOWN_PAUSE_S = 60.0
"""So long after a node said that it knows no pipelines, it is not asked again."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_LATE = "the deadline passed"

Waiter = TypeVar("Waiter")


class PipelinedCall(Generic[Waiter]):
    """One call under way."""

    __slots__ = ("deadline_s", "kind", "number", "request", "safe", "sent", "waiter")

    def __init__(
        self, kind: str, request: Message, deadline_s: float, waiter: Waiter, *, safe: bool = False
    ) -> None:
        self.safe = safe
        """Whether it may be made again without harm although it may have been carried out."""
        self.kind = kind
        self.request = request
        self.deadline_s = deadline_s
        self.waiter = waiter
        """Of the face: how the answer comes to whoever waits for it."""
        self.number = 0
        self.sent = False

    def late(self) -> Failure:
        """Returns the failure of a call whose time is over."""
        return self.lost(Failure(grpc.StatusCode.DEADLINE_EXCEEDED, _LATE))

    def lost(self, failure: Failure) -> Failure:
        """Returns what the end of the stream means for this call: one that was not sent surely changed nothing."""
        if self.sent:
            # What the end says of itself, that nothing was applied, is not about the calls before it.
            return Failure(failure.code, failure.message)
        return Failure(failure.code, failure.message, failure.reason, {"applied": "no"})


Answered = tuple[PipelinedCall[Waiter], Message | Failure]


class PipelinedCalls(Generic[Waiter]):
    """The calls of one stream, from when they are asked for until they are answered or given up."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, PipelinedCall[Waiter]] = {}
        self._queue: deque[PipelinedCall[Waiter]] = deque()
        self._waiting_since_s = 0.0
        self.leader = ""
        """Where the leader is, as the node said last; empty: it did not say."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, call: PipelinedCall[Waiter], now_s: float) -> None:
        """Takes a call that is to be sent."""
        if not self._open:
            self._waiting_since_s = now_s
        call.number = next(self._numbers)
        self._open[call.number] = call
        self._queue.append(call)

    def forget(self, call: PipelinedCall[Waiter]) -> None:
        """Nobody waits for the answer any more. Idempotent."""
        self._open.pop(call.number, None)

    def take(self, now_s: float) -> bytes | None:
        """Returns the next message to send; None: there is none. What is in it counts as sent."""
        message = pipeline_pb2.PipelineRequest()
        size = 0
        while self._queue and size < MESSAGE_SIZE_BYTES_MAX:
            call = self._queue.popleft()
            if call.number not in self._open:
                continue
            timeout_ms = max(1, round((call.deadline_s - now_s) * 1000))
            arguments: dict[str, Any] = {call.kind: call.request}
            message.calls.add(id=call.number, timeout_ms=min(timeout_ms, 2**31), **arguments)
            call.sent = True
            size += call.request.ByteSize()
        return message.SerializeToString() if message.calls else None

    def silent_s(self, now_s: float) -> float:
        """Returns for how long the node has answered nothing although it was asked something, in seconds."""
        return now_s - self._waiting_since_s if self._open else 0.0

    def give_up(self) -> list[PipelinedCall[Waiter]]:
        """Returns the calls that may be made again elsewhere, which are forgotten."""
        given_up = [call for call in self._open.values() if call.safe or not call.sent]
        for call in given_up:
            self.forget(call)
        return given_up

    def answered(self, response: bytes, now_s: float) -> Iterator[Answered[Waiter]]:
        """Yields the calls that a message answers, each with its reply or its failure. Raises DecodeError."""
        message = pipeline_pb2.PipelineResponse.FromString(response)
        self.leader = message.leader or self.leader
        self._waiting_since_s = now_s
        for result in message.results:
            call = self._open.pop(result.id, None)
            if call is None:
                continue
            kind = result.WhichOneof("result")
            if kind == call.kind:
                yield call, getattr(result, kind)
            elif kind == "error":
                yield call, _failure(result.error)
            else:
                text = "the answer is not one to this call"
                yield call, Failure(grpc.StatusCode.INTERNAL, text)

    def late(self, now_s: float) -> list[PipelinedCall[Waiter]]:
        """Returns the calls whose time is over, which are forgotten."""
        late = [call for call in self._open.values() if call.deadline_s <= now_s]
        for call in late:
            self.forget(call)
        return late

    def next_deadline_s(self) -> float | None:
        """Returns when the next call is late; None: nobody waits."""
        return min((call.deadline_s for call in self._open.values()), default=None)

    def end(self) -> list[PipelinedCall[Waiter]]:
        """Returns all calls that were not answered, which are forgotten."""
        left = list(self._open.values())
        self._open.clear()
        self._queue.clear()
        return left


SILENT = Failure(grpc.StatusCode.UNAVAILABLE, "the node answers nothing, and another one leads")
"""Why calls are given up."""


def unknown(ended: Failure | None, failure: Failure | None) -> bool:
    """Whether a call failed because its stream ended so: the node knows no pipelines."""
    code = grpc.StatusCode.UNIMPLEMENTED
    return ended is not None and failure is not None and ended.code is failure.code is code


def _failure(error: pipeline_pb2.PipelineError) -> Failure:
    code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
    return Failure(code, error.message, error.reason, dict(error.metadata))
