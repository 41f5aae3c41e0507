from __future__ import annotations

import asyncio
import socket
import time
from typing import NoReturn

import grpc
import pytest

from coordinator_client import _io_async as io
from coordinator_client import calls
from coordinator_client.failures import CallFailed
from coordinator_client.pb import common_pb2, watch_pb2
from tests.unit.client.scripted import Context, scripted


async def test_a_flag_can_be_waited_for() -> None:
    flag = io.Flag()
    assert not await flag.wait(0.01)
    asyncio.get_running_loop().call_later(0.01, flag.set)
    assert await flag.wait()
    assert flag.is_set() and await flag.wait(0)
    flag.clear()
    assert not flag.is_set()


async def test_each_task_is_another() -> None:
    async def ask() -> object:
        return io.current()

    assert io.current() == await ask() != await asyncio.create_task(ask())


async def test_a_worker_ends_by_itself_or_is_ended() -> None:
    ended = []

    async def run(pause_s: float) -> None:
        try:
            await asyncio.sleep(pause_s)
        finally:
            ended.append(pause_s)

    await io.Worker(lambda: run(0.01), "short").join(5)
    started = time.monotonic()
    await io.Worker(lambda: run(30), "long").join(0.05)
    assert ended == [0.01, 30]
    assert time.monotonic() - started < 5


async def test_a_worker_does_not_wait_for_itself() -> None:
    done = io.Flag()

    async def run() -> None:
        await worker.join(5)
        done.set()

    worker = io.Worker(run, "self")
    assert await done.wait(1)


def test_the_clock_goes_on() -> None:
    first = io.now_s()
    assert first <= io.now_s() < first + 1


async def echo(context: Context) -> None:
    while request := await context.read():
        if request.WhichOneof("request") == "cancel":
            return
        created = watch_pb2.WatchCreated(start_revision=request.create.start_revision)
        await context.write(watch_pb2.WatchResponse(created=created))


def create(revision: int) -> watch_pb2.WatchRequest:
    selector = common_pb2.Selector(key=b"/a")
    return watch_pb2.WatchRequest(
        create=watch_pb2.WatchCreate(selector=selector, start_revision=revision)
    )


async def test_a_stream_goes_both_ways_and_ends() -> None:
    async with scripted() as server:
        server.on_stream(calls.WATCH, echo)
        channel = io.Channel(server.endpoint)
        stream = channel.open_stream(calls.WATCH)
        for revision in (1, 2, 3):
            stream.send(create(revision))
        assert [(await stream.next(5)).created.start_revision for _ in range(3)] == [1, 2, 3]
        with pytest.raises(TimeoutError):
            await stream.next(0.02)
        stream.send(watch_pb2.WatchRequest(cancel=watch_pb2.WatchCancel()))
        for _ in range(2):
            with pytest.raises(CallFailed, match="ended the stream"):
                await stream.next(5)
        stream.send(create(4))
        await channel.close()


async def test_canceling_a_stream_wakes_its_reader() -> None:
    async with scripted() as server:
        server.on_stream(calls.WATCH, echo)
        channel = io.Channel(server.endpoint)
        stream = channel.open_stream(calls.WATCH)
        reader = asyncio.create_task(stream.next())
        await asyncio.sleep(0.02)
        stream.cancel()
        stream.cancel()
        with pytest.raises(CallFailed, match="canceled"):
            await reader
        with pytest.raises(CallFailed):
            await stream.next()
        await channel.close()


