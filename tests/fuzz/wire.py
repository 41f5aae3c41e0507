"""Targets: HTTP/2 from clients, and the header blocks in it."""

from __future__ import annotations

import hpack

from coordinator.wire.http2.decoding import Decoder
from coordinator.wire.http2.events import Field
from coordinator.wire.http2.failures import ConnectionFailure, ListTooLarge
from coordinator.wire.http2.frames import HEAD, PREFACE, settings, window_update
from tests.fuzz.target import Choices, Target, pack, unpack
from tests.unit.wire.http2.bounds import act, check_bounds, make, play
from tests.unit.wire.http2.dialogue import REQUEST

LIST_SIZE_BYTES_MAX = 4_096
PIECES_MAX = 50


def check_conversation(content: bytes) -> None:
    """Whatever comes, in whatever pieces: the same events and the same answers; and what is kept stays small."""
    choices = Choices(content)
    sizes = choices.bytes(4)
    stream = PREFACE + settings([]) + choices.bytes(choices.left)
    pieces: list[bytes] = []
    start = 0
    while start < len(stream):
        size = (
            1 + sizes[len(pieces) % len(sizes)]
            if sizes and len(pieces) < PIECES_MAX
            else len(stream)
        )
        pieces.append(stream[start : start + size])
        start += size
    assert play(pieces) == play([stream])
    connection = make()
    for number, piece in enumerate(pieces):
        for event in connection.receive(piece, float(number)):
            act(connection, event)
        check_bounds(connection)
        if number % 3 == 0:
            connection.output()


def frame(kind: int, flags: int, stream_id: int, content: bytes = b"") -> bytes:
    return HEAD.pack(len(content) << 8 | kind, flags, stream_id) + content


def conversations() -> list[bytes]:
    encoder = hpack.Encoder()
    blocks = [encoder.encode([*REQUEST, (b"grpc-timeout", b"%dm" % number)]) for number in range(3)]
    call = frame(1, 4, 1, blocks[0]) + frame(0, 1, 1, b"\0\0\0\0\1x")
    split = frame(1, 0, 3, blocks[1][:5]) + frame(9, 0, 3) + frame(9, 4, 3, blocks[1][5:])
    padded = frame(1, 0x2C, 5, b"\2" + bytes(5) + blocks[2] + bytes(2)) + frame(0, 8, 5, b"\1ab\0")
    trailers = frame(1, 5, 5, b"\x40\1x\1y")
    control = settings([(1, 0), (4, 5), (5, 20_000)]) + frame(6, 0, 0, bytes(8)) + frame(4, 1, 0)
    wide = window_update(0, 1 << 20) + window_update(1, 1 << 20) + frame(2, 0, 1, bytes(5))
    bye = frame(3, 0, 3, bytes(4)) + frame(7, 0, 0, bytes(8))
    streams = [
        call,
        call + split + padded + trailers,
        control + call + wide,
        call + split + bye,
        wide,
        bye,
    ]
    return [sizes + stream for stream in streams for sizes in (b"\xff" * 4, b"\0\5\x10\1")]


def decode(decoder: Decoder, block: bytes) -> list[Field] | str:
    try:
        return decoder.decode(block)
    except ConnectionFailure:
        return "broken"
    except ListTooLarge:
        return "large"


def check_blocks(content: bytes) -> None:
    """Blocks decode to what the `hpack` package makes of them, table included."""
    decoder, witness = Decoder(LIST_SIZE_BYTES_MAX), hpack.Decoder(LIST_SIZE_BYTES_MAX)
    for block in unpack(content):
        found = decode(decoder, block)
        try:
            expected: list[Field] | str = [
                (one[0], one[1]) for one in witness.decode(block, raw=True)
            ]
        except hpack.OversizedHeaderListError:
            return  # There the witness gives up, where the rest of the block may be anything.
        except hpack.HPACKError:
            expected = "broken"
        assert found == expected
        if found == "broken":
            return
        assert decoder._entries[::-1] == list(witness.header_table.dynamic_entries)
        assert decoder.table_size_bytes <= 4_096


def blocks() -> list[bytes]:
    encoder = hpack.Encoder()
    plain = [encoder.encode([*REQUEST, (b"n", b"%d" % n)], huffman=bool(n % 2)) for n in range(4)]
    encoder.header_table_size = 100
    plain += [encoder.encode(REQUEST), encoder.encode([(b"secret", b"value", True)])]
    return [pack(plain), pack(plain[:1]), pack([b"\x20\x82", b"\x3f\xe1\x1f\xbe"])]


TARGETS = [
    Target("http2", check_conversation, conversations),
    Target("hpack", check_blocks, blocks),
]
