"""Calls of all kinds on the asyncio channel, and what becomes of those that fail."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from coordinator_client import Ejection
from tests.unit.client.grpc_channels.echoes import (
    SAY,
    SERVICE,
    WAIT_S,
    AioEcho,
    AioView,
    First,
    LateNews,
    Open,
    aio_failure_of,
    aio_wait_ready,
    responses,
    until,
)


async def test_all_kinds_of_calls(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    channel = open_aio_channel(aio_view)
    await aio_wait_ready(channel, 2)
    say = channel.unary_unary(
        SAY, request_serializer=str.encode, response_deserializer=bytes.decode
    )
    call = say("x", timeout=WAIT_S, metadata=(("user", "me"),), compression=grpc.Compression.Gzip)
    name = await call
    assert await call.code() is grpc.StatusCode.OK
    served = next(server for server in aio_servers if server.name.decode() == name)
    assert served.metadata["user"] == "me"
    count = channel.unary_stream(f"/{SERVICE}/Count")
    assert {await responses(count(b"3")) for _ in range(4)} == {b"a0a1a2", b"b0b1b2"}
    join = channel.stream_unary(f"/{SERVICE}/Join")
    assert {await join(iter([b"x", b"y"])) for _ in range(4)} == {b"axy", b"bxy"}
    chat = channel.stream_stream(f"/{SERVICE}/Chat")
    assert {await responses(chat(iter([b"1", b"2"]))) for _ in range(4)} == {b"a1a2", b"b1b2"}
    stream = chat()
    await stream.write(b"1")
    assert await stream.read() in (b"a1", b"b1")
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_a_call_at_once_waits_for_the_connection(
    aio_view: AioView, open_aio_channel: Open
) -> None:
    assert await open_aio_channel(aio_view).unary_unary(SAY)(b"") in (b"a", b"b")
    assert await responses(open_aio_channel(aio_view).unary_stream(f"/{SERVICE}/Count")(b"1")) in (
        b"a0",
        b"b0",
    )
    assert await open_aio_channel(aio_view).stream_unary(f"/{SERVICE}/Join")(iter([b"x"])) in (
        b"ax",
        b"bx",
    )
    stream = open_aio_channel(aio_view).stream_stream(f"/{SERVICE}/Chat")()
    await stream.write(b"1")
    assert await stream.read() in (b"a1", b"b1")
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_server_that_stops_costs_no_call_that_was_not_in_flight(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    channel = open_aio_channel(aio_view)
    await aio_wait_ready(channel, 2)
    await aio_servers[0].stop()
    say = channel.unary_unary(SAY)
    # The aio_view still shows it.
    assert [await say(b"", timeout=WAIT_S) for _ in range(50)] == [b"b"] * 50
    count = channel.unary_stream(f"/{SERVICE}/Count")
    assert [await responses(count(b"1")) for _ in range(10)] == [b"b0"] * 10


async def test_a_call_that_waits_can_be_canceled(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    call = open_aio_channel(AioView()).unary_unary(SAY)(b"", wait_for_ready=True)
    await asyncio.sleep(0)
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    aio_view.show(aio_view.instances()[0])
    channel = open_aio_channel(aio_view)
    held = channel.unary_unary(SAY)(b"hold")
    await asyncio.wait_for(aio_servers[0].holding.acquire(), WAIT_S)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held

    async def over() -> bool:
        return not channel._table.subchannels[0].outstanding

    await until(over)


async def test_one_that_fails_is_left_alone(aio_view: AioView, open_aio_channel: Open) -> None:
    channel = open_aio_channel(aio_view, ejection=Ejection(failures=2, pause_s=60))
    await aio_wait_ready(channel, 2)
    say = channel.unary_unary(SAY)
    for _ in range(4):
        assert (await aio_failure_of(say(b"fail NOT_FOUND"))).code() is grpc.StatusCode.NOT_FOUND
    assert {await say(b"") for _ in range(4)} == {b"a", b"b"}, "an answer is no failure"
    for _ in range(3):
        await aio_failure_of(say(b"fail INTERNAL"))
    assert len({await say(b"") for _ in range(6)}) == 1


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_call_that_never_left_goes_to_another_instance(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open, kind: str
) -> None:
    channel = open_aio_channel(aio_view, First())
    news = LateNews(channel)

    async def call() -> bytes:
        if kind == "unary":
            answer: bytes = await channel.unary_unary(SAY)(b"")
            return answer
        return await responses(channel.unary_stream(f"/{SERVICE}/Count")(b"1"))

    async def connected() -> bool:
        return all(
            each.state is grpc.ChannelConnectivity.READY for each in channel._table.subchannels
        )

    await until(connected)
    assert (await call()).startswith(b"a")
    news.hold()
    await aio_servers[0].stop()
    assert (await call()).startswith(b"b")
    assert news.asked == 1
