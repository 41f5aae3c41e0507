"""Messages out of pieces: however they are cut, and what is no message."""

from __future__ import annotations

import gzip
import time
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.errors import Status
from coordinator.wire.front.messages import Assembly, BrokenMessages
from tests.unit.wire.front.raw_client import framed

GZIP, DEFLATE = 31, 15


def taken(*pieces: bytes, size_max: int = 1_000, bits: int = 0) -> list[bytes]:
    messages: list[bytes] = []
    assembly = Assembly(size_max, bits)
    for piece in pieces:
        assembly.feed(piece, messages.append)
    return messages


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_gives_the_same_messages(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(framed, messages))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert taken(*pieces) == messages
    assert taken(*(bytes((byte,)) for byte in stream)) == messages


def test_what_is_unfinished_is_known() -> None:
    assembly, messages = Assembly(100, 0), list[bytes]()
    assembly.feed(framed(b"abc") + b"\0\0", messages.append)
    assert (assembly.unfinished, messages) == (2, [b"abc"])
    assembly.feed(b"\0\0\5he", messages.append)
    assert assembly.unfinished == 7
    assembly.feed(b"llo", messages.append)
    assert (assembly.unfinished, messages) == (0, [b"abc", b"hello"])


def test_a_slow_drip_takes_time_that_grows_with_the_bytes() -> None:
    stream = framed(b"x" * 1_000_000)
    began = time.process_time()
    assert len(taken(*(stream[i : i + 1] for i in range(len(stream))), size_max=2_000_000)) == 1
    assert time.process_time() - began < 5


@pytest.mark.parametrize(("bits", "pack"), [(GZIP, gzip.compress), (DEFLATE, zlib.compress)])
def test_compressed_and_plain_messages(bits: int, pack: object) -> None:
    packed = pack(b"hello" * 100)  # type: ignore[operator]  # one of two functions
    stream = framed(packed, 1) + framed(b"plain") + framed(packed, 1)
    assert taken(stream, bits=bits) == [b"hello" * 100, b"plain", b"hello" * 100]


def broken(*pieces: bytes, bits: int = 0) -> tuple[Status, str]:
    with pytest.raises(BrokenMessages) as caught:
        taken(*pieces, bits=bits)
    return caught.value.status, caught.value.words


def test_too_large() -> None:
    assert broken(b"\0" + (1_001).to_bytes(4, "big")) == (
        Status.RESOURCE_EXHAUSTED,
        "SERVER: Received message larger than max (1001 vs. 1000)",
    )
    assert taken(framed(b"x" * 1_000)) == [b"x" * 1_000]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 100_000)
    assert len(bomb) < 1_000
    status, words = broken(framed(bomb, 1), bits=GZIP)
    assert (status, words) == (Status.RESOURCE_EXHAUSTED, "Decompressed message larger than max")
    assert taken(framed(gzip.compress(b"\0" * 1_000), 1), bits=GZIP) == [b"\0" * 1_000]


@pytest.mark.parametrize(
    "packed", [b"", b"nonsense", gzip.compress(b"hello", mtime=0)[:-3], zlib.compress(b"hello")]
)
def test_what_can_not_be_unpacked(packed: bytes) -> None:
    assert broken(framed(packed, 1), bits=GZIP)[0] == Status.INTERNAL


def test_flags() -> None:
    assert broken(framed(b"x", 2))[0] == Status.INTERNAL
    assert "no encoding" in broken(framed(b"x", 1))[1]
