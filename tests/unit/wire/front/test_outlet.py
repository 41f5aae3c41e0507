"""Clients that are slow to read, or never do: whom it stops, and what is held for them."""

from __future__ import annotations

import asyncio
import socket

import h2.settings
import pytest

from coordinator.config import Limits, Timing
from coordinator.wire.front import outlet, server
from coordinator.wire.http2.connection import Connection
from coordinator_client.pb import kv_pb2 as pb
from tests.unit.wire.echoing import SHARED, Echoing, put, serving, until
from tests.unit.wire.front.raw_client import RawClient, call_fields, connected, framed

FEED, ECHO = "/test.Service/Feed", "/test.Service/Echo"
WIDE = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}


async def settled(echoing: Echoing) -> int:
    """Returns how many messages were sent once no more are."""
    before = -1
    while before != echoing.sent:
        before = echoing.sent
        await asyncio.sleep(0.1)
    return before


async def test_a_stream_whose_window_is_closed_waits_and_others_go_on() -> None:
    async with serving() as (_, echoing, port), connected(port, reads=False) as client:
        stream_id = client.open(call_fields(FEED))
        client.send(stream_id, framed(put(b"300 10000")))
        sent = await settled(echoing)
        # The client's window, the bound, and one more message.
        assert sent * 10_000 <= 65_535 + outlet.UNSENT_BYTES_MAX + 20_000
        client.h2.increment_flow_control_window(1_000_000)
        client.flush()
        reply = await client.call(ECHO, framed(put(b"x")))
        assert reply.status == "0"
        client.h2.increment_flow_control_window(100_000, stream_id)
        client.flush()
        assert sent < await settled(echoing) < sent + 20
        client.reads = True
        client.h2.increment_flow_control_window(20_000_000)
        client.h2.increment_flow_control_window(20_000_000, stream_id)
        client.flush()
        reply = await client.ended(stream_id)
        assert reply.status == "0" and len(reply.messages) == 300


async def test_very_many_streams_whose_windows_open_together() -> None:
    count = 3 * outlet.RELEASED_AT_ONCE
    async with serving() as (_, echoing, port), connected(port, reads=False) as client:
        streams = [client.open(call_fields(FEED)) for _ in range(count)]
        for stream_id in streams:
            client.send(stream_id, framed(put(b"40 5000")))
        await settled(echoing)
        assert echoing.ended == 0
        client.reads = True
        client.h2.increment_flow_control_window(100_000_000)
        client.flush()
        for stream_id in streams:
            client.h2.increment_flow_control_window(1_000_000, stream_id)
        client.flush()
        for stream_id in streams:
            reply = await client.ended(stream_id)
            assert reply.status == "0" and len(reply.messages) == 40


async def test_small_windows_and_large_messages() -> None:
    tiny = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10}
    async with serving() as (_, _, port), connected(port, settings=tiny) as client:
        reply = await client.call(FEED, framed(put(b"3 5000")))
        assert reply.status == "0"
        assert [len(pb.PutResponse.FromString(m).key) for m in reply.messages] == [5000] * 3
        reply = await client.call("/test.Service/Big", framed(put(b"20000")))
        assert len(pb.PutResponse.FromString(reply.messages[0]).key) == 20_000


