"""Blocks that use no dynamic table, with `hpack` as the reader."""

from __future__ import annotations

import hpack
import pytest
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from coordinator.wire.http2.encoding import encode_block

FIELDS = st.lists(st.tuples(st.binary(max_size=200), st.binary(max_size=300)), max_size=5)


def decode(block: bytes) -> list[tuple[bytes, bytes]]:
    decoder = hpack.Decoder()
    fields = [(field[0], field[1]) for field in decoder.decode(block, raw=True)]
    assert not decoder.header_table.dynamic_entries
    return fields


@given(FIELDS)
def test_round_trip(fields: list[tuple[bytes, bytes]]) -> None:
    assert decode(encode_block(fields)) == fields


@pytest.mark.parametrize("index", range(61))
def test_static_entries(index: int) -> None:
    name, value = HeaderTable.STATIC_TABLE[index]
    block = encode_block([(name, value)])
    assert block == bytes([0x80 | index + 1])
    assert decode(encode_block([(name, b"other")])) == [(name, b"other")]


def test_the_shorter_form_is_used() -> None:
    assert encode_block([(b":status", b"200")]) == b"\x88"
    assert encode_block([(b"x", b"\xff\xfe")]) == b"\x00\x01x\x02\xff\xfe"
    assert len(encode_block([(b"x", b"www.example.com")])) == 3 + 1 + 12


@pytest.mark.parametrize("size", [126, 127, 128, 254, 255, 512, 513, 16_510, 16_511, 3_000_000])
def test_long_strings(size: int) -> None:
    field = (b"x", b"\xff" * size)
    decoder = hpack.Decoder(1 << 30)
    assert list(decoder.decode(encode_block([field]), raw=True)) == [field]
