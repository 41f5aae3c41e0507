from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

import coordinator_client
from coordinator_client import _io_sync as io
from coordinator_client import calls, pipelining
from coordinator_client._pipe_sync import Pipeline
from coordinator_client.failures import CallFailed, Failure
from coordinator_client.pb import kv_pb2, pipeline_pb2
from tests.unit.client.stage import StageThread

Code = grpc.StatusCode
LEADERS: list[str] = []
"""What pipelines told."""


class FakeCall:
    """A stream whose other end is a test."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.requests = requests
        self.answers: list[bytes] = []
        self.changed = threading.Condition()
        self.ended = False

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.answers or self.ended)
                if not self.answers:
                    return
                answer = self.answers.pop(0)
            yield answer

    def cancel(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def sent(self) -> list[pipeline_pb2.PipelineCall]:
        """Returns the calls of the next message."""
        return list(pipeline_pb2.PipelineRequest.FromString(next(self.requests)).calls)

    def answer(self, *numbers: int) -> None:
        results = [
            pipeline_pb2.PipelineResult(id=n, put=kv_pb2.PutResponse(key=str(n).encode()))
            for n in numbers
        ]
        with self.changed:
            self.answers.append(pipeline_pb2.PipelineResponse(results=results).SerializeToString())
            self.changed.notify_all()


def opened() -> tuple[Pipeline, FakeCall]:
    made: list[FakeCall] = []

    def open_call(requests: Iterator[bytes]) -> FakeCall:
        made.append(FakeCall(requests))
        return made[0]

    def failure_of(error: object) -> Failure:
        return Failure(Code.UNAVAILABLE, str(error))

    return Pipeline(open_call, failure_of, io.now_s, LEADERS.append, lambda: None), made[0]


class Caller(threading.Thread):
    """A thread that makes one call."""

    def __init__(self, make: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.make = make
        self.result: object = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.make()
        except CallFailed as failed:
            self.result = failed.failure

    def end(self) -> object:
        self.join(10)
        assert not self.is_alive()
        return self.result


def call(pipeline: Pipeline, key: str = "/a", timeout_s: float = 10.0) -> Caller:
    request = kv_pb2.PutRequest(key=key.encode())
    return Caller(lambda: pipeline.call("put", request, timeout_s))


def test_threads_get_their_own_answers() -> None:
    pipeline, other = opened()
    first = call(pipeline, "/1")
    (one,) = other.sent()
    second = call(pipeline, "/2")
    (two,) = other.sent()
    assert (one.put.key, two.put.key) == (b"/1", b"/2")
    other.answer(two.id, one.id)
    for caller, sent in ((first, one), (second, two)):
        reply = caller.end()
        assert isinstance(reply, kv_pb2.PutResponse) and reply.key == str(sent.id).encode()
    pipeline.end(Failure(Code.CANCELLED))


def test_a_call_without_an_answer_in_time_fails_alone() -> None:
    pipeline, other = opened()
    late = call(pipeline, timeout_s=0.05)
    (sent,) = other.sent()
    failure = late.end()
    assert isinstance(failure, Failure) and failure.code is Code.DEADLINE_EXCEEDED
    assert not failure.surely_not_applied
    in_time = call(pipeline)
    (next_,) = other.sent()
    other.answer(sent.id, next_.id)
    assert isinstance(in_time.end(), kv_pb2.PutResponse)
    pipeline.end(Failure(Code.CANCELLED))


def test_the_end_of_the_stream_is_told_to_all() -> None:
    pipeline, other = opened()
    sent = call(pipeline)
    other.sent()
    other.cancel()
    failure = sent.end()
    assert isinstance(failure, Failure) and failure.code is Code.UNAVAILABLE
    assert not failure.surely_not_applied
    assert pipeline.failure is not None and next(other.requests, None) is None
    after = call(pipeline).end()
    assert isinstance(after, Failure) and after.surely_not_applied
    pipeline.end(Failure(Code.CANCELLED))


def test_an_answer_that_cannot_be_read_ends_the_stream() -> None:
    pipeline, other = opened()
    waiting = call(pipeline)
    other.sent()
    with other.changed:
        other.answers.append(b"\xff\xff")
        other.changed.notify_all()
    failure = waiting.end()
    assert isinstance(failure, Failure) and failure.code is Code.INTERNAL and other.ended


def test_many_threads_over_a_lost_node_write_everything_once(
    stage_thread: StageThread, blocking: coordinator_client.Client
) -> None:
    def write(number: int) -> bool:
        for step in range(10):
            blocking.put(f"/w/{number}", str(step))
        return True

    callers = [Caller(lambda number=number: write(number)) for number in range(20)]  # type: ignore[misc]  # a default of a lambda
    stage_thread.stop_front(blocking.endpoint)
    assert all(caller.end() for caller in callers)
    found = blocking.range("/w/", prefix=True)
    assert found.count == 20 and {(kv.version, kv.text) for kv in found.kvs} == {(10, "9")}


def test_one_alone_needs_no_pipeline_and_several_share_one(
    stage_thread: StageThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = io.Channel(stage_thread.endpoints[0])
    request = kv_pb2.RangeRequest(local=True)
    request.selector.prefix = True
    for _ in range(3):
        channel.call(calls.RANGE, request, 10)
    assert channel._pipeline is None
    channel._under_way = 1  # as if another thread had a call under way
    channel.call(calls.RANGE, request, 10)
    first = channel._pipeline
    channel.call(calls.RANGE, request, 10)
    assert first is not None and channel._pipeline is first
    large = kv_pb2.PutRequest(key=b"/l", value=bytes(pipelining.CALL_SIZE_BYTES_MAX))
    channel.call(calls.PUT, large, 10)
    channel.close()
    with pytest.raises(CallFailed):
        channel.call(calls.RANGE, request, 10)