async def test_sending_does_not_wait_for_a_node_that_says_nothing() -> None:
    """As one that is paused: the system takes connections for it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        channel = io.Channel(f"127.0.0.1:{listening.getsockname()[1]}")
        stream = channel.open_stream(calls.WATCH)
        stream.send(create(1))
        with pytest.raises(TimeoutError):
            await stream.next(0.05)
        reader = asyncio.create_task(stream.next())
        await asyncio.sleep(0)
        stream.cancel()
        with pytest.raises(CallFailed, match="canceled"):
            await asyncio.wait_for(reader, 1)
        # Nothing of it waits any longer for a connection.
        await asyncio.wait({stream._reader, stream._writer}, timeout=1)
        assert stream._reader.done() and stream._writer.done()
        await channel.close()


async def test_closing_a_channel_ends_its_streams() -> None:
    async with scripted() as server:
        server.on_stream(calls.WATCH, echo)
        channel = io.Channel(server.endpoint)
        stream = channel.open_stream(calls.WATCH)
        stream.send(create(1))
        await stream.next(5)
        await channel.close()
        with pytest.raises(CallFailed):
            await stream.next(5)


async def never_reads(context: Context) -> None:
    await asyncio.sleep(30)


async def test_what_is_being_sent_ends_with_its_stream() -> None:
    async with scripted() as server:
        server.on_stream(calls.WATCH, never_reads)
        channel = io.Channel(server.endpoint)
        stream = channel.open_stream(calls.WATCH)
        large = create(1)
        large.create.selector.key = bytes(10_000_000)
        stream.send(large)
        await asyncio.sleep(0.1)
        assert not stream._writer.done()
        stream.cancel()
        await asyncio.wait({stream._writer}, timeout=1)
        assert stream._writer.done()
        with pytest.raises(CallFailed):
            await stream.next(5)
        await channel.close()


class NotEncoded(calls.Method[watch_pb2.WatchRequest, watch_pb2.WatchResponse]):
    def encode(self, request: watch_pb2.WatchRequest) -> NoReturn:
        raise ValueError("not today")


class NotDecoded(calls.Method[watch_pb2.WatchRequest, watch_pb2.WatchResponse]):
    def decode(self, reply: bytes) -> NoReturn:
        raise ValueError("not today")


WATCH = (calls.WATCH.path, calls.WATCH.request, calls.WATCH.reply)


async def test_a_message_that_cannot_be_encoded_ends_its_stream() -> None:
    async with scripted() as server:
        server.on_stream(calls.WATCH, echo)
        channel = io.Channel(server.endpoint)
        stream = channel.open_stream(NotEncoded(*WATCH))
        stream.send(create(1))
        for _ in range(2):
            with pytest.raises(CallFailed) as raised:
                await stream.next(5)
            assert raised.value.failure.code is grpc.StatusCode.INTERNAL
        stream.send(create(2))
        await channel.close()


async def test_a_message_that_cannot_be_decoded_ends_its_stream() -> None:
    async with scripted() as server:
        server.on_stream(calls.WATCH, echo)
        channel = io.Channel(server.endpoint)
        stream = channel.open_stream(NotDecoded(*WATCH))
        stream.send(create(1))
        with pytest.raises(CallFailed) as raised:
            await stream.next(5)
        assert raised.value.failure.code is grpc.StatusCode.INTERNAL
        await asyncio.wait({stream._writer}, timeout=1)
        assert stream._writer.done()
        await channel.close()


@pytest.mark.parametrize("kind", [NotEncoded, NotDecoded])
async def test_a_call_whose_message_cannot_be_coded_fails(
    kind: type[NotEncoded] | type[NotDecoded],
) -> None:
    async def answer(request: watch_pb2.WatchRequest, context: Context) -> watch_pb2.WatchResponse:
        return watch_pb2.WatchResponse()

    async with scripted() as server:
        server.on_call(calls.WATCH, answer)
        channel = io.Channel(server.endpoint)
        with pytest.raises(CallFailed) as raised:
            await channel.call(kind(*WATCH), create(1), 5)
        assert raised.value.failure.code is grpc.StatusCode.INTERNAL
        await channel.close()


async def test_a_node_that_takes_no_messages_does_not_fill_memory() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        channel = io.Channel(f"127.0.0.1:{listening.getsockname()[1]}")
        stream = channel.open_stream(calls.WATCH)
        for revision in range(io.STREAM_OUTGOING_MAX + 1):
            stream.send(create(revision))
        with pytest.raises(CallFailed) as raised:
            await stream.next(5)
        assert raised.value.failure.code is grpc.StatusCode.UNAVAILABLE
        assert "takes no" in raised.value.failure.message
        await channel.close()
