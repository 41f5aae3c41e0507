"""The Session service, through a real gRPC server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from coordinator.api.session import fit
from coordinator_client.pb import session_pb2 as pb
from tests.unit.api.conftest import Face, error_of
from tests.unit.api.test_kv import key, put, range_, refused


async def opened(face: Face, **fields: Any) -> pb.SessionOpenResponse:
    fields.setdefault("ttl_ms", 10_000)
    request = pb.SessionOpenRequest(**fields)
    response = await face.call("Session/Open", request, pb.SessionOpenResponse)
    assert isinstance(response, pb.SessionOpenResponse)
    return response


async def closed(face: Face, session_id: int) -> pb.SessionCloseResponse:
    request = pb.SessionCloseRequest(id=session_id)
    response = await face.call("Session/Close", request, pb.SessionCloseResponse)
    assert isinstance(response, pb.SessionCloseResponse)
    return response


async def got(face: Face, session_id: int) -> pb.SessionGetResponse:
    request = pb.SessionGetRequest(id=session_id)
    response = await face.call("Session/Get", request, pb.SessionGetResponse)
    assert isinstance(response, pb.SessionGetResponse)
    return response


async def test_a_session_takes_its_keys_along(face: Face) -> None:
    session = await opened(face, metadata={"host": "a", "app": "b"})
    assert session.id > 0 and session.ttl_ms == 10_000
    await put(face, "/e/2", session=session.id)
    await put(face, "/e/1", session=session.id)
    described = await got(face, session.id)
    assert list(described.keys) == [b"/e/1", b"/e/2"]
    assert dict(described.session.metadata) == {"host": "a", "app": "b"}
    assert described.session.key_count == 2 and described.session.open_revision == 1
    assert not described.session.HasField("disconnect_grace_ms")
    gone = await closed(face, session.id)
    assert gone.deleted == 2
    assert not (await range_(face, selector=key("/e/1"))).kvs
    assert (await refused(got(face, session.id)))[:2] == (
        grpc.StatusCode.NOT_FOUND,
        "SESSION_NOT_FOUND",
    )
    assert (await refused(closed(face, session.id)))[1] == "SESSION_NOT_FOUND"


async def test_an_id_may_be_chosen_once(face: Face) -> None:
    assert (await opened(face, id=42, disconnect_grace_ms=500)).id == 42
    assert (await got(face, 42)).session.disconnect_grace_ms == 500
    assert (await refused(opened(face, id=42)))[:2] == (
        grpc.StatusCode.ALREADY_EXISTS,
        "SESSION_EXISTS",
    )


async def test_sessions_are_listed_in_pages(face: Face) -> None:
    for i in (3, 1, 2):
        await opened(face, id=i)
    request = pb.SessionListRequest(limit=2)
    page = await face.call("Session/List", request, pb.SessionListResponse)
    assert [s.id for s in page.sessions] == [1, 2] and page.more
    request = pb.SessionListRequest(start_after=2)
    page = await face.call("Session/List", request, pb.SessionListResponse)
    assert [s.id for s in page.sessions] == [3] and not page.more


async def test_keep_alives_are_answered_in_order(face: Face) -> None:
    await opened(face, id=1)
    await opened(face, id=2, ttl_ms=700)
    stream = face.stream("Session/KeepAlive", pb.SessionKeepAliveResponse)
    for _ in range(4):
        await stream.write(pb.SessionKeepAliveRequest(ids=[2, 9, 1]))
        answer = await stream.read()
        assert [(r.id, r.alive, r.ttl_ms) for r in answer.results] == [
            (2, True, 700),
            (9, False, 0),
            (1, True, 10_000),
        ]
        await asyncio.sleep(0.3)
    await stream.write(pb.SessionKeepAliveRequest())
    assert not (await stream.read()).results
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert (await got(face, 2)).session.id == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"ttl_ms": 0}, "ttl_ms"),
        ({"ttl_ms": 499}, "ttl_ms"),
        ({"ttl_ms": 86_400_001}, "ttl_ms"),
        ({"id": -1}, "id"),
        ({"disconnect_grace_ms": -1}, "disconnect_grace_ms"),
        ({"disconnect_grace_ms": 10_001}, "disconnect_grace_ms"),
    ],
)
async def test_bad_sessions_name_the_field(face: Face, fields: dict[str, Any], field: str) -> None:
    code, _, details = await refused(opened(face, **fields))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and details["field"] == field


async def test_other_bad_requests(face: Face) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert (await refused(closed(face, 0)))[0] == invalid
    request = pb.SessionListRequest(limit=-1)
    assert (await refused(face.call("Session/List", request, pb.SessionListResponse)))[0] == invalid


async def test_what_crosses_a_limit_is_refused(small_face: Face) -> None:
    face = small_face
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await refused(opened(face, metadata={"k": "x" * 20})))[0] == exhausted
    reserved = await refused(opened(face, metadata={"coordinator.guard": "a"}))
    assert reserved[0] == grpc.StatusCode.INVALID_ARGUMENT
    await opened(face)
    await opened(face)
    assert (await refused(opened(face)))[0] == exhausted
    stream = face.stream("Session/KeepAlive", pb.SessionKeepAliveResponse)
    await stream.write(pb.SessionKeepAliveRequest(ids=[1, 2, 3, 4]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
        await stream.read()
    assert error_of(caught.value)[0] == exhausted


async def test_long_replies_come_in_parts(small_face: Face) -> None:
    face = small_face
    one = await opened(face, id=1)
    await opened(face, id=2)
    for i in range(70):
        await put(face, f"/{i:02}" + "k" * 90, session=one.id)
    described = await got(face, 1)
    assert described.more and described.session.key_count == 70
    assert 40 < len(described.keys) < 60
    page = await face.call("Session/List", pb.SessionListRequest(), pb.SessionListResponse)
    assert [s.id for s in page.sessions] == [1, 2] and not page.more
    assert fit([10, 10, 10], 40) == 2 and fit([100], 1) == 1 and fit([], 1) == 0


async def test_a_broken_stream_shortens_a_life_and_an_ended_one_does_not(face: Face) -> None:
    for session_id in (1, 2):
        await opened(face, id=session_id, disconnect_grace_ms=200)
    streams = []
    for session_id in (1, 2):
        stream = face.stream("Session/KeepAlive", pb.SessionKeepAliveResponse)
        await stream.write(pb.SessionKeepAliveRequest(ids=[session_id]))
        assert (await stream.read()).results[0].alive
        streams.append(stream)
    streams[0].cancel()
    await streams[1].done_writing()
    assert await streams[1].read() is grpc.aio.EOF
    async with asyncio.timeout(5):
        while face.node.state.session(1) is not None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.4)
    assert face.node.state.session(2) is not None


async def test_sessions_may_come_and_go_on_a_stream(small_face: Face) -> None:
    """What is over does not count among those that one stream may keep alive."""
    stream = small_face.stream("Session/KeepAlive", pb.SessionKeepAliveResponse)
    await opened(small_face, id=1)
    for i in range(2, 8):
        await opened(small_face, id=i)
        await stream.write(pb.SessionKeepAliveRequest(ids=[1, i]))
        assert [result.alive for result in (await stream.read()).results] == [True, True]
        await closed(small_face, i)
    await stream.write(pb.SessionKeepAliveRequest(ids=[1, 8, 9]))
    assert [result.alive for result in (await stream.read()).results] == [True, False, False]
    await stream.write(pb.SessionKeepAliveRequest(ids=[1, 8, 9, 10]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert error_of(caught.value)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