async def deaf(port: int, *requests: tuple[str, bytes]) -> RawClient:
    """Returns a client with wide windows that asks, and reads nothing from its socket."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # all transports of sockets can
    client = RawClient(reader, writer, reads=False)
    client.h2.local_settings = h2.settings.Settings(
        client=True,
        initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1},
    )
    client.h2.initiate_connection()
    client.h2.increment_flow_control_window(2**31 - 65_536)
    client.flush()
    for path, message in requests:
        client.send(client.open(call_fields(path)), framed(message), ended=True)
    return client


async def test_a_client_that_reads_nothing_stops_its_own_streams_only() -> None:
    async with serving() as (_, echoing, port), connected(port) as other:
        client = await deaf(port, (FEED, put(b"100000 10000")), (FEED, put(b"100000 10000")))
        sent = await settled(echoing)
        assert sent * 10_000 < 12_000_000
        assert (await other.call(ECHO, framed(put(b"x")))).status == "0"
        client.writer.transport.abort()
        await until(lambda: echoing.ended == 2)


async def test_one_that_reads_later_gets_all() -> None:
    async with serving() as (_, echoing, port):
        client = await deaf(port, *((FEED, put(b"300 10000")) for _ in range(3)))
        await settled(echoing)
        assert echoing.sent < 900
        client.reads = True
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # likewise
        client._reading = asyncio.create_task(client._read())
        for stream_id in list(client.replies):
            reply = await client.ended(stream_id)
            assert reply.status == "0" and len(reply.messages) == 300
        await client.close()


@pytest.mark.parametrize(("unread_max", "stall_ms"), [(1_000_000, 60_000), (20_000_000, 300)])
async def test_one_that_never_reads_its_replies_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, unread_max: int, stall_ms: int
) -> None:
    """At once with four times what may stall, else when it has stalled for a while."""
    monkeypatch.setattr(server, "SWEEP_S", 0.05)
    limits = Limits(connection_unread_bytes_max=unread_max)
    timing = Timing(client_stall_ms=stall_ms)
    async with serving(limits=limits, timing=timing) as (front, _, port):
        big = put(b"10000000")
        client = await deaf(port, *(("/test.Service/Big", big) for _ in range(4)))
        tallies = front.tallies  # type: ignore[union-attr]  # it is a front
        await until(lambda: tallies.connections_stalled == 1)
        await until(lambda: tallies.connections_open == tallies.calls_open == 0)
        client.writer.transport.abort()


async def test_a_method_that_sends_without_end_lets_others_have_their_turn() -> None:
    async with (
        serving() as (_, echoing, port),
        connected(port, settings=WIDE) as client,
        connected(port) as other,
    ):
        client.h2.increment_flow_control_window(2**31 - 65_536)
        client.send(client.open(call_fields(FEED)), framed(put(b"1000000 1000")))
        await until(lambda: echoing.sent > 1000)
        for _ in range(5):
            assert (await other.call(ECHO, framed(put(b"x")))).status == "0"
        assert echoing.sent < 1_000_000


async def test_replies_of_a_turn_leave_in_one_write() -> None:
    async with serving() as (_front, _, port), connected(port) as client:
        await client.call(ECHO, framed(put(b"x")))
        writes = 0
        real = outlet.Outlet._write

        def count(self: outlet.Outlet) -> None:
            nonlocal writes
            writes += 1
            real(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outlet.Outlet, "_write", count)
            streams = []
            for _ in range(50):
                streams.append(client.h2.get_next_available_stream_id())
                client.h2.send_headers(streams[-1], call_fields(ECHO))
                client.h2.send_data(streams[-1], framed(put(b"x")), end_stream=True)
                client.replies[streams[-1]] = type(client.replies[1])()
            client.flush()
            for stream_id in streams:
                assert (await client.ended(stream_id)).status == "0"
        assert writes <= 4


async def test_what_many_streams_share_is_not_copied() -> None:
    written: list[bytes] = []
    real = Connection.output

    def note(self: Connection) -> list[bytes]:
        pieces = real(self)
        written.extend(pieces)
        return pieces

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "output", note)
        async with serving() as (_, echoing, port), connected(port) as client:
            streams = [client.open(call_fields("/test.Service/Share")) for _ in range(5)]
            await until(lambda: echoing.begun == 5)
            echoing.go_on.set()
            for stream_id in streams:
                reply = await client.ended(stream_id)
                message = pb.PutResponse.FromString(reply.messages[0])
                assert reply.status == "0" and message.key == b"b" * 10
    assert sum(piece is SHARED[0] for piece in written) == 5
