"""RFC 7541 for the reading side. One row for each rule, the examples of appendix C, and `hpack` as a witness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.wire.http2.decoding import STATIC_LENGTH, Decoder
from coordinator.wire.http2.events import Field
from coordinator.wire.http2.failures import ConnectionFailure, ListTooLarge
from coordinator.wire.http2.frames import Code
from tests.unit.wire.http2.bounds import memory_at_most

LIST_SIZE = 16_384
BROKEN = None


@dataclass(frozen=True)
class Row:
    section: str
    text: str
    fields: list[Field] | None
    """None: the block can't be decoded."""
    block: bytes
    prepare: Callable[[Decoder], object] = lambda decoder: None


def filled(*values: bytes) -> Callable[[Decoder], object]:
    """A table with entries named x, the last one the newest."""
    return lambda decoder: decoder.decode(
        b"".join(b"\x40\x01x" + bytes([len(v)]) + v for v in values)
    )


def overfilled(decoder: Decoder) -> None:
    filled(b"1")(decoder)
    decoder.decode(b"\x40\x01x\x7f\xe1\x1f" + bytes(4_192))


ROWS = [
    Row("2.3.3", "index 61, the last static one", [(b"www-authenticate", b"")], b"\xbd"),
    Row("2.3.3", "index 62, the newest dynamic one", [(b"x", b"2")], b"\xbe", filled(b"1", b"2")),
    Row("2.3.3", "index 63, the one before", [(b"x", b"1")], b"\xbf", filled(b"1", b"2")),
    Row("2.3.3", "an index behind the table", BROKEN, b"\xc0", filled(b"1", b"2")),
    Row("2.3.3", "an index with an empty table", BROKEN, b"\xbe"),
    Row("2.3.3", "the index of a name behind the table", BROKEN, b"\x7f\x00\x01v"),
    Row("3.2", "an empty block", [], b""),
    Row("4.2", "a size update at the beginning", [(b":method", b"GET")], b"\x20\x82"),
    Row(
        "4.2", "two size updates at the beginning", [(b":method", b"GET")], b"\x20\x3f\xe1\x1f\x82"
    ),
    Row("4.2", "a size update alone", [], b"\x20"),
    Row("4.2", "a size update after a field", BROKEN, b"\x82\x20"),
    Row("4.2", "a missing update after the limit fell", BROKEN, b"\x82", lambda d: d.allow(100)),
    Row("4.2", "an update after the limit fell", [], b"\x3f\x45", lambda d: d.allow(100)),
    Row("4.2", "an update above a limit that fell", BROKEN, b"\x3f\x46", lambda d: d.allow(100)),
    Row("4.3", "an update evicts", BROKEN, b"\x20\xbe", filled(b"1")),
    Row("4.4", "an entry larger than the table empties it", BROKEN, b"\xbe", overfilled),
    Row("5.1", "an integer that ends too early", BROKEN, b"\xff\x80"),
    Row("5.1", "an integer of too many octets", BROKEN, b"\xff" + b"\x80" * 10 + b"\x01"),
    Row("5.1", "an integer with leading zeros", BROKEN, b"\xff\x80\x80\x80\x80\x80\x00"),
    Row("5.2", "a literal string", [(b"ab", b"cd")], b"\x00\x02ab\x02cd"),
    Row(
        "5.2",
        "a Huffman string",
        [(b"x", b"www.example.com")],
        b"\x00\x01x\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
    ),
    Row("5.2", "empty strings", [(b"", b"")], b"\x00\x00\x80"),
    Row("5.2", "a string that ends too early", BROKEN, b"\x00\x02a"),
    Row("5.2", "a missing value", BROKEN, b"\x00\x01a"),
    Row("5.2", "padding of eight bits", BROKEN, b"\x00\x01x\x82\x1f\xff"),
    Row("5.2", "padding of zeros", BROKEN, b"\x00\x01x\x81\x18"),
    Row("5.2", "the end of strings inside of one", BROKEN, b"\x00\x01x\x84\xff\xff\xff\xff"),
    Row("6.1", "index 0", BROKEN, b"\x80"),
    Row("6.2.1", "a literal with indexing", [(b"x", b"y"), (b"x", b"y")], b"\x40\x01x\x01y\xbe"),
    Row(
        "6.2.1",
        "a literal with indexing and an indexed name",
        [(b":path", b"/a"), (b":path", b"/a")],
        b"\x44\x02/a\xbe",
    ),
    Row("6.2.2", "a literal without indexing", BROKEN, b"\x00\x01x\x01y\xbe"),
    Row(
        "6.2.2",
        "a literal without indexing and a large index",
        [(b"x", b"z")],
        b"\x0f\x2f\x01z",
        filled(b"1"),
    ),
    Row("6.2.3", "a literal never indexed", [(b":path", b"/a")], b"\x14\x02/a"),
    Row("6.3", "a size update above the limit", BROKEN, b"\x3f\xe2\x1f"),
]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"RFC7541-{n:03}-{row.section}-{row.text.replace(' ', '_')}")
        for n, row in enumerate(ROWS, 1)
    ],
)
def test_rule(row: Row) -> None:
    decoder = Decoder(LIST_SIZE)
    row.prepare(decoder)
    if row.fields is not None:
        assert decoder.decode(row.block) == row.fields
        return
    with pytest.raises(ConnectionFailure) as raised:
        decoder.decode(row.block)
    assert raised.value.code == Code.COMPRESSION_ERROR


