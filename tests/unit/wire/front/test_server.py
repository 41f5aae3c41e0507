"""The front as its owner sees it: it binds, serves, and stops without losing what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import grpc
import pytest

from coordinator.config import Limits
from coordinator.errors import ConfigError
from coordinator.wire.front import server
from coordinator.wire.front.server import FrontServer
from coordinator_client.pb import kv_pb2 as pb
from tests.unit.wire.echoing import put, serving, until
from tests.unit.wire.front.raw_client import call_fields, connected, framed

ECHO, SLOW, LINGER = "/test.Service/Echo", "/test.Service/Slow", "/test.Service/Linger"


async def test_addresses() -> None:
    for wrong in ("nowhere", "127.0.0.1:x", "192.0.2.1:80", "no.such.host.invalid:80"):
        with pytest.raises(ConfigError, match="can't listen for clients on"):
            FrontServer([], Limits()).bind(wrong)
    first, second = FrontServer([], Limits()), FrontServer([], Limits())
    port = first.bind("localhost:0")
    with pytest.raises(ConfigError, match="in use"):
        second.bind(f"127.0.0.1:{port}")
    await first.start()
    async with connected(port) as client:
        assert (await client.call(ECHO)).status == "12"
    await first.stop(0)
    await first.stop(0)
    await second.stop(0)
    # What was bound and never started is free again, too.
    third = FrontServer([], Limits())
    third.bind(f"127.0.0.1:{port}")
    await third.stop(0)


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
async def test_ipv6() -> None:
    front = FrontServer([], Limits())
    try:
        port = front.bind("[::1]:0")
    except ConfigError:
        pytest.skip("there is no IPv6")
    await front.start()
    async with grpc.aio.insecure_channel(f"[::1]:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            stub: Any = channel.unary_unary("/nobody/Nothing")
            await stub(b"", timeout=10)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    await front.stop(0)


async def test_a_server_that_stops_says_goodbye_and_finishes_what_is_under_way() -> None:
    async with serving() as (front, echoing, port), connected(port) as client:
        slow = client.open(call_fields(SLOW))
        client.send(slow, framed(put(b"x")), ended=True)
        linger = client.open(call_fields(LINGER))
        drain = client.open(call_fields("/test.Service/Drain"))
        await until(lambda: echoing.begun == 2 and client.replies[drain].body)
        stopping = asyncio.create_task(front.stop(30))
        reply = await client.ended(linger)
        assert (reply.status, reply.blocks) == ("14", 2)
        assert "grpc-status-details-bin" in reply.trailers
        # GOAWAY came first, and says nothing of calls under way.
        assert client.goaways[0][:2] == (0, 2**31 - 1)
        reply = await client.ended(drain)
        keys = [pb.PutResponse.FromString(message).key for message in reply.messages]
        assert keys == [b"here", b"bye"] and reply.status == "0"
        async with connected(port) as late:
            for path in (ECHO, LINGER):
                refused = await late.call(path, framed(put(b"y")))
                assert (refused.status, refused.message) == ("14", "this member is stopping")
            assert not stopping.done()
            echoing.go_on.set()
            reply = await client.ended(slow)
            assert reply.status == "0"
            assert pb.PutResponse.FromString(reply.messages[0]).key == b"x"
            await asyncio.wait_for(stopping, 5)
            await asyncio.wait_for(client.closed.wait(), 5)
            await asyncio.wait_for(late.closed.wait(), 5)
        assert client.goaways[-1][:2] == (0, drain)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_calls_that_last_longer_than_the_grace_are_told_that_nobody_knows() -> None:
    async with serving() as (front, echoing, port), connected(port) as client:
        slow = client.open(call_fields(SLOW))
        client.send(slow, framed(put(b"x")), ended=True)
        unbegun = client.open(call_fields(ECHO))
        await until(lambda: echoing.begun == 1)
        await asyncio.wait_for(front.stop(0.2), 5)
        for stream_id in (slow, unbegun):
            reply = await client.ended(stream_id)
            assert reply.status == "14" and "stopped before the call ended" in reply.message
        assert echoing.cancelled == 1


async def test_replies_that_wait_for_a_slow_client_are_not_lost() -> None:
    async with serving() as (front, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # all transports of sockets can
        from tests.unit.wire.front.raw_client import RawClient

        client = RawClient(reader, writer)
        client.h2.initiate_connection()
        client.h2.increment_flow_control_window(50_000_000)
        stream_id = client.open(call_fields("/test.Service/Big"))
        client.h2.increment_flow_control_window(50_000_000, stream_id)
        client.send(stream_id, framed(put(b"20000000")), ended=True)
        await until(lambda: front.tallies.ended[0] == 1)  # type: ignore[union-attr]  # it is a front
        stopping = asyncio.create_task(front.stop(5))
        await asyncio.sleep(0.3)
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # likewise
        client._reading = asyncio.create_task(client._read())
        reply = await client.ended(stream_id)
        assert reply.status == "0" and len(reply.messages[0]) > 20_000_000
        await asyncio.wait_for(stopping, 8)
        await client.close()


async def test_a_method_that_does_not_end_holds_no_server_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "STOP_EXCESS_S", 0.3)
    async with serving() as (front, echoing, port), connected(port) as client:
        go_on = asyncio.Event()

        async def stubborn() -> None:
            while not go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await go_on.wait()

        monkeypatch.setattr(echoing.go_on, "wait", stubborn)
        slow = client.open(call_fields(SLOW))
        client.send(slow, framed(put(b"x")), ended=True)
        await until(lambda: echoing.begun == 1)
        async with asyncio.timeout(5):
            await front.stop(0.1)
        assert (await client.ended(slow)).status == "14"
        go_on.set()
        await asyncio.sleep(0)


async def test_a_server_that_has_nothing_to_do_stops_soon() -> None:
    async with serving() as (front, _, port), connected(port) as client:
        await client.call(ECHO, framed(put(b"x")))
        began = asyncio.get_running_loop().time()
        await front.stop(30)
        assert asyncio.get_running_loop().time() - began < 5


async def test_nothing_is_left_of_a_server_that_stopped() -> None:
    async with serving() as (front, _, port):
        for _ in range(20):
            async with connected(port) as client:
                fields = call_fields(ECHO, [("grpc-timeout", "10S")])
                await client.call(ECHO, framed(put(b"x")), fields=fields)
        await front.stop(1)
        assert isinstance(front, FrontServer) and front._host is not None
        assert not front._host.connections and not front._host._leaving
        assert not front._host.deadlines._slots
        assert front.tallies.calls_open == front.tallies.connections_open == 0
