"""The asyncio channel over real servers that come and go."""

from __future__ import annotations

import asyncio
import random

import grpc
import grpc.aio
import pytest

from coordinator_client import ConsistentHash, InvalidArgument, aio
from tests.unit.client.grpc_channels.echoes import (
    FLIPS,
    SAY,
    SERVICE,
    WAIT_S,
    AioEcho,
    AioView,
    Open,
    aio_failure_of,
    aio_wait_ready,
    as_status,
    instance,
    responses,
    until,
)


async def test_instances_come_and_go(aio_view: AioView, open_aio_channel: Open) -> None:
    a, b = aio_view.instances()
    aio_view.show(a)
    channel = open_aio_channel(aio_view)
    say = channel.unary_unary(SAY)
    assert [await say(b"") for _ in range(4)] == [b"a"] * 4
    aio_view.show(a, b)
    await aio_wait_ready(channel, 2)
    aio_view.show(as_status(a, "draining"), b)
    assert [await say(b"") for _ in range(6)] == [b"b"] * 6


async def test_a_call_under_way_is_not_lost_when_its_instance_goes(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    channel = open_aio_channel(aio_view)
    await aio_wait_ready(channel, 2)
    say = channel.unary_unary(SAY)
    held = [say(b"hold") for _ in range(2)]
    for server in aio_servers:
        await asyncio.wait_for(server.holding.acquire(), WAIT_S)
    retired = channel._table.subchannels
    aio_view.show()
    assert (await aio_failure_of(say(b""))).code() is grpc.StatusCode.UNAVAILABLE
    assert channel._retired == set(retired)
    for server in aio_servers:
        server.go_on.set()
    assert {await call for call in held} == {b"a", b"b"}

    async def closed() -> bool:
        return not channel._retired

    await until(closed)
    with pytest.raises(grpc.aio.UsageError):
        await retired[0].channel.unary_unary(SAY)(b"")


async def test_calls_of_an_instance_that_went_may_be_ended(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    aio_view.show(aio_view.instances()[0])
    held = open_aio_channel(aio_view, drain_s=0.01).unary_unary(SAY)(b"hold")
    await asyncio.wait_for(aio_servers[0].holding.acquire(), WAIT_S)
    aio_view.show()
    assert await asyncio.wait_for(held.code(), WAIT_S) is grpc.StatusCode.CANCELLED


async def test_nobody_there(open_aio_channel: Open) -> None:
    channel = open_aio_channel(AioView())
    say = channel.unary_unary(SAY)
    for call in (
        say(b""),
        responses(channel.unary_stream(f"/{SERVICE}/Count")(b"3")),
        channel.stream_unary(f"/{SERVICE}/Join")(iter([b"x"])),
        responses(channel.stream_stream(f"/{SERVICE}/Chat")(iter([b"x"]))),
    ):
        error = await aio_failure_of(call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error.details() == "no instance of echo may get calls"
    assert await say(b"").code() is grpc.StatusCode.UNAVAILABLE
    late = await aio_failure_of(say(b"", timeout=0.05, wait_for_ready=True))
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_nobody_listens(
    aio_servers: list[AioEcho], aio_view: AioView, open_aio_channel: Open
) -> None:
    for server in aio_servers:
        await server.stop()
    error = await aio_failure_of(open_aio_channel(aio_view).unary_unary(SAY)(b""))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "can be reached at 127.0.0.1:" in (error.details() or "")


async def test_a_call_may_wait_until_somebody_comes(
    aio_view: AioView, open_aio_channel: Open
) -> None:
    a, _ = aio_view.instances()
    aio_view.show()
    call = open_aio_channel(aio_view).unary_unary(SAY)(b"", timeout=WAIT_S, wait_for_ready=True)
    await asyncio.sleep(0)
    assert not call.done()
    aio_view.show(a)
    assert await call == b"a"


async def test_options(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    a = instance("a", 1, ports={"grpc": aio_servers[0].port})
    assert await open_aio_channel(AioView(a), port="grpc").unary_unary(SAY)(b"") == b"a"
    with pytest.raises(InvalidArgument, match="drain_s"):
        aio.grpc_channel(AioView(a), drain_s=-1)
    channel = open_aio_channel(aio_view, ConsistentHash(), hash_key="user")
    hashed = channel.unary_unary(SAY)
    keys = [[("user", str(number))] for number in range(20)]

    async def spread() -> bool:
        return len({await hashed(b"", metadata=key) for key in keys}) == 2

    await until(spread)
    for key in keys[:5]:
        assert len({await hashed(b"", metadata=key) for _ in range(4)}) == 1
    tls = open_aio_channel(aio_view, credentials=grpc.ssl_channel_credentials())
    # These aio_servers speak no TLS.
    assert (await aio_failure_of(tls.unary_unary(SAY)(b""))).code() is grpc.StatusCode.UNAVAILABLE


async def test_it_is_a_channel_for_grpcio(aio_view: AioView, open_aio_channel: Open) -> None:
    channel = open_aio_channel(aio_view)
    assert isinstance(channel, grpc.aio.Channel)
    await asyncio.wait_for(channel.channel_ready(), WAIT_S)
    ready = channel.get_state()
    assert ready is grpc.ChannelConnectivity.READY
    aio_view.show()
    await asyncio.wait_for(channel.wait_for_state_change(ready), WAIT_S)
    assert channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
    await channel.close()
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
    with pytest.raises(grpc.aio.UsageError):
        await channel.channel_ready()


async def test_closing_ends_calls_and_takes_no_more(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    aio_view.show(aio_view.instances()[0])
    channel = open_aio_channel(aio_view)
    say = channel.unary_unary(SAY)
    held = say(b"hold")
    await asyncio.wait_for(aio_servers[0].holding.acquire(), WAIT_S)
    chat = channel.stream_stream(f"/{SERVICE}/Chat")
    stream = chat()
    empty = open_aio_channel(AioView())
    waiting = [
        empty.unary_unary(SAY)(b"", wait_for_ready=True),
        empty.stream_unary(f"/{SERVICE}/Join")(iter([b"x"]), wait_for_ready=True),
    ]
    await asyncio.sleep(0)
    await empty.close()
    for call in waiting:
        assert await call.code() is grpc.StatusCode.CANCELLED
    await channel.close()
    await channel.close()
    assert await held.code() is grpc.StatusCode.CANCELLED
    assert await stream.code() is grpc.StatusCode.CANCELLED
    for begin in (lambda: say(b""), chat):
        with pytest.raises(grpc.aio.UsageError):
            begin()


async def test_nothing_is_connected_while_it_closes(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    a, b = aio_view.instances()
    aio_view.show(a)
    channel = open_aio_channel(aio_view)
    held = channel.unary_unary(SAY)(b"hold")
    await asyncio.wait_for(aio_servers[0].holding.acquire(), WAIT_S)
    closing = asyncio.create_task(channel.close(WAIT_S))
    aio_view.show(a, b)
    await asyncio.wait({closing}, timeout=0.1)
    assert len(channel._table.subchannels) == 1
    aio_servers[0].go_on.set()
    assert await held == b"a"
    await closing


async def test_a_call_that_was_just_begun_is_canceled_by_closing(
    aio_view: AioView, open_aio_channel: Open
) -> None:
    channel = open_aio_channel(aio_view)
    call = channel.unary_unary(SAY)(b"")
    await channel.close()
    assert (await aio_failure_of(call)).code() is grpc.StatusCode.CANCELLED


async def test_closing_with_grace_lets_calls_end(
    aio_view: AioView, aio_servers: list[AioEcho], open_aio_channel: Open
) -> None:
    aio_view.show(aio_view.instances()[0])
    channel = open_aio_channel(aio_view)
    held = channel.unary_unary(SAY)(b"hold")
    await asyncio.wait_for(aio_servers[0].holding.acquire(), WAIT_S)
    closing = asyncio.create_task(channel.close(WAIT_S))
    await asyncio.sleep(0)
    aio_servers[0].go_on.set()
    assert await held == b"a"
    await closing


@pytest.mark.full
async def test_no_call_is_lost_while_instances_come_and_go_all_the_time(
    aio_view: AioView, open_aio_channel: Open
) -> None:
    a, b = aio_view.instances()
    channel = open_aio_channel(aio_view)
    flips = 0

    async def call() -> int:
        calls = 0
        while flips < FLIPS:
            await channel.unary_unary(SAY)(b"", timeout=WAIT_S)
            await responses(channel.unary_stream(f"/{SERVICE}/Count")(b"2", timeout=WAIT_S))
            await responses(channel.stream_stream(f"/{SERVICE}/Chat")(iter([b"1"]), timeout=WAIT_S))
            calls += 1
        return calls

    callers = [asyncio.create_task(call()) for _ in range(6)]
    while flips < FLIPS:
        flips += 1
        aio_view.show(*random.choice([(a,), (b,), (a, b)]))
        await asyncio.sleep(random.choice([0, 0.005, 0.05]))
    assert min(await asyncio.gather(*callers)) > 0

    async def over() -> bool:
        return not channel._retired

    await until(over)
    assert not any(each.outstanding for each in channel._table.subchannels)
