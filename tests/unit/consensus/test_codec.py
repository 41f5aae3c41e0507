from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coordinator.consensus.codec import (
    HEADER,
    Append,
    AppendAck,
    CodecError,
    Hello,
    Message,
    Payload,
    Ping,
    Probe,
    ProbeAck,
    ReadReply,
    ReadRequest,
    RequestVote,
    SnapshotAck,
    SnapshotChunk,
    TermNotice,
    Vote,
    decode_payload,
    encode_frame,
)

counts = st.integers(0, 1 << 62)
texts = st.text(max_size=60)
contents = st.binary(max_size=200)
entries = st.lists(st.tuples(counts, contents), max_size=5).map(tuple)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello, counts, st.integers(0, (1 << 64) - 1), st.integers(1, (1 << 63) - 1), texts, texts
    ),
    st.builds(Ping),
    st.builds(RequestVote, counts, counts, counts),
    st.builds(Vote, counts),
    st.builds(Append, counts, counts, counts, counts, entries),
    st.builds(AppendAck, counts, st.booleans(), counts, counts),
    st.builds(TermNotice, counts),
    st.builds(Probe, counts, counts),
    st.builds(ProbeAck, counts, counts),
    st.builds(ReadRequest, counts),
    st.builds(ReadReply, counts, counts),
    st.builds(SnapshotChunk, counts, counts, counts, counts, counts, contents),
    st.builds(SnapshotAck, counts, counts, counts, st.booleans()),
    st.builds(Payload, contents),
)


def decode_frame(frame: bytes) -> Message:
    size, checksum = HEADER.unpack_from(frame)
    payload = frame[HEADER.size :]
    assert len(payload) == size
    return decode_payload(payload, checksum)


@given(messages)
def test_messages_survive_the_wire(message: Message) -> None:
    assert decode_frame(encode_frame(message)) == message


@given(messages, st.data())
def test_a_flipped_bit_is_noticed(message: Message, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(message))
    bit = data.draw(st.integers(4 * 8, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CodecError):
        decode_frame(bytes(frame))


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 300)
def test_junk_is_a_codec_error_or_a_message(junk: bytes) -> None:
    try:
        message = decode_payload(junk, zlib.crc32(junk))
    except CodecError:
        return
    assert isinstance(message, Message)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x92\xa1\xff\x01",
        b"\x96\x01\x01\x07\x01\xa1\xff\xa0",
        b"\x96\x01\x01\x07\x01\xa0\xa2n\xff",
        b"\x82\xa1\xff\x04\xa4term\x01",
        b"\x92\x0e" + b"\x91" * 100_000,
    ],
    ids=["tag", "name", "client address", "key", "nesting"],
)
def test_text_that_is_none_is_a_codec_error(junk: bytes) -> None:
    with pytest.raises(CodecError):
        decode_payload(junk, zlib.crc32(junk))


@given(messages, st.data())
def test_shortened_messages_are_refused(message: Message, data: st.DataObject) -> None:
    payload = encode_frame(message)[HEADER.size :]
    short = payload[: data.draw(st.integers(0, len(payload) - 1))]
    with pytest.raises(CodecError):
        decode_payload(short, zlib.crc32(short))


@pytest.mark.parametrize(
    "fields",
    [
        [99, 1],
        ["append_entries", 1],
        [4],
        [4, 1, 2],
        [4, -1],
        [4, 1.5],
        [4, "1"],
        [4, None],
        [4, 1 << 63],
        [5, 1, 0, 0, 0, [[1, "text"]]],
        [5, 1, 0, 0, 0, [[1]]],
        [5, 1, 0, 0, 0, [[1, b"", b""]]],
        [1, 1, 7, 0, "n1", ""],
        [1, 1, 7, 1, "n" * 256, ""],
        {"type": 4, "term": 1},
        None,
    ],
)
def test_wrong_shapes_are_refused(fields: object) -> None:
    payload = msgspec.msgpack.encode(fields)
    with pytest.raises(CodecError):
        decode_payload(payload, zlib.crc32(payload))


def test_what_could_run_code_elsewhere_is_only_bytes_here() -> None:
    """A pickled object in every field that takes bytes is carried, and nothing looks into it."""
    poison = b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93."
    for message in (
        Append(1, 0, 0, 0, ((1, poison),)),
        SnapshotChunk(1, 1, 1, 1, 0, poison),
        Payload(poison),
    ):
        assert decode_frame(encode_frame(message)) == message
    with pytest.raises(CodecError):
        decode_payload(poison, zlib.crc32(poison))
