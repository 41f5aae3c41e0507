"""Clients that mean harm: each is bounded and counted, and clients that only work hard are left alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import Code, Content, Ended, Headers, Http2Limits, encode_block
from coordinator.wire.http2.frames import HEAD, PREFACE, SETTINGS_ACK, settings, window_update
from tests.unit.wire.http2.bounds import memory_at_most
from tests.unit.wire.http2.dialogue import REQUEST, Dialogue, replaced
from tests.unit.wire.http2.rules import raw

BLOCK = encode_block(REQUEST)
HEAD_BLOCK = encode_block([(b":status", b"200")])
TAIL_BLOCK = encode_block([(b"grpc-status", b"0")])
FLOOD_FRAMES_MAX = 300_000
"""No flood may go on for longer."""


def flood(dialogue: Dialogue, make: Callable[[int], bytes], *, take: bool = True) -> int:
    """Sends frames as fast as can be until the connection ends; returns how many that were."""
    for number in range(FLOOD_FRAMES_MAX):
        dialogue.connection.receive(make(number), dialogue.now)
        if dialogue.connection.ended:
            return number
        if take:
            dialogue.connection.output()
    pytest.fail("nobody stops it")


def request(number: int, flags: int = 0x4) -> bytes:
    return raw(1, flags, 2 * number + 1, BLOCK)


FLOODS: list[tuple[str, Callable[[int], bytes]]] = [
    ("rapid_reset", lambda n: request(n) + raw(3, 0, 2 * n + 1, bytes(4))),
    ("rapid_reset", lambda n: request(n, 0x5) + raw(8, 0, 2 * n + 1, bytes(4))),  # Makes us reset it.
    ("rapid_reset", lambda n: request(n, 0x5) + raw(0, 0, 2 * n + 1, b"x")),
    ("rapid_reset", lambda n: request(n) + raw(2, 0, 2 * n + 1, b"x")),
    ("rapid_reset", lambda n: request(n + 60)),  # Many more than allowed at the same time.
    ("rapid_reset", lambda n: (request(0) if n == 0 else b"") + raw(3, 0, 1, bytes(4))),
    ("malformed_flood", lambda n: raw(1, 5, 2 * n + 1, b"\x82")),
    ("malformed_flood", lambda n: raw(1, 5, 2 * n + 1, b"\x90" * 500)),
    ("settings_flood", lambda n: settings([])),
    ("settings_flood", lambda n: settings([(4, n)] * 2_000)),
    ("settings_flood", lambda n: SETTINGS_ACK),
    ("settings_flood", lambda n: raw(7, 0, 0, bytes(8))),
    ("ping_flood", lambda n: raw(6, 0, 0, bytes(8))),
    ("ping_flood", lambda n: raw(6, 1, 0, bytes(8))),
    ("empty_frame_flood", lambda n: (request(0) if n == 0 else b"") + raw(0, 0, 1)),
    ("empty_frame_flood", lambda n: (request(0) if n == 0 else b"") + raw(0, 8, 1, bytes([50]) + bytes(50))),
    (
        "empty_frame_flood",
        lambda n: (request(0) + raw(8, 0, 1, bytes(4)) if n == 0 else b"") + raw(0, 0, 1),
    ),
    ("window_update_flood", lambda n: window_update(0, 1)),
    ("window_update_flood", lambda n: (request(0) if n == 0 else b"") + window_update(1, 1)),
    ("priority_flood", lambda n: raw(2, 0, 2 * n + 1, bytes(5))),
    ("priority_flood", lambda n: raw(16, 0, 0, bytes(4) + b"u=3")),
    ("malformed_flood", lambda n: request(n) + raw(1, 5, 2 * n + 1, b"\x00\x01x\x00" * 500)),
    ("malformed_flood", lambda n: (request(0) + raw(8, 0, 1, bytes(4)) if n == 0 else b"") + raw(1, 5, 1, b"\x82")),
    ("unknown_frame_flood", lambda n: raw(99, 0, n)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "make"), [pytest.param(*row, id=f"{n:02}-{row[0]}") for n, row in enumerate(FLOODS)]
)
def test_flood(kind: str, make: Callable[[int], bytes]) -> None:
    dialogue = Dialogue(Http2Limits(streams_max=50))
    began = time.process_time()
    frames = flood(dialogue, make)
    assert frames >= 90, "nobody is sent away for a few"
    assert dialogue.counters.totals[kind] == 1
    assert dialogue.counters.totals["calm_enhanced"] == 1
    [goaway] = dialogue.answers()[-1:]
    assert isinstance(goaway, hf.GoAwayFrame)
    assert goaway.error_code == Code.ENHANCE_YOUR_CALM
    assert time.process_time() - began < 5


@pytest.mark.parametrize("frame", [raw(6, 0, 0, bytes(8)), settings([])], ids=["ping", "settings"])
def test_answers_that_are_not_read(frame: bytes) -> None:
    limits = Http2Limits(control_output_bytes_max=600)
    dialogue = Dialogue(limits)
    assert flood(dialogue, lambda n: frame, take=False) in (35, 66)
    assert dialogue.counters.totals["unread_output"] == 1
    assert sum(map(len, dialogue.connection._out)) < 1_000


def test_resets_that_are_not_read() -> None:
    dialogue = Dialogue(Http2Limits(streams_max=0, control_output_bytes_max=1_300))
    assert flood(dialogue, request, take=False) == 100
    assert dialogue.counters.totals["streams_refused"] == 101


@pytest.mark.parametrize("piece", [b"", b"x", bytes(16_384)], ids=["empty", "small", "large"])
def test_continuation_flood(piece: bytes) -> None:
    dialogue = Dialogue()
    dialogue.send(raw(1, 0, 1, b"\x82"))
    assert flood(dialogue, lambda n: raw(9, 0, 1, piece)) <= 17
    assert dialogue.counters.totals["continuation_flood"] == 1
    assert dialogue.connection._block_size <= 64 * 1024


def test_block_that_expands() -> None:
    """One entry of 4 KiB in the table, and thousands of references to it."""
    dialogue = Dialogue()
    dialogue.send(raw(1, 5, 1, b"\x83\x86\x84\x40\x01x\x7f\x81\x1e" + b"v" * 3_968))
    began = time.process_time()
    with memory_at_most(1_000_000):
        assert dialogue.send(raw(1, 5, 3, b"\x83\x86\x84" + b"\xbe" * 16_000)) == []
    assert time.process_time() - began < 0.5
    dialogue.expect_reset(Code.ENHANCE_YOUR_CALM, 3)
    assert dialogue.counters.totals["header_lists_too_large"] == 1
    dialogue.send(raw(1, 5, 5, b"\x83\x86\x84\xbe"))
    assert isinstance(dialogue.events[-1], Headers)


def test_trailers_that_expand() -> None:
    dialogue = Dialogue()
    dialogue.open(1)
    dialogue.send(raw(1, 5, 1, b"\x00\x01x\x00" * 1_000))
    dialogue.expect_reset(Code.ENHANCE_YOUR_CALM)


def test_table_thrash() -> None:
    """Each block replaces the whole table: nothing is kept, and what is remembered stays small."""
    dialogue = Dialogue()
    for number in range(2_000):
        value = b"%03968d" % number
        block = b"\x83\x86\x84\x40\x01x\x7f\x81\x1e" + value
        dialogue.send(raw(1, 5, 2 * number + 1, block))
        dialogue.connection.send_reply(2 * number + 1, HEAD_BLOCK, b"x", TAIL_BLOCK)
        dialogue.connection.output()
    reader = dialogue.connection._blocks
    assert reader._decoder.table_size_bytes <= 4_096
    assert reader._kept_size == 0 and len(reader._checker._known) <= 256
    assert not dialogue.connection.ended


def test_fields_that_are_remembered_are_bounded() -> None:
    dialogue = Dialogue()
    for number in range(3_000):
        fields = replaced((b":path", b"/%d" % number), more=[(b"x", b"%d" % number)])
        dialogue.send(raw(1, 5, 2 * number + 1, encode_block(fields)))
    reader = dialogue.connection._blocks
    assert len(reader._checker._known) <= 256 and len(reader._checker._targets) <= 256
    assert len(reader._kept) <= 256 and reader._kept_size <= 128 * 1024


def test_streams_that_are_never_answered_are_bounded() -> None:
    dialogue = Dialogue(Http2Limits(streams_max=10))
    for number in range(1_000):
        dialogue.send(request(number))
        dialogue.connection.output()
    assert dialogue.connection.streams_open == 10
    assert len(dialogue.connection._ended_streams) <= 4_096


def test_memory_of_ended_streams_is_bounded() -> None:
    dialogue = Dialogue(Http2Limits(closed_streams_max=100))
    for number in range(1_000):
        dialogue.send(request(number))
        dialogue.connection.reset(2 * number + 1, Code.CANCEL)
    assert len(dialogue.connection._ended_streams) == 100
    dialogue.send(raw(0, 0, 1, b"x"))
    dialogue.expect_reset(Code.STREAM_CLOSED)


def test_gaps_are_bounded() -> None:
    dialogue = Dialogue()
    for number in range(1_000):
        dialogue.send(raw(1, 5, 4 * number + 5, BLOCK))
    assert len(dialogue.connection._gaps) <= 16
    dialogue.send(raw(1, 5, 3_999, BLOCK))
    dialogue.expect_end(Code.PROTOCOL_ERROR)


def test_settings_that_move_many_windows_at_once() -> None:
    dialogue = Dialogue()
    dialogue.send(settings([(4, 0)]))
    for number in range(10_000):
        dialogue.send(request(number, 0x5))
        dialogue.connection.send_data(2 * number + 1, b"waits")
    began = time.process_time()
    dialogue.send(settings([(4, size) for size in (1, 0) * 1_300]))
    assert time.process_time() - began < 0.5
    assert dialogue.connection.unsent_total == 50_000


def test_slow_drip_is_linear() -> None:
    """A message of 4 MiB, an octet at a time."""
    dialogue = Dialogue(Http2Limits(stream_window_bytes=8 << 20, connection_window_bytes=8 << 20))
    dialogue.open(1)
    payload = bytes(range(256)) * 16_384
    content = b"".join(
        HEAD.pack(16_384 << 8, 0, 1) + payload[start : start + 16_384]
        for start in range(0, len(payload), 16_384)
    )
    receive = dialogue.connection.receive
    times, received = [], bytearray()
    for quarter in range(4):
        began = time.process_time()
        for at in range(quarter * len(content) // 4, (quarter + 1) * len(content) // 4):
            for event in receive(content[at : at + 1], 0.0):
                assert isinstance(event, Content)
                received += event.payload
        times.append(time.process_time() - began)
    assert received == payload
    assert times[3] < 3 * times[0] + 0.2


def test_a_frame_that_never_ends_is_bounded() -> None:
    dialogue = Dialogue()
    for _ in range(20_000):
        dialogue.connection.receive(b"\0", 0.0)
    assert len(dialogue.connection._held) < 16_384 + 9


def test_a_large_read_of_small_frames() -> None:
    dialogue = Dialogue()
    dialogue.open(1)
    began = time.process_time()
    events = dialogue.send(raw(0, 0, 1, b"x") * 20_000)
    assert len(events) == 20_000
    assert time.process_time() - began < 1


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00", b"\0" * 100, b"P" * 100, PREFACE[1:]])
def test_junk_instead_of_the_preface(junk: bytes) -> None:
    dialogue = Dialogue(greet=False)
    [ended] = dialogue.send(junk)
    assert isinstance(ended, Ended)
    assert dialogue.connection.foreign and dialogue.connection.opening == junk
    assert dialogue.counters.totals["foreign_preface"] == 1
    assert dialogue.counters.totals["protocol_errors"] == 0
    assert dialogue.send(bytes(1_000_000)) == [] and dialogue.connection.opening == junk


# Clients that only work hard.


def test_many_streams_with_much_to_say() -> None:
    dialogue = Dialogue(Http2Limits(connection_window_bytes=64 << 20, unread_bytes_max=64 << 20))
    for number in range(10_000):
        assert len(dialogue.send(request(number), raw(0, 1, 2 * number + 1, bytes(300)))) == 2
    dialogue.send(window_update(0, 1 << 30))
    for number in range(10_000):
        assert dialogue.connection.send_reply(2 * number + 1, HEAD_BLOCK, bytes(300), TAIL_BLOCK)
        dialogue.send(window_update(0, 300))
    dialogue.ping()
    assert dialogue.connection.streams_open == 0


def test_a_message_through_tiny_windows() -> None:
    dialogue = Dialogue()
    dialogue.send(settings([(4, 1_000)]))
    dialogue.open(1, end=True)
    dialogue.connection.send_data(1, bytes(4 << 20), end=True)
    while dialogue.connection.streams_open:
        dialogue.send(window_update(0, 1_000), window_update(1, 1_000))
        dialogue.connection.output()
    dialogue.ping()


def test_a_thousand_calls_cancelled_at_once() -> None:
    dialogue = Dialogue()
    for _ in range(4):
        start = dialogue.connection._last_stream_id // 2 + 1
        for number in range(start, start + 1_000):
            dialogue.send(request(number))
        for number in range(start, start + 1_000):
            assert len(dialogue.send(raw(3, 0, 2 * number + 1, bytes(4)))) == 1
        dialogue.now += 1
    dialogue.ping()


def test_pings_that_estimate_the_bandwidth() -> None:
    dialogue = Dialogue()
    for _ in range(20_000):
        dialogue.now += 1 / 4_000
        dialogue.connection.receive(raw(6, 0, 0, bytes(8)), dialogue.now)
        assert dialogue.connection.output()
    dialogue.ping()
