"""The host of handlers: statuses, deadlines, health and reflection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from coordinator.config import Limits
from coordinator.errors import ConfigError, RequestError, Status
from coordinator.rpc import Bidi, Call, Service, Stream, Unary, deadline_of
from coordinator.wire import grpc_aio
from coordinator.wire.grpc_aio import GrpcAioServer
from coordinator_client.pb import kv_pb2


async def echo(call: Call, request: kv_pb2.PutRequest) -> kv_pb2.PutResponse:
    if request.key == b"refuse":
        raise RequestError(Status.NOT_FOUND, "NO_SUCH", "there is none", {"a": "b"})
    if request.key == b"fail":
        raise ZeroDivisionError("a bug")
    loop = asyncio.get_running_loop()
    left = deadline_of(call, 77.0) - loop.time()
    assert call.peer
    note = call.metadata.get("note", "")
    return kv_pb2.PutResponse(key=f"{round(left)} {note}".encode())


async def talk(stream: Stream[kv_pb2.PutRequest, kv_pb2.PutResponse]) -> None:
    async with asyncio.TaskGroup() as group:
        while (request := await stream.receive()) is not None:
            if request.key == b"refuse":
                raise RequestError(Status.OUT_OF_RANGE, "BEYOND", "too far")
            if request.key == b"fail":
                raise ZeroDivisionError("a bug")
            group.create_task(stream.send(kv_pb2.PutResponse(key=request.key)))


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    pb = kv_pb2
    service = Service(
        "test.Service",
        (
            Unary("Echo", pb.PutRequest, pb.PutResponse, echo),
            Bidi("Talk", pb.PutRequest, pb.PutResponse, talk),
        ),
    )
    async with serving(service) as (_, channel):
        yield channel


@asynccontextmanager
async def serving(*services: Service) -> AsyncIterator[tuple[GrpcAioServer, grpc.aio.Channel]]:
    server = GrpcAioServer(services, Limits())
    port = server.bind("127.0.0.1:0")
    await server.start()
    await server.set_serving(True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield server, channel
    await server.stop(0)


def unary(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(
        "/test.Service/Echo",
        request_serializer=kv_pb2.PutRequest.SerializeToString,
        response_deserializer=kv_pb2.PutResponse.FromString,
    )


def bidi(channel: grpc.aio.Channel) -> Any:
    return channel.stream_stream(
        "/test.Service/Talk",
        request_serializer=kv_pb2.PutRequest.SerializeToString,
        response_deserializer=kv_pb2.PutResponse.FromString,
    )()


async def test_deadline_and_metadata_reach_the_handler(channel: grpc.aio.Channel) -> None:
    call = unary(channel)
    answer = await call(kv_pb2.PutRequest(), timeout=30, metadata=(("note", "hello"),))
    assert answer.key == b"30 hello"
    assert (await call(kv_pb2.PutRequest())).key == b"77 "


async def test_a_refusal_carries_machine_readable_details(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(channel)(kv_pb2.PutRequest(key=b"refuse"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "there is none"
    metadata = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(detail)
    assert (detail.reason, detail.domain, dict(detail.metadata)) == (
        "NO_SUCH",
        "coordinator",
        {"a": "b"},
    )


async def test_a_bug_is_an_internal_error_without_a_traceback(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(channel)(kv_pb2.PutRequest(key=b"fail"))
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "ZeroDivision" not in (caught.value.details() or "")
    stream = bidi(channel)
    await stream.write(kv_pb2.PutRequest(key=b"fail"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
        await stream.read()
    assert caught.value.code() == grpc.StatusCode.INTERNAL


async def test_a_stream_ends_with_its_status(channel: grpc.aio.Channel) -> None:
    stream = bidi(channel)
    await stream.write(kv_pb2.PutRequest(key=b"x"))
    assert (await stream.read()).key == b"x"
    await stream.write(kv_pb2.PutRequest(key=b"refuse"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
        await stream.read()
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE


async def test_health_and_reflection(channel: grpc.aio.Channel) -> None:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    for name in ("", "test.Service"):
        answer = await check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflect: Any = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await reflect.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await reflect.read()
    names = [s.name for s in answer.list_services_response.service]
    assert "test.Service" in names and "grpc.health.v1.Health" in names
    await reflect.done_writing()
    assert await reflect.read() is grpc.aio.EOF


async def test_a_server_that_stops_ends_its_streams_with_a_word_why() -> None:
    pb = kv_pb2
    service = Service("test.Service", (Bidi("Talk", pb.PutRequest, pb.PutResponse, talk),))
    async with serving(service) as (server, channel):
        stream = bidi(channel)
        await stream.write(kv_pb2.PutRequest(key=b"x"))
        await stream.read()
        stopping = asyncio.create_task(server.stop(30))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        metadata = dict(caught.value.trailing_metadata())
        assert b"STOPPING" in bytes(metadata["grpc-status-details-bin"])
        await asyncio.wait_for(stopping, 5)


async def hasty(stream: Stream[kv_pb2.PutRequest, kv_pb2.PutResponse]) -> None:
    """Fails while its first message is on its way."""
    await stream.receive()
    async with asyncio.TaskGroup() as group:
        group.create_task(stream.send(kv_pb2.PutResponse(key=b"x")))
        await asyncio.sleep(0)
        raise RequestError(Status.OUT_OF_RANGE, "BEYOND", "too far")


async def test_a_status_waits_for_the_message_that_is_on_its_way() -> None:
    pb = kv_pb2
    service = Service("test.Service", (Bidi("Talk", pb.PutRequest, pb.PutResponse, hasty),))
    async with serving(service) as (_, channel):
        stream = bidi(channel)
        await stream.write(kv_pb2.PutRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            assert (await stream.read()).key == b"x"
            await stream.read()
        assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
        metadata = dict(caught.value.trailing_metadata())
        assert b"BEYOND" in bytes(metadata["grpc-status-details-bin"])


async def test_a_server_that_can_not_serve_is_alive_all_the_same() -> None:
    async with serving(Service("test.Service", ())) as (server, channel):
        await server.set_serving(False)
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest(service="test.Service"))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        answer = await check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_address_in_use_is_a_configuration_error(channel: grpc.aio.Channel) -> None:
    first = GrpcAioServer([], Limits())
    port = first.bind("127.0.0.1:0")
    await first.start()
    second = GrpcAioServer([], Limits())
    with pytest.raises(ConfigError, match="in use"):
        second.bind(f"127.0.0.1:{port}")
    await first.stop(0)
    await second.stop(0)


async def test_a_server_that_stops_refuses_what_comes_and_finishes_what_is_under_way() -> None:
    pb = kv_pb2
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(call: Call, request: kv_pb2.PutRequest) -> kv_pb2.PutResponse:
        begun.set()
        await go_on.wait()
        return kv_pb2.PutResponse(key=request.key)

    methods = (
        Unary("Echo", pb.PutRequest, pb.PutResponse, slow),
        Bidi("Talk", pb.PutRequest, pb.PutResponse, talk),
    )
    async with serving(Service("test.Service", methods)) as (server, channel):
        under_way = asyncio.ensure_future(unary(channel)(kv_pb2.PutRequest(key=b"x")))
        await begun.wait()
        stopping = asyncio.create_task(server.stop(30))
        await asyncio.sleep(0)
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel)(kv_pb2.PutRequest(key=b"y"))
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            packed = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
            detail = error_details_pb2.ErrorInfo()
            assert status_pb2.Status.FromString(bytes(packed)).details[0].Unpack(detail)
            assert (detail.reason, detail.metadata["applied"]) == ("STOPPING", "no")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bidi(channel).read()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert not stopping.done()
        go_on.set()
        assert (await under_way).key == b"x"
        await asyncio.wait_for(stopping, 5)


async def test_a_call_that_does_not_end_holds_no_server_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grpc_aio, "STOP_EXCESS_S", 0.3)
    pb = kv_pb2
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def stubborn(call: Call, request: kv_pb2.PutRequest) -> kv_pb2.PutResponse:
        begun.set()
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()
        return kv_pb2.PutResponse()

    methods = (Unary("Echo", pb.PutRequest, pb.PutResponse, stubborn),)
    async with serving(Service("test.Service", methods)) as (server, channel):
        under_way = asyncio.ensure_future(unary(channel)(kv_pb2.PutRequest(key=b"x")))
        await begun.wait()
        async with asyncio.timeout(5):
            await server.stop(0.1)
        go_on.set()
        with contextlib.suppress(grpc.aio.AioRpcError):
            await under_way


async def test_a_server_that_has_nothing_to_do_stops_soon() -> None:
    async with serving() as (server, _):
        began = asyncio.get_running_loop().time()
        await server.stop(30)
        assert asyncio.get_running_loop().time() - began < 5