HOST = (b":authority", b"www.example.com")
GET: list[Field] = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), HOST]
EXAMPLES = [
    (
        "C.3.1",
        "828684410f7777772e6578616d706c652e636f6d",
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        GET,
        57,
    ),
    (
        "C.3.2",
        "828684be58086e6f2d6361636865",
        "828684be5886a8eb10649cbf",
        [*GET, (b"cache-control", b"no-cache")],
        110,
    ),
    (
        "C.3.3",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":path", b"/index.html"),
            HOST,
            (b"custom-key", b"custom-value"),
        ],
        164,
    ),
]


@pytest.mark.parametrize("column", [1, 2], ids=["C.3 plain", "C.4 Huffman"])
def test_examples_of_requests(column: int) -> None:
    decoder = Decoder(LIST_SIZE)
    for example in EXAMPLES:
        assert decoder.decode(bytes.fromhex(str(example[column]))) == example[3], example[0]
        assert decoder.table_size_bytes == example[4]


def test_10_5_1_a_list_that_is_too_large_changes_the_table_all_the_same() -> None:
    decoder = Decoder(100)
    with pytest.raises(ListTooLarge):
        decoder.decode(b"\x40\x01x\x01y" * 4)
    assert decoder.decode(b"\xc1") == [(b"x", b"y")]
    with pytest.raises(ConnectionFailure):
        decoder.decode(b"\x82" * 10 + b"\xff\xff")


def test_a_block_that_expands_costs_no_memory() -> None:
    decoder = Decoder(LIST_SIZE)
    decoder.decode(b"\x40\x01x\x7f\x81\x1e" + b"v" * 3_968)
    block = b"\xbe" * 100_000  # Would be 400 MB, and 800 kB of references alone.
    with memory_at_most(100_000), pytest.raises(ListTooLarge):
        decoder.decode(block)


def test_changes_are_noticed() -> None:
    decoder = Decoder(LIST_SIZE)
    for block, changes in [
        (b"\x82\x00\x01x\x01y", False),
        (b"\x40\x01x\x01y", True),
        (b"\xbe", False),
        (b"\x20", True),
    ]:
        before = decoder.changes
        decoder.decode(block)
        assert (decoder.changes != before) == changes


NAMES = st.sampled_from([b"a", b"b", b"content-type", b"grpc-timeout", b":path"]) | st.binary(
    max_size=8
)
VALUES = st.sampled_from([b"1", b"2", b"application/grpc"]) | st.binary(max_size=40)
SIZES = st.sampled_from([0, 64, 200, 4096])
STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=8),
        st.booleans(),
        st.none() | SIZES,
    ),
    max_size=20,
)


@given(STEPS)
def test_decodes_what_hpack_encodes(
    steps: list[tuple[list[tuple[bytes, bytes, bool]], bool, int | None]],
) -> None:
    encoder, decoder = hpack.Encoder(), Decoder(1 << 20)
    for fields, huffman, size in steps:
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode(fields, huffman=huffman)
        assert decoder.decode(block) == [(name, value) for name, value, _ in fields]
        ours = [tuple(entry) for entry in reversed(decoder._entries)]
        assert ours == list(encoder.header_table.dynamic_entries)


def ours(decoder: Decoder, block: bytes) -> list[Field] | str:
    try:
        return decoder.decode(block)
    except ConnectionFailure:
        return "broken"
    except ListTooLarge:
        return "large"


def theirs(decoder: hpack.Decoder, block: bytes) -> list[Field] | str:
    try:
        return [(field[0], field[1]) for field in decoder.decode(block, raw=True)]
    except hpack.OversizedHeaderListError:
        return "large"
    except hpack.HPACKError:
        return "broken"


OCTETS = st.sampled_from(
    [
        b"\x82",
        b"\xbe",
        b"\xbf",
        b"\x40\x01x\x01y",
        b"\x44\x02/a",
        b"\x20",
        b"\x3f\xe1\x1f",
        b"\x00\x01x\x01y",
    ]
)


@given(st.lists(st.lists(OCTETS | st.binary(max_size=4), max_size=6).map(b"".join), max_size=6))
def test_agrees_with_hpack_on_any_bytes(blocks: list[bytes]) -> None:
    decoder, witness = Decoder(1 << 20), hpack.Decoder(1 << 20)
    for block in blocks:
        found = ours(decoder, block)
        assert found == theirs(witness, block)
        if found == "broken":
            break


def test_static_table() -> None:
    assert STATIC_LENGTH == 61
