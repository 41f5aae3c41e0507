"""What one connection does with bytes; who may connect at all is in test_transport.py."""

from __future__ import annotations

import random
import zlib

import pytest

from coordinator.consensus.codec import HEADER, Payload, Ping, Vote, encode_frame
from tests.unit.consensus.sockets import End, Stranger, free_peers, hello


async def connect(end: End) -> Stranger:
    """A stranger that passes for member 2."""
    stranger = await Stranger.connect(end.config.this)
    stranger.say(hello(2))
    await end.listener.until(lambda: end.transport.connected(2))
    return stranger


async def test_frames_in_any_pieces_are_whole_messages() -> None:
    chance = random.Random(1)
    expected = [Payload(chance.randbytes(chance.randint(0, 3_000))) for _ in range(50)]
    stream = b"".join(map(encode_frame, expected))
    async with End(free_peers(2), 1) as end:
        stranger = await connect(end)
        while stream:
            size = chance.choice([1, 7, 100, 5_000])
            stranger.write(stream[:size])
            stream = stream[size:]
            await stranger.writer.drain()
        await end.listener.until(lambda: len(end.listener.messages) == 50)
        assert [message for _, message in end.listener.messages] == expected
        await stranger.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (HEADER.pack(64 * 1024 + 1, 0), "beyond the limit"),
        (HEADER.pack(0xFFFFFFFF, 0), "beyond the limit"),
        (HEADER.pack(0, 0), "beyond the limit"),
        (HEADER.pack(3, 1) + b"\x91\x04\x01", "checksum"),
        (encode_frame(Vote(1))[:4] + b"\0\0\0\0" + encode_frame(Vote(1))[8:], "checksum"),
        (HEADER.pack(1, zlib.crc32(b"0")) + b"0", "holds no message"),
        (encode_frame(hello(2)), "introduced itself twice"),
    ],
)
async def test_bad_frames_end_the_connection(
    content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with End(free_peers(2), 1) as end:
        stranger = await connect(end)
        stranger.write(content + encode_frame(Vote(7)))
        await end.listener.until(lambda: end.listener.losses == [2])
        assert not end.listener.messages
        await stranger.close()
    assert reason in caplog.text


async def test_before_the_hello_only_a_small_frame_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with End(free_peers(2), 1) as end:
        stranger = await Stranger.connect(end.config.this)
        stranger.write(HEADER.pack(4_097, 0))
        assert await stranger.rest() == b""
        await stranger.close()
    assert "a frame of 4097 bytes is beyond the limit of 4096" in caplog.text


async def test_junk_ends_the_connection() -> None:
    chance = random.Random(2)
    async with End(free_peers(2), 1) as end:
        for size in (8, 9, 50, 1_000):
            stranger = await Stranger.connect(end.config.this)
            stranger.write(chance.randbytes(size))
            assert await stranger.rest() == b""
            await stranger.close()
        assert not end.listener.connections


async def test_something_else_than_a_hello_first_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with End(free_peers(2), 1) as end:
        stranger = await Stranger.connect(end.config.this)
        stranger.say(Vote(1))
        assert await stranger.rest() == b""
        await stranger.close()
    assert "did not introduce itself" in caplog.text


async def test_who_says_nothing_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with End(free_peers(2), 1, hello_timeout_ms=50) as end:
        stranger = await Stranger.connect(end.config.this)
        assert await stranger.rest() == b""
        await stranger.close()
    assert "did not introduce itself in time" in caplog.text


async def test_pings_are_not_passed_on() -> None:
    async with End(free_peers(2), 1) as end:
        stranger = await connect(end)
        stranger.say(Ping(), Vote(1))
        await end.listener.until(lambda: bool(end.listener.messages))
        assert end.listener.messages == [(2, Vote(1))]
        await stranger.close()
