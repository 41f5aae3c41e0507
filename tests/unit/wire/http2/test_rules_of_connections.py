"""RFC 9113, sections 3 to 5: beginnings, frames, streams and errors. One row for each rule."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import Code, Http2Limits
from tests.unit.wire.http2.dialogue import REQUEST
from tests.unit.wire.http2.rules import (
    Dies,
    Passes,
    Resets,
    Rule,
    abandoned,
    closed,
    dropped,
    numbered,
    opened,
    prefaced,
    raw,
)

PROTOCOL, SIZE, CLOSED = Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR, Code.STREAM_CLOSED
SMALL = Http2Limits(streams_max=2)
CONTINUED = hf.ContinuationFrame
FIELDS = list(REQUEST)


def trailers(stream_id: int, flags: int = 0x5) -> bytes:
    return raw(1, flags, stream_id, b"\x00\x01x\x01y")


RULES = [
    Rule(
        "3.4",
        "SETTINGS after the preface",
        Passes(),
        lambda d: prefaced(hf.SettingsFrame(0)),
        greet=False,
    ),
    Rule(
        "3.4",
        "another frame after the preface",
        Dies(PROTOCOL),
        lambda d: prefaced(hf.PingFrame(0, bytes(8))),
        greet=False,
    ),
    Rule(
        "3.4",
        "HEADERS after the preface",
        Dies(PROTOCOL),
        lambda d: prefaced(d.headers()),
        greet=False,
    ),
    Rule(
        "3.4",
        "an unknown frame after the preface",
        Dies(PROTOCOL),
        lambda d: prefaced(raw(99, 0, 0)),
        greet=False,
    ),
    Rule(
        "3.4",
        "an acknowledgement after the preface",
        Dies(PROTOCOL),
        lambda d: prefaced(raw(4, 1, 0)),
        greet=False,
    ),
    Rule(
        "4.1",
        "unknown kinds of frames are ignored",
        Passes(),
        lambda d: [raw(10, 255, 7, b"x"), raw(255, 0, 0)],
    ),
    Rule("4.1", "unknown flags are ignored", Passes(), lambda d: [raw(6, 0xFE, 0, bytes(8))]),
    Rule(
        "4.1",
        "unknown flags of DATA are ignored",
        Passes("Content"),
        lambda d: opened(d, raw(0, 0xF6, 1, b"x")),
    ),
    Rule(
        "4.1",
        "the reserved bit is ignored",
        Passes("Content"),
        lambda d: opened(d, raw(0, 0, 1 << 31 | 1, b"x")),
    ),
    Rule(
        "4.2",
        "the largest frame is accepted",
        Passes("Content"),
        lambda d: opened(d, hf.DataFrame(1, bytes(16_384))),
    ),
    Rule(
        "4.2",
        "DATA larger than allowed",
        Dies(SIZE),
        lambda d: opened(d, hf.DataFrame(1, bytes(16_385))),
    ),
    Rule("4.2", "HEADERS larger than allowed", Dies(SIZE), lambda d: [raw(1, 5, 1, bytes(16_385))]),
    Rule(
        "4.2",
        "the size is judged before the content comes",
        Dies(SIZE),
        lambda d: [raw(0, 0, 1, bytes(20_000))[:9]],
    ),
    Rule(
        "4.2",
        "an unknown frame larger than allowed",
        Dies(SIZE),
        lambda d: [raw(77, 0, 1, bytes(16_385))],
    ),
    Rule(
        "4.2",
        "a larger size that we allowed",
        Passes("Content"),
        lambda d: opened(d, hf.DataFrame(1, bytes(20_000))),
        Http2Limits(frame_size_bytes_max=20_000),
    ),
    Rule(
        "4.3",
        "a block that can't be decoded",
        Dies(Code.COMPRESSION_ERROR),
        lambda d: [raw(1, 5, 1, b"\xff\xff")],
    ),
    Rule(
        "4.3",
        "another frame inside a block",
        Dies(PROTOCOL),
        lambda d: [raw(1, 1, 1, b"\x82"), hf.PingFrame(0, bytes(8))],
    ),
    Rule(
        "4.3",
        "an unknown frame inside a block",
        Dies(PROTOCOL),
        lambda d: [raw(1, 1, 1, b"\x82"), raw(99, 0, 1)],
    ),
    Rule(
        "4.3",
        "HEADERS inside a block",
        Dies(PROTOCOL),
        lambda d: [raw(1, 1, 1, b"\x82"), d.headers(3)],
    ),
    Rule(
        "4.3",
        "CONTINUATION of another stream",
        Dies(PROTOCOL),
        lambda d: [raw(1, 1, 1, b"\x82"), CONTINUED(3, b"")],
    ),
    Rule("5.1", "idle: DATA", Dies(PROTOCOL), lambda d: [hf.DataFrame(1, b"x")]),
    Rule("5.1", "idle: RST_STREAM", Dies(PROTOCOL), lambda d: [hf.RstStreamFrame(1, 8)]),
    Rule("5.1", "idle: WINDOW_UPDATE", Dies(PROTOCOL), lambda d: [hf.WindowUpdateFrame(1, 8)]),
    Rule(
        "5.1",
        "idle: CONTINUATION",
        Dies(PROTOCOL),
        lambda d: [CONTINUED(1, b"\x82", flags=["END_HEADERS"])],
    ),
    Rule("5.1", "idle: PRIORITY", Passes(), lambda d: [raw(2, 0, 1, bytes(5))]),
    Rule(
        "5.1", "idle: a stream of ours", Dies(PROTOCOL), lambda d: opened(d, hf.DataFrame(2, b"x"))
    ),
    Rule(
        "5.1",
        "half closed: DATA",
        Resets(CLOSED),
        lambda d: opened(d, hf.DataFrame(1, b"x"), end=True),
    ),
    Rule("5.1", "half closed: HEADERS", Resets(CLOSED), lambda d: opened(d, trailers(1), end=True)),
    Rule(
        "5.1",
        "half closed: CONTINUATION",
        Dies(PROTOCOL),
        lambda d: opened(d, CONTINUED(1, b"x"), end=True),
    ),
    Rule(
        "5.1",
        "half closed: WINDOW_UPDATE",
        Passes(),
        lambda d: opened(d, hf.WindowUpdateFrame(1, 8), end=True),
    ),
    Rule(
        "5.1",
        "half closed: PRIORITY",
        Passes(),
        lambda d: opened(d, raw(2, 0, 1, bytes(5)), end=True),
    ),
    Rule(
        "5.1",
        "half closed: RST_STREAM",
        Passes("Reset"),
        lambda d: opened(d, hf.RstStreamFrame(1, 8), end=True),
    ),
    Rule("5.1", "closed: DATA", Resets(CLOSED), lambda d: closed(d, hf.DataFrame(1, b"x"))),
    Rule("5.1", "closed: HEADERS", Dies(CLOSED), lambda d: closed(d, trailers(1))),
    Rule("5.1", "closed: CONTINUATION", Dies(PROTOCOL), lambda d: closed(d, CONTINUED(1, b"x"))),
    Rule("5.1", "closed: WINDOW_UPDATE", Passes(), lambda d: closed(d, hf.WindowUpdateFrame(1, 8))),
    Rule("5.1", "closed: RST_STREAM", Passes(), lambda d: closed(d, hf.RstStreamFrame(1, 8))),
    Rule("5.1", "closed: PRIORITY", Passes(), lambda d: closed(d, raw(2, 0, 1, bytes(5)))),
    Rule(
        "5.1",
        "reset by the client: DATA",
        Resets(CLOSED),
        lambda d: abandoned(d, hf.DataFrame(1, b"x")),
    ),
    Rule("5.1", "reset by the client: HEADERS", Dies(CLOSED), lambda d: abandoned(d, trailers(1))),
    Rule(
        "5.1",
        "reset by the client: PRIORITY",
        Passes(),
        lambda d: abandoned(d, raw(2, 0, 1, bytes(5))),
    ),
    Rule(
        "5.4.2",
        "RST_STREAM is no reason for another one",
        Passes(),
        lambda d: abandoned(d, hf.RstStreamFrame(1, 8), hf.RstStreamFrame(1, 8)),
    ),
    Rule(
        "5.1",
        "reset by the client: WINDOW_UPDATE",
        Passes(),
        lambda d: abandoned(d, hf.WindowUpdateFrame(1, 8)),
    ),
    Rule("5.1", "reset by us: DATA", Passes(), lambda d: dropped(d, *[hf.DataFrame(1, b"x")] * 3)),
    Rule(
        "5.1",
        "reset by us: trailers",
        Passes(),
        lambda d: dropped(d, hf.DataFrame(1, b"x"), trailers(1)),
    ),
    Rule(
        "5.1",
        "reset by us: WINDOW_UPDATE",
        Passes(),
        lambda d: dropped(d, hf.WindowUpdateFrame(1, 8)),
    ),
    Rule("5.1", "reset by us: RST_STREAM", Passes(), lambda d: dropped(d, hf.RstStreamFrame(1, 8))),
    Rule("5.1.1", "an even stream id", Dies(PROTOCOL), lambda d: [d.headers(2)]),
    Rule("5.1.1", "stream 0", Dies(PROTOCOL), lambda d: [raw(1, 5, 0, b"\x82")]),
    Rule(
        "5.1.1",
        "a smaller stream id than before",
        Dies(PROTOCOL),
        lambda d: [d.headers(5), d.headers(3)],
    ),
    Rule(
        "5.1.1",
        "left out ids are closed: DATA",
        Resets(CLOSED, 3),
        lambda d: [d.headers(5), hf.DataFrame(3, b"x")],
    ),
    Rule("5.1.1", "the largest stream id", Passes("Headers"), lambda d: [d.headers(2**31 - 1)]),
    Rule(
        "5.1.2",
        "as many streams as allowed",
        Passes("Headers Headers"),
        lambda d: [d.headers(1), d.headers(3)],
        SMALL,
    ),
    Rule(
        "5.1.2",
        "more streams than allowed",
        Resets(Code.REFUSED_STREAM, 5),
        lambda d: [d.headers(1), d.headers(3), d.headers(5)],
        SMALL,
    ),
    Rule(
        "5.1.2",
        "closed streams don't count",
        Passes("Headers Headers Reset Headers"),
        lambda d: [d.headers(1), d.headers(3), hf.RstStreamFrame(1, 8), d.headers(5)],
        SMALL,
    ),
    Rule(
        "5.3",
        "priorities are ignored",
        Passes("Headers"),
        lambda d: [raw(1, 0x25, 1, bytes(5) + d.block(FIELDS))],
    ),
    Rule(
        "5.5",
        "unknown settings are ignored",
        Passes(),
        lambda d: [raw(4, 0, 0, b"\xff\xff\xff\xff\xff\xff")],
    ),
    Rule(
        "5.5",
        "ends of unknown frames are no ends",
        Passes("Content"),
        lambda d: opened(d, raw(99, 1, 1), hf.DataFrame(1, b"x")),
    ),
]


@pytest.mark.parametrize("rule", numbered(1, RULES))
def test_rule(rule: Rule) -> None:
    rule.check()
