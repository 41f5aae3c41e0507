"""Calls, frame by frame: how messages may come, and how a call may end."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from coordinator.config import Limits
from coordinator.wire import terms
from coordinator_client.pb import kv_pb2 as pb
from tests.unit.wire.echoing import put, serving, until
from tests.unit.wire.front.raw_client import RawClient, Reply, call_fields, connected, framed

ECHO, TALK, COLLECT = "/test.Service/Echo", "/test.Service/Talk", "/test.Service/Collect"
LIMITS = Limits(request_size_bytes_max=1_000)


def keys(reply: Reply) -> list[bytes]:
    return [pb.PutResponse.FromString(message).key for message in reply.messages]


async def answer(path: str, *pieces: bytes, extra: tuple[tuple[str, str], ...] = ()) -> Reply:
    async with serving(limits=LIMITS) as (_, _, port), connected(port) as client:
        return await client.call(path, *pieces, fields=call_fields(path, extra))


async def test_a_unary_call() -> None:
    reply = await answer(ECHO, framed(put(b"abc")))
    assert reply.headers == {":status": "200", "content-type": "application/grpc"}
    assert keys(reply) == [b"abc"]
    assert reply.trailers == {"grpc-status": "0"} and reply.reset is None


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 9])
@pytest.mark.parametrize("path", [ECHO, TALK])
async def test_a_message_in_pieces(path: str, size: int) -> None:
    whole = framed(put(b"abc"))
    reply = await answer(path, *(whole[i : i + size] for i in range(0, len(whole), size)))
    assert keys(reply) == [b"abc"] and reply.status == "0"


async def test_an_end_in_a_frame_of_its_own() -> None:
    for path in (ECHO, TALK):
        reply = await answer(path, framed(put(b"abc")), b"")
        assert keys(reply) == [b"abc"] and reply.status == "0"


async def test_many_messages_in_one_frame() -> None:
    reply = await answer(TALK, b"".join(framed(put(b"%d" % i)) for i in range(100)))
    assert keys(reply) == [b"%d" % i for i in range(100)]
    assert reply.trailers == {"grpc-status": "0"}


async def test_trailers_of_a_client_end_its_request() -> None:
    async with serving() as (_, _, port), connected(port) as client:
        for path in (ECHO, TALK):
            stream_id = client.open(call_fields(path))
            client.send(stream_id, framed(put(b"abc")))
            client.h2.send_headers(stream_id, [("x", "y")], end_stream=True)
            client.flush()
            reply = await client.ended(stream_id)
            assert keys(reply) == [b"abc"] and reply.status == "0"


@pytest.mark.parametrize("pieces", [(), (b"",), (b"\0\0",), (framed(put(b"abc"))[:-1],)])
async def test_a_unary_call_without_a_message(pieces: tuple[bytes, ...]) -> None:
    reply = await answer(ECHO, *pieces)
    assert (reply.status, reply.blocks) == ("12", 1)


async def test_what_follows_the_message_of_a_unary_call_is_passed_over() -> None:
    reply = await answer(ECHO, framed(put(b"a")) + framed(put(b"b")))
    assert keys(reply) == [b"a"] and reply.status == "0"
    reply = await answer(ECHO, framed(put(b"a")), b"garbage")
    assert keys(reply) == [b"a"] and reply.status == "0"


async def test_a_unary_call_is_served_before_its_client_says_that_this_was_all() -> None:
    async with serving() as (_, _, port), connected(port) as client:
        stream_id = client.open(call_fields(ECHO))
        client.send(stream_id, framed(put(b"a")))
        reply = await client.ended(stream_id)
        assert keys(reply) == [b"a"] and reply.status == "0"
        await until(lambda: reply.reset == 0)


async def test_an_unfinished_message_of_a_stream_is_passed_over() -> None:
    reply = await answer(COLLECT, framed(put(b"a")) + framed(put(b"b"))[:-1])
    assert keys(reply) == [b"1 1"] and reply.status == "0"


@pytest.mark.parametrize("path", [ECHO, COLLECT])
async def test_compressed_messages(path: str) -> None:
    packed = framed(gzip.compress(put(b"abc" * 200)), 1)
    reply = await answer(path, packed, extra=(("grpc-encoding", "gzip"),))
    assert reply.status == "0" and len(reply.messages) == 1
    assert (await answer(path, packed)).status == "13"
    reply = await answer(path, packed, extra=(("grpc-encoding", "snappy"),))
    assert reply.status == "12" and reply.headers["grpc-accept-encoding"]


@pytest.mark.parametrize("path", [ECHO, COLLECT])
async def test_a_message_that_is_too_large_is_refused_when_it_begins(path: str) -> None:
    async with serving(limits=LIMITS) as (server, _echoing, port), connected(port) as client:
        stream_id = client.open(call_fields(path))
        client.send(stream_id, framed(b"x" * 2_097_153)[:100])
        reply = await client.ended(stream_id)
        assert reply.status == "8" and "larger than max" in reply.message
        await until(lambda: reply.reset == 0)
        assert server.tallies.calls_open == 0  # type: ignore[union-attr]  # it is a front


@pytest.mark.parametrize("path", [ECHO, TALK])
async def test_the_largest_message(path: str) -> None:
    async with serving() as (_, _, port), connected(port) as client:
        message = put(b"x" * (3 * 1024 * 1024 - 10))
        stream_id = client.open(call_fields(path))
        whole = memoryview(framed(message))
        while whole:
            room = min(client.h2.local_flow_control_window(stream_id), 16_384, len(whole))
            client.send(stream_id, bytes(whole[:room]), ended=room == len(whole))
            whole = whole[room:]
            await asyncio.sleep(0)
        reply = await client.ended(stream_id)
        assert reply.status == "0" and len(keys(reply)[0]) == 3 * 1024 * 1024 - 10


async def test_a_deadline_passes() -> None:
    async with serving() as (_, echoing, port), connected(port) as client:
        for path, blocks in (("/test.Service/Slow", 1), ("/test.Service/Linger", 2)):
            fields = call_fields(path, [("grpc-timeout", "50m")])
            reply = await client.call(path, framed(put(b"")), fields=fields)
            assert (reply.status, reply.message) == ("4", "Deadline Exceeded")
            assert reply.blocks == blocks
        await until(lambda: echoing.cancelled == 2)
        fields = call_fields(ECHO, [("grpc-timeout", "0n")])
        assert (await client.call(ECHO, framed(put(b"")), fields=fields)).status == "4"
        # Also while nothing has come of the message.
        stream_id = client.open(call_fields(ECHO, [("grpc-timeout", "50m")]))
        assert (await client.ended(stream_id)).status == "4"


async def test_a_reset_cancels() -> None:
    async with serving() as (server, echoing, port), connected(port) as client:
        for path in ("/test.Service/Slow", "/test.Service/Linger"):
            before = echoing.cancelled
            stream_id = client.open(call_fields(path))
            client.send(stream_id, framed(put(b"")))
            await until(lambda: echoing.begun > echoing.ended)
            client.reset(stream_id)
            await until(lambda b=before: echoing.cancelled == b + 1)
        # Before a message has come; and one that has been answered.
        stream_id = client.open(call_fields(ECHO))
        client.reset(stream_id)
        assert (await client.call(ECHO, framed(put(b"x")))).status == "0"
        tallies = server.tallies  # type: ignore[union-attr]  # it is a front
        assert tallies.calls_open == 0 and tallies.ended[1] == 3


async def test_methods_that_misbehave() -> None:
    async with serving() as (_, _, port), connected(port) as client:
        cancelled = await client.call("/test.Service/Odd", framed(put(b"cancel")))
        assert cancelled.status == "1"
        nothing = await client.call("/test.Service/Odd", framed(put(b"")))
        assert (nothing.status, nothing.message) == ("13", terms.INTERNAL_WORDS)


async def test_a_client_that_leaves_ends_all_its_calls() -> None:
    async with serving() as (server, echoing, port):
        async with connected(port) as client:
            for path in ("/test.Service/Slow", "/test.Service/Linger", TALK):
                client.send(client.open(call_fields(path)), framed(put(b"")))
            await until(lambda: echoing.begun == 2)
        await until(lambda: echoing.cancelled == 2)
        tallies = server.tallies  # type: ignore[union-attr]  # it is a front
        await until(lambda: tallies.calls_open == tallies.connections_open == 0)


async def test_messages_that_nobody_takes_hold_up_no_other_stream() -> None:
    async with serving() as (_, _, port), connected(port) as client:
        stuck = client.open(call_fields("/test.Service/Linger"))
        sent = await fill(client, stuck)
        assert sent <= 1024 * 1024
        assert (await client.call(ECHO, framed(put(b"x")))).status == "0"


async def fill(client: RawClient, stream_id: int) -> int:
    """Sends until no more may be sent for a while; returns how many bytes."""
    sent = quiet = 0
    piece = framed(put(b"x" * 10_000))
    while quiet < 20:
        if client.h2.local_flow_control_window(stream_id) >= len(piece):
            client.send(stream_id, piece)
            sent, quiet = sent + len(piece), 0
        else:
            quiet += 1
            await asyncio.sleep(0.005)
    return sent
