"""The Pipeline service, through a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from coordinator.api.pipeline import CALLS
from coordinator.config import Limits
from coordinator.state.commands import Put, Write
from coordinator.state.machine import StateMachine
from coordinator_client.pb import common_pb2, kv_pb2, session_pb2
from coordinator_client.pb import pipeline_pb2 as pb
from tests.unit.api.conftest import SMALL, Face, error_of, serving
from tests.unit.api.test_kv import key, prefix, range_


def put(name: str, value: bytes = b"v", **more: Any) -> kv_pb2.PutRequest:
    return kv_pb2.PutRequest(key=name.encode(), value=value, **more)


def read(name: str, **more: Any) -> kv_pb2.RangeRequest:
    return kv_pb2.RangeRequest(selector=key(name), **more)


def message(*calls: tuple[int, str, Any], timeout_ms: int = 0) -> pb.PipelineRequest:
    return pb.PipelineRequest(
        calls=[pb.PipelineCall(id=n, timeout_ms=timeout_ms, **{kind: r}) for n, kind, r in calls]
    )


def pipeline(face: Face) -> Any:
    return face.stream("Pipeline/Run", pb.PipelineResponse)


async def answers(stream: Any, count: int) -> dict[int, pb.PipelineResult]:
    found: dict[int, pb.PipelineResult] = {}
    while len(found) < count:
        response = await asyncio.wait_for(stream.read(), 10)
        assert response is not grpc.aio.EOF
        for result in response.results:
            assert result.id not in found
            found[result.id] = result
    return found


async def test_every_kind_of_call_is_answered_in_kind(face: Face) -> None:
    stream = pipeline(face)
    opening = session_pb2.SessionOpenRequest(ttl_ms=5_000, id=7)
    txn = kv_pb2.TxnRequest(success=[kv_pb2.RequestOp(put=put("/t"))])
    await stream.write(
        message((1, "put", put("/a")), (2, "txn", txn), (3, "session_open", opening))
    )
    first = await answers(stream, 3)
    assert first[1].put.key == b"/a" and first[1].put.header.revision >= 2
    assert first[2].txn.succeeded and first[3].session_open.id == 7
    await stream.write(
        message(
            (4, "range", read("/a")),
            (5, "delete_range", kv_pb2.DeleteRangeRequest(selector=prefix("/t"))),
            (6, "session_get", session_pb2.SessionGetRequest(id=7)),
            (7, "compact", kv_pb2.CompactRequest(revision=2)),
        )
    )
    second = await answers(stream, 4)
    assert second[4].range.kvs[0].value == b"v" and second[5].delete_range.deleted == 1
    assert second[6].session_get.session.ttl_ms == 5_000
    assert second[7].compact.header.revision >= 2
    await stream.write(message((8, "session_close", session_pb2.SessionCloseRequest(id=7))))
    assert (await answers(stream, 1))[8].HasField("session_close")
    assert {r.WhichOneof("result") for r in (first | second).values()} | {"session_close"} == set(
        CALLS
    )


async def test_each_call_fails_alone(face: Face) -> None:
    stream = pipeline(face)
    nothing = pb.PipelineCall(id=4)
    request = message(
        (1, "put", put("")), (2, "put", put("/a")), (3, "range", read("/a", revision=99))
    )
    request.calls.append(nothing)
    await stream.write(request)
    found = await answers(stream, 4)
    assert found[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert found[1].error.reason == "INVALID_ARGUMENT" and "key" in found[1].error.message
    assert found[1].error.metadata == {"field": "key"}
    assert found[2].HasField("put")
    assert found[3].error.reason == "FUTURE_REVISION"
    assert found[4].error.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert found[4].error.metadata["applied"] == "no"


async def test_clients_are_told_where_the_leader_is_once_and_when_it_changes(face: Face) -> None:
    addresses = [node._client_address for node in face.bus.nodes]
    face.bus.addresses.update(enumerate(addresses, 1))
    stream = pipeline(face)
    leaders = []
    for number in range(6):
        if number == 3:
            face.bus.elect(2)
            await face.bus.settle()
        await stream.write(message((number, "range", read("/a", local=True))))
        leaders.append((await asyncio.wait_for(stream.read(), 10)).leader)
    assert leaders == [addresses[0], "", "", addresses[1], "", ""]


async def test_a_slow_call_holds_up_no_other(face: Face) -> None:
    stream = pipeline(face)
    await stream.write(message((1, "range", read("/a", local=True, min_revision=3))))
    await stream.write(message((2, "put", put("/a"))))
    assert (await answers(stream, 1))[2].put.header.revision == 2
    await stream.write(message((3, "put", put("/a"))))
    assert set(await answers(stream, 2)) == {1, 3}


async def test_a_call_ends_at_its_own_deadline(face: Face) -> None:
    stream = pipeline(face)
    await stream.write(message((1, "range", read("/a", local=True, min_revision=9)), timeout_ms=50))
    error = (await answers(stream, 1))[1].error
    assert error.code in (
        grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
        grpc.StatusCode.UNAVAILABLE.value[0],
    )


async def test_a_client_that_has_said_all_still_gets_its_answers(face: Face) -> None:
    stream = pipeline(face)
    await stream.write(message(*((n, "put", put(f"/{n}")) for n in range(1, 100))))
    await stream.done_writing()
    found = await answers(stream, 99)
    assert all(result.HasField("put") for result in found.values())
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_calls_of_a_client_that_is_gone_are_let_go(face: Face) -> None:
    stream = pipeline(face)
    await stream.write(message((1, "range", read("/a", local=True, min_revision=9))))
    await stream.write(message((2, "range", kv_pb2.RangeRequest(selector=prefix(""), local=True))))
    await answers(stream, 1)
    before = len(asyncio.all_tasks())
    stream.cancel()
    while len(asyncio.all_tasks()) >= before:
        await asyncio.sleep(0.01)


async def limited(limits: Limits) -> AsyncIterator[Face]:
    async for one in serving(limits):
        yield one


async def test_more_calls_than_may_be_under_way_wait_their_turn() -> None:
    async for face in limited(replace(SMALL, pipeline_calls_max=2)):
        stream = pipeline(face)
        waits = [(n, "range", read("/a", local=True, min_revision=2)) for n in (1, 2)]
        await stream.write(message(*waits, (3, "range", read("/b", local=True))))
        first = asyncio.create_task(stream.read())
        await asyncio.wait([first], timeout=0.1)
        assert not first.done(), "the third would be answered at once"
        assert (await range_(face, selector=key("/b"), local=True)).count == 0, "others are served"
        await face.call("KV/Put", put("/a"), kv_pb2.PutResponse)
        found = list((await asyncio.wait_for(first, 10)).results)
        while len(found) < 3:
            found += (await asyncio.wait_for(stream.read(), 10)).results
        assert {result.id for result in found} == {1, 2, 3}
        assert all(result.HasField("range") for result in found)


@pytest.mark.parametrize("in_one_message", [True, False])
async def test_for_a_client_that_takes_no_answers_few_are_made(
    monkeypatch: pytest.MonkeyPatch, in_one_message: bool
) -> None:
    made = 0
    evaluate = StateMachine.range

    def count(*args: Any, **more: Any) -> Any:
        nonlocal made
        made += 1
        return evaluate(*args, **more)

    monkeypatch.setattr(StateMachine, "range", count)
    limits = replace(Limits(), pipeline_size_bytes_max=200_000, watch_message_size_bytes_max=50_000)
    async for face in limited(limits):
        await face.call("KV/Put", put("/a", bytes(50_000)), kv_pb2.PutResponse)
        stream = pipeline(face)
        writing = asyncio.create_task(ask(stream, 1_000, in_one_message))
        seen = -1
        while seen != made or not made:
            seen = made
            await asyncio.sleep(0.1)
        # Beside what waits to be sent there is what gRPC and the system hold of it.
        assert made < 300
        assert (await range_(face, selector=key("/a"))).count == 1, "others are served"
        found = await answers(stream, 1_000)
        assert all(len(result.range.kvs[0].value) == 50_000 for result in found.values())
        await writing


async def ask(stream: Any, count: int, in_one_message: bool) -> None:
    calls = [(number, "range", read("/a", local=True)) for number in range(count)]
    for part in [calls] if in_one_message else [[call] for call in calls]:
        await stream.write(message(*part))


async def test_large_answers_travel_alone() -> None:
    async for face in limited(replace(Limits(), watch_message_size_bytes_max=1_000)):
        await face.call("KV/Put", put("/a", bytes(900)), kv_pb2.PutResponse)
        stream = pipeline(face)
        await stream.write(message(*((n, "range", read("/a")) for n in range(5))))
        for _ in range(5):
            assert len((await asyncio.wait_for(stream.read(), 10)).results) == 1


async def test_a_member_that_stops_refuses_what_is_new_and_answers_the_rest(face: Face) -> None:
    stream = pipeline(face)
    await stream.write(message((1, "range", read("/a", local=True, min_revision=2))))
    await stream.write(message((2, "range", read("/a", local=True))))
    await answers(stream, 1)
    stopping = asyncio.create_task(face.server.stop(10))
    number = 2
    while True:
        number += 1
        await stream.write(message((number, "range", read("/a", local=True))))
        result = (await answers(stream, 1))[number]
        if result.HasField("error"):
            break
    assert result.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert result.error.reason == "STOPPING" and result.error.metadata == {"applied": "no"}
    await face.node.propose(Write(Put(b"/a", b"v")), asyncio.get_running_loop().time() + 10)
    assert (await answers(stream, 1))[1].HasField("range")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(stream.read(), 10)
    assert error_of(caught.value)[:2] == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
    await asyncio.wait_for(stopping, 5)


async def test_what_goes_wrong_inside_is_told_without_its_secrets(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(face.node.state), "range", lambda *_, **__: 1 / 0)
    stream = pipeline(face)
    await stream.write(message((1, "range", read("/a")), (2, "put", put("/a"))))
    found = await answers(stream, 2)
    assert found[1].error.code == grpc.StatusCode.INTERNAL.value[0]
    assert "ZeroDivisionError" not in found[1].error.message
    assert found[2].HasField("put")


async def test_requests_have_the_limits_that_they_have_alone(small_face: Face) -> None:
    stream = pipeline(small_face)
    large = common_pb2.Selector(key=bytes(200))
    await stream.write(
        message(
            (1, "put", put("/a", bytes(20_000))), (2, "range", kv_pb2.RangeRequest(selector=large))
        )
    )
    found = await answers(stream, 2)
    for result in found.values():
        assert result.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert result.error.reason == "LIMIT_EXCEEDED"
