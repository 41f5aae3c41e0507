from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import pytest

from coordinator_client import _io_async as io
from coordinator_client import aio, calls, pipelining
from coordinator_client.failures import CallFailed
from coordinator_client.pb import kv_pb2
from coordinator_client.pb import pipeline_pb2 as pb
from tests.unit.client.scripted import Context, Scripted, scripted
from tests.unit.client.stage import Stage

RUN: calls.Method[pb.PipelineRequest, pb.PipelineResponse] = calls.Method(
    pipelining.PATH, pb.PipelineRequest, pb.PipelineResponse
)


def put(key: str, value: bytes = b"v") -> kv_pb2.PutRequest:
    return kv_pb2.PutRequest(key=key.encode(), value=value)


async def answer_put(request: kv_pb2.PutRequest, _: Any) -> kv_pb2.PutResponse:
    return kv_pb2.PutResponse(key=request.key)


def serve(server: Scripted, run: Any) -> None:
    server.pipelines = False
    server.on_stream(RUN, run)


async def test_calls_made_together_are_one_message() -> None:
    sizes: list[int] = []

    async def run(context: Context) -> None:
        while request := await context.read():
            sizes.append(len(request.calls))
            results = [
                pb.PipelineResult(id=c.id, put=kv_pb2.PutResponse(key=c.put.key))
                for c in reversed(request.calls)
            ]
            await context.write(pb.PipelineResponse(results=results))

    async with scripted() as server:
        serve(server, run)
        channel = io.Channel(server.endpoint)
        made = [channel.call(calls.PUT, put(f"/{n}"), 5) for n in range(100)]
        replies = await asyncio.gather(*made)
        assert [reply.key for reply in replies] == [f"/{n}".encode() for n in range(100)]
        assert sizes == [100]
        assert (await channel.call(calls.PUT, put("/x"), 5)).key == b"/x"
        await channel.close()


async def test_a_stream_that_breaks_leaves_open_what_was_sent() -> None:
    async def run(context: Context) -> None:
        await context.read()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async with scripted() as server:
        serve(server, run)
        channel = io.Channel(server.endpoint)
        for _ in range(2):
            with pytest.raises(CallFailed) as raised:
                await channel.call(calls.PUT, put("/a"), 5)
            assert raised.value.failure.code is grpc.StatusCode.UNAVAILABLE
            assert not raised.value.failure.surely_not_applied
        await channel.close()


async def test_what_never_had_a_connection_was_surely_not_applied() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
    channel = io.Channel(endpoint)
    with pytest.raises(CallFailed) as raised:
        await channel.call(calls.PUT, put("/a"), 5)
    assert raised.value.failure.surely_not_applied
    await channel.close()


async def silent(context: Context) -> None:
    while await context.read():
        pass


async def test_each_call_waits_as_long_as_it_may() -> None:
    async with scripted() as server:
        serve(server, silent)
        channel = io.Channel(server.endpoint)
        long = asyncio.create_task(channel.call(calls.PUT, put("/long"), 0.3))
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(CallFailed) as raised:
            await channel.call(calls.PUT, put("/short"), 0.05)
        assert raised.value.failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert 0.04 < loop.time() - began < 0.25 and not long.done()
        with pytest.raises(CallFailed):
            await long
        await channel.close()


async def test_a_call_that_is_canceled_ends_alone() -> None:
    async with scripted() as server:
        server.on_call(calls.PUT, answer_put)
        channel = io.Channel(server.endpoint)
        gone = asyncio.create_task(channel.call(calls.PUT, put("/a"), 5))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (await channel.call(calls.PUT, put("/b"), 5)).key == b"/b"
        await channel.close()


async def test_a_node_without_pipelines_is_called_one_by_one() -> None:
    async with scripted() as server:
        server.pipelines = False
        server.on_call(calls.PUT, answer_put)
        channel = io.Channel(server.endpoint)
        made = [channel.call(calls.PUT, put(f"/{n}"), 5) for n in range(3)]
        assert [reply.key for reply in await asyncio.gather(*made)] == [b"/0", b"/1", b"/2"]
        assert (await channel.call(calls.PUT, put("/x"), 5)).key == b"/x"
        assert server.calls == [calls.PUT.path] * 4
        await channel.close()


async def test_a_method_that_a_node_does_not_know_fails_as_such() -> None:
    async with scripted() as server:
        channel = io.Channel(server.endpoint)
        with pytest.raises(CallFailed) as raised:
            await channel.call(calls.PUT, put("/a"), 5)
        assert raised.value.failure.code is grpc.StatusCode.UNIMPLEMENTED
        await channel.close()


async def test_a_large_request_does_not_hold_up_small_ones() -> None:
    async with scripted() as server:
        serve(server, silent)
        server.on_call(calls.PUT, answer_put)
        channel = io.Channel(server.endpoint)
        large = put("/large", bytes(pipelining.CALL_SIZE_BYTES_MAX))
        assert (await channel.call(calls.PUT, large, 5)).key == b"/large"
        await channel.close()


async def test_an_answer_that_cannot_be_read_ends_the_stream() -> None:
    async def run(context: Context) -> None:
        request = await context.read()
        await context.write(
            pb.PipelineResponse(results=[pb.PipelineResult(id=request.calls[0].id)])
        )
        await silent(context)

    async with scripted() as server:
        serve(server, run)
        channel = io.Channel(server.endpoint)
        with pytest.raises(CallFailed) as raised:
            await channel.call(calls.PUT, put("/a"), 5)
        assert raised.value.failure.code is grpc.StatusCode.INTERNAL
        await channel.close()


async def test_closing_ends_what_waits() -> None:
    async with scripted() as server:
        serve(server, silent)
        channel = io.Channel(server.endpoint)
        waiting = asyncio.create_task(channel.call(calls.PUT, put("/a"), 5))
        await asyncio.sleep(0.05)
        await channel.close()
        with pytest.raises(CallFailed) as raised:
            await waiting
        assert raised.value.failure.code is grpc.StatusCode.CANCELLED
        with pytest.raises(CallFailed):
            await channel.call(calls.PUT, put("/a"), 5)


async def test_many_tasks_over_lost_nodes_write_everything_once(
    stage: Stage, client: aio.Client
) -> None:
    async def write(number: int) -> None:
        for step in range(5):
            await client.put(f"/w/{number}", str(step))

    writing = [asyncio.create_task(write(number)) for number in range(100)]
    await asyncio.sleep(0.05)
    await stage.stop_front(client.endpoint)
    await asyncio.gather(*writing)
    found = await client.range("/w/", prefix=True)
    assert found.count == 100 and {(kv.version, kv.text) for kv in found.kvs} == {(5, "4")}
