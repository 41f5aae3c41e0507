"""Targets: messages between members, and the connections that they arrive on."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from coordinator.consensus.codec import (
    HEADER,
    Append,
    AppendAck,
    CodecError,
    Farewell,
    Message,
    Payload,
    Ping,
    PreVote,
    RequestVote,
    SnapshotAck,
    SnapshotChunk,
    Vote,
    decode_payload,
    encode_frame,
)
from coordinator.consensus.connection import Connection
from coordinator.consensus.interface import Peer
from coordinator.consensus.transport import TcpTransport
from tests.fuzz.target import LOOP, Choices, Target, pack, unpack
from tests.unit.consensus.sockets import NotedListener, hello, make_config

PEERS = tuple(Peer(number, f"n{number}", f"127.0.0.1:{number}") for number in (1, 2, 3))
FRAME_SIZE_BYTES_MAX = 64 * 1024
MESSAGES: list[Message] = [
    hello(2),
    Ping(),
    RequestVote(3, 4, 2, True),
    Vote(3),
    Append(3, 1, 0, 1, ((3, b"\x00one"), (3, b"\x01"))),
    AppendAck(3, True, 4, 2),
    SnapshotChunk(3, 9, 2, 100, 0, b"chunk"),
    SnapshotAck(3, 9, 50, False),
    Payload(b"payload"),
    PreVote(4, 4, 2),
    Farewell(),
    hello(3, client_address="x" * 255),
    hello(1),
    hello(2, cluster_key=0),
]
_PAYLOADS = [encode_frame(message)[HEADER.size :] for message in MESSAGES]


def check_message(content: bytes) -> None:
    """What can be decoded can be encoded, and is then the same; all else is a CodecError."""
    try:
        message = decode_payload(content, zlib.crc32(content))
    except CodecError:
        return
    again = encode_frame(message)[HEADER.size :]
    assert decode_payload(again, zlib.crc32(again)) == message


class Wire(asyncio.Transport):
    """A socket that only remembers whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 5) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


async def receive(stream: bytes, sizes: list[int], *, dialed: bool, known: bool) -> object:
    """What a member makes of a stream that arrives in pieces of these sizes, the last one again and again."""
    listener = NotedListener()
    transport = TcpTransport(
        make_config(PEERS, 1, frame_size_bytes_max=FRAME_SIZE_BYTES_MAX), listener
    )
    transport.set_peers(PEERS, (4,))
    wire = Wire()
    connection = Connection(transport, 2 if dialed else None)
    connection.connection_made(wire)
    if known:
        connection.data_received(encode_frame(hello(2)))
        assert connection.member == 2
    position = 0
    for number in range(len(stream)):
        if position >= len(stream) or wire.closed:
            break
        size = max(1, sizes[min(number, len(sizes) - 1)])
        connection.data_received(stream[position : position + size])
        position += size
        assert len(connection._buffer) <= FRAME_SIZE_BYTES_MAX + HEADER.size + size
    connection.connection_lost(None)
    connected = [member for member, _ in listener.connections]
    assert listener.losses == connected
    return connected, listener.messages, listener.removals, wire.closed


async def _check_stream(content: bytes) -> None:
    choices = Choices(content)
    flags = choices.byte()
    sizes = list(choices.bytes(4)) or [1]
    rest = choices.bytes(choices.left)
    if flags & 4:
        # Frames whose headers fit their payloads: what is wrong lies deeper.
        parts = unpack(rest)
        stream = b"".join(HEADER.pack(len(part), zlib.crc32(part)) + part for part in parts)
    else:
        stream = rest
    dialed, known = bool(flags & 1), bool(flags & 2)
    whole = await receive(stream, [len(stream)], dialed=dialed, known=known)
    assert await receive(stream, sizes, dialed=dialed, known=known) == whole


def check_stream(content: bytes) -> None:
    """Whatever arrives, in whatever pieces: the same messages, or the connection is closed."""
    LOOP.run(_check_stream(content))


def stream_seeds() -> list[bytes]:
    frames = b"".join(map(encode_frame, MESSAGES[1:9]))
    greeted = encode_frame(hello(2)) + frames
    return [
        b"\x00\x01\x07\x13\xff" + greeted,
        b"\x01\x01\x07\x13\xff" + greeted,
        b"\x02\x05\x01\x64\x09" + frames,
        b"\x01\xff\xff\xff\xff" + encode_frame(Farewell()),
        b"\x02\xff\xff\xff\xff" + HEADER.pack(0xFFFFFFFF, 0) + b"x" * 20,
        b"\x00\xff\xff\xff\xff" + HEADER.pack(4_097, 0) + b"x" * 20,
        b"\x04\x05\x01\x64\x09" + pack(_PAYLOADS),
        b"\x06\x05\x01\x64\x09" + pack(_PAYLOADS[1:]),
        *(b"\x04\xff\xff\xff\xff" + pack([payload]) for payload in _PAYLOADS),
    ]


TARGETS = [
    Target("message", check_message, lambda: _PAYLOADS),
    Target("connection", check_stream, stream_seeds),
]
