"""What is kept of header blocks is what a reader without any memory of them reads."""

from __future__ import annotations

import contextlib

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.wire.http2 import Http2Limits
from coordinator.wire.http2.blocks import BlockReader
from coordinator.wire.http2.failures import ConnectionFailure, ListTooLarge, Malformed
from tests.unit.wire.http2.dialogue import REQUEST, Fields

INDEXED = b"\x83\x86\x44\x02/a"
"""POST, http, and a path that goes into the table."""


def test_blocks_are_kept_while_the_table_rests() -> None:
    reader = BlockReader(Http2Limits())
    first = reader.read_request(INDEXED)
    assert reader.read_request(INDEXED) is not first, "it changes the table"
    kept = reader.read_request(b"\x83\x86\xbe")
    assert reader.read_request(b"\x83\x86\xbe") is kept
    assert kept.fields == first.fields


@pytest.mark.parametrize("change", [INDEXED, b"\x20\x83\x86\x84", b"\x83\x86\x84\x40\x01X\x01y"])
def test_nothing_is_kept_when_the_table_changes(change: bytes) -> None:
    reader = BlockReader(Http2Limits())
    reader.read_request(b"\x83\x86\x44\x02/b\x40\x01x\x01y")
    kept = reader.read_request(b"\x83\x86\xbf\xbe")
    assert reader.read_request(b"\x83\x86\xbf\xbe") is kept
    reader.skip(change)
    with contextlib.suppress(ConnectionFailure, Malformed):
        assert reader.read_request(b"\x83\x86\xbf\xbe").fields != kept.fields


def test_what_is_refused_is_not_kept() -> None:
    reader = BlockReader(Http2Limits(header_list_size_bytes_max=200))
    for _ in range(2):
        with pytest.raises(Malformed):
            reader.read_request(b"\x83")
        with pytest.raises(ListTooLarge):
            reader.read_request(b"\x83" * 10)
    with pytest.raises(Malformed):
        reader.read_trailers(b"\x83")
    reader.skip(b"\x83")
    with pytest.raises(ConnectionFailure):
        reader.skip(b"\xff")


def test_what_is_kept_is_bounded() -> None:
    limits = Http2Limits(block_cache_entries_max=5, block_cache_size_bytes_max=2_000)
    reader = BlockReader(limits)
    for number in range(100):
        reader.read_request(b"\x83\x86\x04\x03/%02d" % number)
        assert len(reader._kept) <= 5
    for number in range(100):
        reader.read_request(b"\x83\x86\x04\x7d/" + b"%0124d" % number)
        assert reader._kept_size <= 2_000
    reader.read_request(b"\x83\x86\x04\x7f\xff\x1f/" + bytes(4_221).replace(b"\0", b"x"))
    assert reader._kept_size <= 2_000, "one that is too large is not kept"


EXTRA: st.SearchStrategy[Fields] = st.lists(
    st.sampled_from(
        [(b"a", b"1"), (b"a", b"2"), (b"b", b"1" * 900), (b"c", b"3"), (b"d", b"x" * 2_000)]
    ),
    max_size=4,
)


@given(
    st.lists(st.tuples(EXTRA, st.none() | st.sampled_from([0, 100, 4096])), max_size=40), st.data()
)
def test_kept_or_not_it_is_what_hpack_decodes(
    steps: list[tuple[Fields, int | None]], draw: st.DataObject
) -> None:
    encoder, witness = hpack.Encoder(), hpack.Decoder()
    reader = BlockReader(Http2Limits(block_cache_entries_max=4))
    for extra, size in steps:
        if size is not None:
            encoder.header_table_size = size
        never_indexed = draw.draw(st.booleans())
        block = encoder.encode([(name, value, never_indexed) for name, value in REQUEST + extra])
        expected = [(field[0], field[1]) for field in witness.decode(block, raw=True)]
        assert list(reader.read_request(block).fields) == expected == REQUEST + extra
