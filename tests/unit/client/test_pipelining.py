from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import DecodeError

from coordinator_client import pipelining
from coordinator_client.failures import Failure
from coordinator_client.pb import kv_pb2
from coordinator_client.pb import pipeline_pb2 as pb
from coordinator_client.pipelining import PipelinedCall, PipelinedCalls

Code = grpc.StatusCode


def put(value: bytes = b"", deadline_s: float = 10.0) -> PipelinedCall[str]:
    return PipelinedCall("put", kv_pb2.PutRequest(key=b"k", value=value), deadline_s, "w")


def taken(calls: PipelinedCalls[str], now_s: float = 0.0) -> list[pb.PipelineCall]:
    message = calls.take(now_s)
    return [] if message is None else list(pb.PipelineRequest.FromString(message).calls)


def test_calls_travel_together_with_the_time_they_have() -> None:
    calls = PipelinedCalls[str]()
    first, second = put(b"1"), put(b"2", deadline_s=3.5)
    calls.add(first, 0)
    calls.add(second, 0)
    assert not first.sent and calls.next_deadline_s() == 3.5
    sent = taken(calls, now_s=1.0)
    assert [(c.put.value, c.timeout_ms) for c in sent] == [(b"1", 9_000), (b"2", 2_500)]
    assert len({c.id for c in sent}) == 2 and first.sent and second.sent
    assert taken(calls) == [] and len(calls) == 2


def test_answers_find_their_calls_in_any_order() -> None:
    calls = PipelinedCalls[str]()
    first, second, third = put(), put(), put()
    for call in (first, second, third):
        calls.add(call, 0)
    taken(calls)
    error = pb.PipelineError(code=5, message="no", reason="WHY", metadata={"a": "b"})
    response = pb.PipelineResponse(
        results=[
            pb.PipelineResult(id=second.number, put=kv_pb2.PutResponse(key=b"2")),
            pb.PipelineResult(id=first.number, error=error),
            pb.PipelineResult(id=third.number, range=kv_pb2.RangeResponse()),
            pb.PipelineResult(id=99, put=kv_pb2.PutResponse()),
        ]
    )
    found = dict(calls.answered(response.SerializeToString(), 0))
    reply = found[second]
    assert isinstance(reply, kv_pb2.PutResponse) and reply.key == b"2"
    assert found[first] == Failure(Code.NOT_FOUND, "no", "WHY", {"a": "b"})
    wrong = found[third]
    assert isinstance(wrong, Failure) and wrong.code is Code.INTERNAL
    assert not list(calls.answered(response.SerializeToString(), 0)) and not len(calls)
    with pytest.raises(DecodeError):
        list(calls.answered(b"\xff\xff", 0))


def test_a_message_holds_only_so_much() -> None:
    calls = PipelinedCalls[str]()
    for _ in range(5):
        calls.add(put(bytes(200_000)), 0)
    assert [len(taken(calls)) for _ in range(3)] == [3, 2, 0]


def test_what_nobody_waits_for_is_not_sent() -> None:
    calls = PipelinedCalls[str]()
    gone, late, left = put(b"gone"), put(b"late", deadline_s=2.0), put(b"left")
    for call in (gone, late, left):
        calls.add(call, 0)
    calls.forget(gone)
    calls.forget(gone)
    assert calls.late(2.0) == [late] and calls.late(2.0) == []
    assert [c.put.value for c in taken(calls)] == [b"left"]


def test_the_end_of_a_stream_says_nothing_about_what_was_sent_on_it() -> None:
    calls = PipelinedCalls[str]()
    sent, unsent = put(), put()
    calls.add(sent, 0)
    taken(calls)
    calls.add(unsent, 0)
    stopping = Failure(Code.UNAVAILABLE, "it stops", "STOPPING", {"applied": "no"})
    assert calls.end() == [sent, unsent] and not len(calls) and taken(calls) == []
    assert not sent.lost(stopping).surely_not_applied
    assert unsent.lost(stopping).surely_not_applied
    broken = Failure(Code.UNAVAILABLE, "Socket closed")
    assert not sent.lost(broken).surely_not_applied and unsent.lost(broken).surely_not_applied
    never = Failure(Code.UNAVAILABLE, "failed to connect to all addresses; last error: ...")
    assert sent.lost(never).surely_not_applied
    assert not sent.late().surely_not_applied and unsent.late().surely_not_applied


def test_a_node_that_knows_no_pipelines_is_told_from_a_call_that_it_does_not_know() -> None:
    stream, other = Failure(Code.UNIMPLEMENTED), Failure(Code.UNAVAILABLE)
    assert pipelining.unknown(stream, stream)
    assert not pipelining.unknown(None, stream) and not pipelining.unknown(other, stream)


def test_silence_is_counted_from_when_something_was_asked_or_the_last_answer() -> None:
    calls = PipelinedCalls[str]()
    assert calls.silent_s(50) == 0
    first, second = put(), put()
    calls.add(first, 10)
    calls.add(second, 11)
    assert calls.silent_s(12) == 2
    response = pb.PipelineResponse()
    response.results.add(id=first.number, put=kv_pb2.PutResponse())
    list(calls.answered(response.SerializeToString(), 13))
    assert calls.silent_s(15) == 2
    calls.forget(second)
    assert calls.silent_s(16) == 0


def test_only_what_may_be_made_again_is_given_up() -> None:
    calls = PipelinedCalls[str]()
    risky = put()
    safe = PipelinedCall("range", kv_pb2.RangeRequest(), 10.0, "w", safe=True)
    for call in (risky, safe):
        calls.add(call, 0)
    taken(calls)
    unsent = put()
    calls.add(unsent, 0)
    assert calls.give_up() == [safe, unsent] and calls.give_up() == []
    assert len(calls) == 1
    assert not safe.lost(pipelining.SILENT).surely_not_applied
    assert unsent.lost(pipelining.SILENT).surely_not_applied
