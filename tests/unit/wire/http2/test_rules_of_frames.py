"""RFC 9113, sections 6 and 7: what each kind of frame must look like. One row for each rule."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import Code, Content, Http2Limits
from coordinator.wire.http2.frames import WINDOW_MAX
from tests.unit.wire.http2.dialogue import REQUEST, Dialogue
from tests.unit.wire.http2.rules import Dies, Passes, Resets, Rule, numbered, opened, raw

PROTOCOL, SIZE, FLOW = Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR, Code.FLOW_CONTROL_ERROR
FIELDS = list(REQUEST)
ACK = hf.SettingsFrame(0, flags=["ACK"])
TIGHT = Http2Limits(stream_window_bytes=100)
LAX = Http2Limits(stream_window_bytes=WINDOW_MAX, unread_bytes_max=0, connection_window_bytes=0)


def setting(name: int, value: int) -> bytes:
    return raw(4, 0, 0, name.to_bytes(2, "big") + value.to_bytes(4, "big"))


def word(number: int) -> bytes:
    return number.to_bytes(4, "big")


RULES = [
    Rule("6.1", "DATA on stream 0", Dies(PROTOCOL), lambda d: [raw(0, 0, 0, b"x")]),
    Rule(
        "6.1",
        "DATA with padding",
        Passes("Content"),
        lambda d: opened(d, raw(0, 8, 1, b"\x02ab\0\0")),
    ),
    Rule(
        "6.1",
        "DATA with nothing but padding",
        Passes(),
        lambda d: opened(d, raw(0, 8, 1, b"\x02\0\0")),
    ),
    Rule(
        "6.1",
        "DATA with as much padding as content",
        Dies(PROTOCOL),
        lambda d: opened(d, raw(0, 8, 1, b"\x03\0\0")),
    ),
    Rule(
        "6.1",
        "DATA with more padding than content",
        Dies(PROTOCOL),
        lambda d: opened(d, raw(0, 8, 1, b"\xff\0")),
    ),
    Rule("6.1", "DATA padded without a length", Dies(SIZE), lambda d: opened(d, raw(0, 8, 1))),
    Rule("6.1", "DATA that ends the request", Passes("Content"), lambda d: opened(d, raw(0, 1, 1))),
    Rule("6.2", "HEADERS on stream 0", Dies(PROTOCOL), lambda d: [raw(1, 5, 0, d.block(FIELDS))]),
    Rule(
        "6.2",
        "HEADERS with padding",
        Passes("Headers"),
        lambda d: [raw(1, 0xC, 1, b"\x03" + d.block(FIELDS) + b"\0\0\0")],
    ),
    Rule(
        "6.2",
        "HEADERS with too much padding",
        Dies(PROTOCOL),
        lambda d: [raw(1, 0xC, 1, b"\x05\x82\0\0")],
    ),
    Rule("6.2", "HEADERS padded without a length", Dies(SIZE), lambda d: [raw(1, 0xC, 1)]),
    Rule(
        "6.2",
        "HEADERS with a priority",
        Passes("Headers"),
        lambda d: [raw(1, 0x24, 1, bytes(5) + d.block(FIELDS))],
    ),
    Rule(
        "6.2",
        "HEADERS with a piece of a priority",
        Dies(SIZE),
        lambda d: [raw(1, 0x24, 1, bytes(4))],
    ),
    Rule(
        "6.2",
        "HEADERS with both",
        Passes("Headers"),
        lambda d: [raw(1, 0x2C, 1, b"\1" + bytes(5) + d.block(FIELDS) + b"\0")],
    ),
    Rule("6.3", "PRIORITY on stream 0", Dies(PROTOCOL), lambda d: [raw(2, 0, 0, bytes(5))]),
    Rule(
        "6.3", "PRIORITY of a wrong size", Resets(SIZE), lambda d: opened(d, raw(2, 0, 1, bytes(4)))
    ),
    Rule(
        "6.3",
        "PRIORITY of a wrong size without a stream",
        Dies(SIZE),
        lambda d: [raw(2, 0, 1, bytes(6))],
    ),
    Rule("6.4", "RST_STREAM on stream 0", Dies(PROTOCOL), lambda d: [raw(3, 0, 0, bytes(4))]),
    Rule("6.4", "RST_STREAM too short", Dies(SIZE), lambda d: opened(d, raw(3, 0, 1, bytes(3)))),
    Rule("6.4", "RST_STREAM too long", Dies(SIZE), lambda d: opened(d, raw(3, 0, 1, bytes(5)))),
    Rule(
        "6.4",
        "RST_STREAM with an unknown code",
        Passes("Reset"),
        lambda d: opened(d, raw(3, 0, 1, b"\xff" * 4)),
    ),
    Rule("6.5", "SETTINGS on a stream", Dies(PROTOCOL), lambda d: opened(d, raw(4, 0, 1))),
    Rule("6.5", "SETTINGS of a wrong size", Dies(SIZE), lambda d: [raw(4, 0, 0, bytes(7))]),
    Rule("6.5", "SETTINGS with ACK and content", Dies(SIZE), lambda d: [raw(4, 1, 0, bytes(6))]),
    Rule("6.5", "SETTINGS acknowledged too often", Passes(), lambda d: [raw(4, 1, 0)]),
    Rule("6.5.2", "ENABLE_PUSH", Passes(), lambda d: [setting(2, 0), setting(2, 1)]),
    Rule("6.5.2", "ENABLE_PUSH that is neither 0 nor 1", Dies(PROTOCOL), lambda d: [setting(2, 2)]),
    Rule(
        "6.5.2", "INITIAL_WINDOW_SIZE", Passes(), lambda d: [setting(4, 0), setting(4, WINDOW_MAX)]
    ),
    Rule(
        "6.5.2", "INITIAL_WINDOW_SIZE too large", Dies(FLOW), lambda d: [setting(4, WINDOW_MAX + 1)]
    ),
    Rule(
        "6.5.2", "MAX_FRAME_SIZE", Passes(), lambda d: [setting(5, 16_384), setting(5, 2**24 - 1)]
    ),
    Rule("6.5.2", "MAX_FRAME_SIZE too small", Dies(PROTOCOL), lambda d: [setting(5, 16_383)]),
    Rule("6.5.2", "MAX_FRAME_SIZE too large", Dies(PROTOCOL), lambda d: [setting(5, 2**24)]),
    Rule(
        "6.5.2",
        "all others",
        Passes(),
        lambda d: [setting(1, 2**32 - 1), setting(3, 0), setting(6, 0), setting(8, 1)],
    ),
    Rule("6.6", "PUSH_PROMISE", Dies(PROTOCOL), lambda d: opened(d, raw(5, 4, 1, word(2)))),
    Rule("6.7", "PING on a stream", Dies(PROTOCOL), lambda d: opened(d, raw(6, 0, 1, bytes(8)))),
    Rule("6.7", "PING too short", Dies(SIZE), lambda d: [raw(6, 0, 0, bytes(7))]),
    Rule("6.7", "PING too long", Dies(SIZE), lambda d: [raw(6, 0, 0, bytes(9))]),
    Rule("6.7", "PING with ACK", Passes("Ponged"), lambda d: [raw(6, 1, 0, bytes(8))]),
    Rule("6.8", "GOAWAY on a stream", Dies(PROTOCOL), lambda d: [raw(7, 0, 1, bytes(8))]),
    Rule("6.8", "GOAWAY too short", Dies(SIZE), lambda d: [raw(7, 0, 0, bytes(7))]),
    Rule(
        "6.8",
        "GOAWAY",
        Passes("GoneAway Content"),
        lambda d: opened(d, raw(7, 0, 0, bytes(8) + b"why"), raw(0, 0, 1, b"x")),
    ),
    Rule("6.9", "WINDOW_UPDATE too short", Dies(SIZE), lambda d: [raw(8, 0, 0, bytes(3))]),
    Rule("6.9", "WINDOW_UPDATE too long", Dies(SIZE), lambda d: [raw(8, 0, 0, word(1) + b"\0")]),
    Rule("6.9", "WINDOW_UPDATE of nothing", Dies(PROTOCOL), lambda d: [raw(8, 0, 0, word(0))]),
    Rule(
        "6.9",
        "WINDOW_UPDATE of nothing for a stream",
        Resets(PROTOCOL),
        lambda d: opened(d, raw(8, 0, 1, word(0))),
    ),
    Rule(
        "6.9",
        "WINDOW_UPDATE with the reserved bit",
        Passes(),
        lambda d: [raw(8, 0, 0, word(1 << 31 | 1))],
    ),
    Rule(
        "6.9.1",
        "more than the stream's window",
        Resets(FLOW),
        lambda d: opened(d, ACK, raw(0, 0, 1, bytes(101))),
        TIGHT,
    ),
    Rule(
        "6.9.1",
        "as much as the stream's window",
        Passes("Content"),
        lambda d: opened(d, ACK, raw(0, 0, 1, bytes(100))),
        TIGHT,
    ),
    Rule(
        "6.9.1",
        "padding counts",
        Resets(FLOW),
        lambda d: opened(d, raw(0, 8, 1, b"\x50" + bytes(100))),
        TIGHT,
    ),
    Rule(
        "6.9.1",
        "more than the connection's window",
        Dies(FLOW),
        lambda d: opened(d, *[raw(0, 0, 1, bytes(16_000))] * 5),
        LAX,
    ),
    Rule(
        "6.9.1",
        "a stream's window that overflows",
        Resets(FLOW),
        lambda d: opened(d, raw(8, 0, 1, word(WINDOW_MAX))),
    ),
    Rule(
        "6.9.1",
        "the connection's window that overflows",
        Dies(FLOW),
        lambda d: [raw(8, 0, 0, word(WINDOW_MAX))],
    ),
    Rule(
        "6.9.1",
        "the largest windows",
        Passes(),
        lambda d: opened(d, *(raw(8, 0, n, word(WINDOW_MAX - 65_535)) for n in (0, 1))),
    ),
    Rule(
        "6.9.2",
        "SETTINGS that let a window overflow",
        Dies(FLOW),
        lambda d: opened(d, raw(8, 0, 1, word(2**30)), setting(4, 2**30)),
    ),
    Rule(
        "6.10",
        "CONTINUATION without HEADERS",
        Dies(PROTOCOL),
        lambda d: opened(d, raw(9, 4, 1, b"\x82")),
    ),
    Rule(
        "6.10",
        "CONTINUATION after the end of a block",
        Dies(PROTOCOL),
        lambda d: [d.headers(1), raw(9, 4, 1, b"\x82")],
    ),
    Rule("6.10", "CONTINUATION on stream 0", Dies(PROTOCOL), lambda d: [raw(9, 4, 0, b"\x82")]),
    Rule(
        "6.10",
        "a block of many pieces",
        Passes("Headers"),
        lambda d: (
            lambda b: [raw(1, 1, 1, b[:5]), raw(9, 0, 1, b[5:9]), raw(9, 0, 1), raw(9, 4, 1, b[9:])]
        )(d.block(FIELDS)),
    ),
    Rule(
        "7",
        "GOAWAY with an unknown code",
        Passes("GoneAway"),
        lambda d: [raw(7, 0, 0, bytes(4) + b"\xff" * 4)],
    ),
]


@pytest.mark.parametrize("rule", numbered(101, RULES))
def test_rule(rule: Rule) -> None:
    rule.check()


def test_6_1_padding_is_no_content_but_credit() -> None:
    dialogue = Dialogue()
    dialogue.open(1)
    assert dialogue.send(raw(0, 9, 1, b"\x02ab\0\0")) == [Content(1, b"ab", True, 5)]


def test_6_5_3_settings_are_acknowledged_in_order() -> None:
    dialogue = Dialogue()
    dialogue.send(setting(4, 10), raw(6, 0, 0, bytes(8)), setting(4, 20))
    kinds = [type(frame) for frame in dialogue.answers()]
    assert kinds == [hf.SettingsFrame, hf.PingFrame, hf.SettingsFrame]


def test_6_9_1_what_a_client_sent_too_early_for_our_settings_is_accepted() -> None:
    """Until it acknowledges them, the default of 65,535 is in force; then windows may become negative (6.9.2)."""
    dialogue = Dialogue(TIGHT, greet=False)
    dialogue.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", hf.SettingsFrame(0), dialogue.headers(1))
    dialogue.send(raw(0, 0, 1, bytes(16_000)), ACK)
    dialogue.ping()
    assert dialogue.connection._streams[1].window_in == 100 - 16_000
    dialogue.send(raw(0, 0, 1, b"x"))
    dialogue.expect_reset(FLOW)


def test_6_8_a_goaway_tells_the_last_stream() -> None:
    dialogue = Dialogue()
    dialogue.open(1, 3)
    dialogue.send(raw(5, 0, 1, word(2)))
    frame = dialogue.answers()[-1]
    assert isinstance(frame, hf.GoAwayFrame)
    assert (frame.last_stream_id, frame.error_code) == (3, PROTOCOL)
