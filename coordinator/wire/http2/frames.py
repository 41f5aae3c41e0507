"""Frames of HTTP/2 as numbers and bytes (RFC 9113, sections 4, 6, 7 and 11)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (RFC 9113, section 3.4)."""
HEAD_SIZE_BYTES = 9

STREAM_ID_MAX = 2**31 - 1
WINDOW_MAX = 2**31 - 1
WINDOW_DEFAULT = 65_535
FRAME_SIZE_BYTES_DEFAULT = 16_384
FRAME_SIZE_BYTES_MAX = 2**24 - 1
HEADER_TABLE_SIZE_BYTES_DEFAULT = 4_096

# Kinds of frames.
DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9
PRIORITY_UPDATE = 16

# Flags.
ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

# Names of settings.
HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6


class Code(IntEnum):
    """Why a stream or a connection ended (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


HEAD = Struct(">IBI")
"""Length and kind in one word (`length << 8 | kind`), flags, stream id with the reserved bit."""
SETTING = Struct(">HI")
_HEAD_AND_WORD = Struct(">IBII")
_GOAWAY = Struct(">IBIII")


def window_update(stream_id: int, increment: int) -> bytes:
    return _HEAD_AND_WORD.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id, increment)


def rst_stream(stream_id: int, code: int) -> bytes:
    return _HEAD_AND_WORD.pack(4 << 8 | RST_STREAM, 0, stream_id, code)


def settings(values: list[tuple[int, int]]) -> bytes:
    head = HEAD.pack(6 * len(values) << 8 | SETTINGS, 0, 0)
    return head + b"".join(SETTING.pack(name, value) for name, value in values)


SETTINGS_ACK = HEAD.pack(SETTINGS, ACK, 0)


def ping(payload: bytes, flags: int = 0) -> bytes:
    return HEAD.pack(8 << 8 | PING, flags, 0) + payload


def goaway(last_stream_id: int, code: int, reason: bytes) -> bytes:
    return _GOAWAY.pack(8 + len(reason) << 8 | GOAWAY, 0, 0, last_stream_id, code) + reason


def header_frames(stream_id: int, block: bytes, size_bytes_max: int, end: bool) -> bytes:
    """HEADERS with as many CONTINUATIONs as a block needs (RFC 9113, section 6.10)."""
    flags = END_STREAM if end else 0
    size = len(block)
    if size <= size_bytes_max:
        return HEAD.pack(size << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    pieces = [HEAD.pack(size_bytes_max << 8 | HEADERS, flags, stream_id), block[:size_bytes_max]]
    for start in range(size_bytes_max, size, size_bytes_max):
        piece = block[start : start + size_bytes_max]
        last = END_HEADERS if start + size_bytes_max >= size else 0
        pieces += (HEAD.pack(len(piece) << 8 | CONTINUATION, last, stream_id), piece)
    return b"".join(pieces)
