"""Connections: what is refused, who is told what, and how much a client may make us hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coordinator.config import Limits, Timing
from coordinator.wire.front import connection
from tests.unit.wire.echoing import put, serving, until
from tests.unit.wire.front.raw_client import RawClient, call_fields, connected, framed

ECHO = "/test.Service/Echo"


@pytest.mark.parametrize(
    ("replaced", "http_status", "status"),
    [
        ({"method": "GET"}, "405", "13"),
        ({"content_type": "text/html"}, "415", "3"),
        ({"te": None}, "200", "13"),
        ({"path": "/test.Service/Nothing"}, "200", "12"),
        ({"grpc_timeout": "soon"}, "200", "13"),
        ({"x_bin": "*"}, "200", "13"),
    ],
)
async def test_refusals_are_one_block(
    replaced: dict[str, Any], http_status: str, status: str
) -> None:
    async with serving() as (server, _, port), connected(port) as client:
        fields = call_fields(replaced.pop("path", None) or ECHO, **replaced)
        for _ in range(2):
            reply = await client.call("", framed(put(b"x")), fields=fields)
            assert reply.headers[":status"] == http_status and reply.status == status
            assert (reply.blocks, len(reply.body), reply.reset) == (1, 0, None)
        assert server.tallies.calls_open == 0  # type: ignore[union-attr]  # it is a front


async def test_a_call_that_is_refused_early_is_over_for_its_client() -> None:
    async with serving() as (_, _, port), connected(port) as client:
        stream_id = client.open(call_fields("/nobody/Nothing"))
        reply = await client.ended(stream_id)
        assert reply.status == "12"
        await until(lambda: reply.reset == 0)


async def test_metadata_that_are_too_large() -> None:
    async with serving() as (_, _, port), connected(port) as client:
        fields = call_fields(ECHO, [("x", "y" * 17_000)])
        reply = await client.call(ECHO, framed(put(b"x")), fields=fields)
        assert reply.reset is not None or reply.status not in (None, "0")
        fields = call_fields(ECHO, [("x", "y" * 15_000)])
        reply = await client.call(ECHO, framed(put(b"x")), fields=fields)
        assert reply.status == "0"


async def test_calls_beyond_the_limit_are_told_so() -> None:
    async with (
        serving(limits=Limits(streams_max=2)) as (_, echoing, port),
        connected(port) as client,
        connected(port) as other,
    ):
        streams = [client.open(call_fields("/test.Service/Slow")) for _ in range(2)]
        for stream_id in streams:
            client.send(stream_id, framed(put(b"x")), ended=True)
        await until(lambda: echoing.begun == 2)
        for each in (client, other):
            reply = await each.call(ECHO, framed(put(b"x")))
            assert (reply.status, reply.message) == ("8", "Concurrent RPC limit exceeded!")
        echoing.go_on.set()
        for stream_id in streams:
            assert (await client.ended(stream_id)).status == "0"
        assert (await other.call(ECHO, framed(put(b"x")))).status == "0"


async def test_the_bytes_of_unfinished_messages_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "UNFINISHED_BYTES_MAX", 40_000)
    async with serving() as (_, _, port), connected(port) as client:
        streams = [client.open(call_fields(path)) for path in (ECHO, "/test.Service/Collect") * 2]
        for stream_id in streams:
            client.send(stream_id, framed(put(b"x" * 100_000))[:15_000])
        replies = [await client.ended(stream_id) for stream_id in streams[2:3]]
        assert [reply.status for reply in replies] == ["8"]
        # Those that were there before go on.
        client.reset(streams[1])
        for start in range(15_000, 100_010, 10_000):
            rest = framed(put(b"x" * 100_000))[start : start + 10_000]
            client.send(streams[0], rest, ended=start + 10_000 > 100_009)
        monkeypatch.setattr(connection, "UNFINISHED_BYTES_MAX", 200_000)
        assert (await client.ended(streams[0])).status == "0"


async def test_a_broken_connection_is_ended_with_a_word_why() -> None:
    async with serving() as (server, echoing, port), connected(port) as client:
        stream_id = client.open(call_fields("/test.Service/Slow"))
        client.send(stream_id, framed(put(b"x")), ended=True)
        await until(lambda: echoing.begun == 1)
        client.raw(b"\0\0\4\x08\0\0\0\0\0" + bytes(4))  # WINDOW_UPDATE of nothing
        await asyncio.wait_for(client.closed.wait(), 5)
        assert client.goaways and client.goaways[0][0] == 1
        await until(lambda: echoing.cancelled == 1)
        await client.close()
        tallies = server.tallies  # type: ignore[union-attr]  # it is a front
        await until(lambda: tallies.connections_open == 0)


async def test_pings_are_answered() -> None:
    async with serving() as (_, _, port), connected(port) as client:
        for i in range(100):
            client.h2.ping(i.to_bytes(8, "big"))
        client.flush()
        await until(lambda: len(client.pongs) == 100)


async def test_a_quiet_client_is_asked_whether_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from coordinator.wire.front import server, vigil

    monkeypatch.setattr(vigil, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(vigil, "KEEP_ALIVE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    async with serving() as (front, _, port), connected(port) as client:
        silent = await mute(port)
        await until(lambda: len(client.pings) >= 3)
        assert not client.closed.is_set()
        await asyncio.wait_for(silent[0].read(), 5)
        assert front.tallies.connections_silent == 1  # type: ignore[union-attr]  # it is a front
        silent[1].close()


async def test_a_call_whose_message_does_not_come_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from coordinator.wire.front import server

    monkeypatch.setattr(server, "SWEEP_S", 0.02)
    timing = Timing(client_stall_ms=200)
    async with serving(timing=timing) as (front, echoing, port), connected(port) as client:
        slow = client.open(call_fields("/test.Service/Slow"))
        client.send(slow, framed(put(b"x")))
        talk = client.open(call_fields("/test.Service/Talk"))
        late = [client.open(call_fields(ECHO)) for _ in range(3)]
        client.send(late[1], framed(put(b"x"))[:3])
        for stream_id in late:
            reply = await client.ended(stream_id)
            assert reply.status == "4" and "did not come" in reply.message
        # Calls whose message came, and streams, may take as long as they like.
        assert not client.replies[slow].over.is_set() and not client.replies[talk].over.is_set()
        echoing.go_on.set()
        assert (await client.ended(slow)).status == "0"
        client.reset(talk)
        assert isinstance(front, server.FrontServer) and front._host is not None
        await until(lambda: front.tallies.calls_open == 0)
        (left,) = front._host.connections
        assert isinstance(left, connection.FrontConnection)
        assert (left.unbegun, left.unfinished) == (0, 0)


async def mute(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Returns a connection that begins, and never says anything again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = RawClient(reader, writer)
    client.h2.initiate_connection()
    client.flush()
    return reader, writer


async def test_a_head_is_read_once() -> None:
    from coordinator.wire.front.heads import Head

    made = 0
    real = Head.__init__

    def count(self: Head, *args: object) -> None:
        nonlocal made
        made += 1
        real(self, *args)  # type: ignore[arg-type]  # handed on

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Head, "__init__", count)
        async with serving() as (_, _, port), connected(port) as client:
            for _ in range(10):
                await client.call(ECHO, framed(put(b"x")))
    # Until the client's table rests, blocks differ.
    assert made <= 3
