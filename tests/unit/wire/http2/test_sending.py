"""RFC 9113 for the sending side: windows, order, turns. Names tell the section where there is one."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import Code, Http2Limits, encode_block
from coordinator.wire.http2.frames import WINDOW_MAX
from coordinator.wire.http2.sending import OUTPUT_PIECES_MAX
from tests.unit.wire.http2.dialogue import Dialogue

HEAD = encode_block([(b":status", b"200")])
TAIL = encode_block([(b"grpc-status", b"0")])


def settings(**values: int) -> hf.SettingsFrame:
    numbers = {"table": 1, "window": 4, "frame": 5}
    return hf.SettingsFrame(0, settings={numbers[name]: value for name, value in values.items()})


def opened(*stream_ids: int, **values: int) -> Dialogue:
    """A dialogue with requests that are complete."""
    dialogue = Dialogue()
    dialogue.send(settings(**values))
    dialogue.open(*stream_ids, end=True)
    dialogue.answers()
    return dialogue


def sizes(dialogue: Dialogue, stream_id: int | None = None) -> list[int]:
    """Of the DATA frames that were written since, of one stream or of all."""
    return [
        len(frame.data)
        for frame in dialogue.answers()
        if isinstance(frame, hf.DataFrame) and stream_id in (None, frame.stream_id)
    ]


def test_4_2_frames_are_no_larger_than_the_client_wants() -> None:
    dialogue = opened(1, frame=20_000)
    dialogue.connection.send_data(1, bytes(50_000))
    assert sizes(dialogue) == [20_000, 20_000, 10_000]
    dialogue.connection.send_headers(1, bytes(45_000))
    assert [type(frame).__name__ for frame in dialogue.answers()] == [
        "HeadersFrame",
        "ContinuationFrame",
        "ContinuationFrame",
    ]


def test_4_3_1_a_smaller_table_is_acknowledged_by_an_update_once() -> None:
    dialogue = opened(1, 3, table=0)
    dialogue.connection.send_reply(1, HEAD, b"x", TAIL)
    dialogue.send(settings(table=100), settings(table=8_192))
    dialogue.connection.send_reply(3, HEAD, b"x", TAIL)
    blocks = [frame.data for frame in dialogue.answers() if isinstance(frame, hf.HeadersFrame)]
    assert blocks == [b"\x20" + HEAD, TAIL, HEAD, TAIL]


def test_4_3_1_a_larger_table_needs_no_update() -> None:
    dialogue = opened(1, table=8_192)
    dialogue.connection.send_headers(1, HEAD)
    assert dialogue.answer(hf.HeadersFrame).data == HEAD


@pytest.mark.parametrize("size", [0, 1, 4_096, 4_097, 16_384, 16_385, 65_535])
def test_8_1_a_reply_is_the_same_on_the_fast_path(size: int) -> None:
    fast, slow = opened(1), opened(1)
    assert fast.connection.send_reply(1, HEAD, bytes(size), TAIL)
    assert slow.connection.send_headers(1, HEAD)
    assert slow.connection.send_data(1, bytes(size))
    assert slow.connection.send_trailers(1, TAIL)
    written = b"".join(fast.connection.output())
    assert written == b"".join(slow.connection.output())
    assert fast.connection.streams_open == slow.connection.streams_open == 0


def test_nothing_is_sent_after_the_end() -> None:
    dialogue = opened(1, 3, window=0)
    connection = dialogue.connection
    connection.send_data(1, b"waits", end=True)
    connection.send_data(3, b"waits")
    connection.send_trailers(3, TAIL)
    for stream_id in (1, 3, 5):
        assert not connection.send_headers(stream_id, HEAD)
        assert not connection.send_data(stream_id, b"x")
        assert not connection.send_trailers(stream_id, TAIL)
        assert not connection.send_reply(stream_id, HEAD, b"x", TAIL)
    assert connection.reset(3, Code.CANCEL) and not connection.reset(3, Code.CANCEL)
    assert connection.unsent(3) == 0 and connection.unsent_total == 5


def test_6_9_1_an_empty_end_needs_no_window() -> None:
    dialogue = opened(1, 3, 5, window=0)
    dialogue.connection.send_data(1, b"", end=True)
    dialogue.connection.send_trailers(3, TAIL)
    dialogue.connection.send_headers(5, HEAD, end=True)
    assert dialogue.connection.streams_open == 0
    assert len(dialogue.answers()) == 3
    dialogue = opened(1, window=3)
    dialogue.connection.send_data(1, b"abc")
    dialogue.connection.send_data(1, b"")
    dialogue.connection.send_data(1, b"", end=True)
    assert sizes(dialogue) == [3, 0]


def test_content_may_end_a_reply() -> None:
    dialogue = opened(1)
    assert dialogue.connection.send_data(1, b"all", end=True)
    frame = dialogue.answer(hf.DataFrame)
    assert frame.data == b"all" and "END_STREAM" in frame.flags
    assert dialogue.connection.streams_open == 0


def test_6_9_1_an_end_waits_for_what_comes_before_it() -> None:
    dialogue = opened(1, window=2)
    connection = dialogue.connection
    connection.send_data(1, b"abc")
    connection.send_data(1, b"", end=True)
    assert sizes(dialogue) == [2]
    dialogue.send(hf.WindowUpdateFrame(1, 1))
    assert sizes(dialogue) == [1, 0]
    assert connection.streams_open == 0


def test_6_9_2_windows_move_with_the_settings_and_may_be_negative() -> None:
    dialogue = opened(1, window=10)
    connection = dialogue.connection
    connection.send_data(1, bytes(30))
    assert sizes(dialogue) == [10]
    dialogue.send(settings(window=4))  # The window is -6 now.
    dialogue.send(hf.WindowUpdateFrame(1, 6))
    assert sizes(dialogue) == []
    dialogue.send(hf.WindowUpdateFrame(1, 1))
    assert sizes(dialogue) == [1]
    dialogue.send(settings(window=9))
    assert sizes(dialogue) == [5]
    dialogue.send(settings(window=0), settings(window=100))
    assert sizes(dialogue) == [14]
    assert connection.unsent_total == 0


def test_6_9_2_a_window_that_closes_before_the_connection_opens() -> None:
    dialogue = opened(1, 3, window=WINDOW_MAX)
    connection = dialogue.connection
    connection.send_data(1, bytes(65_535))
    connection.send_data(3, bytes(10))
    dialogue.answers()
    dialogue.send(settings(window=0), hf.WindowUpdateFrame(0, 100))
    assert sizes(dialogue) == []
    dialogue.send(hf.WindowUpdateFrame(3, 4))
    assert sizes(dialogue, 3) == [4]
    assert connection.unsent(3) == 6


def test_6_9_2_the_largest_window_of_a_stream_that_is_gone_does_not_count() -> None:
    dialogue = opened(1, 3)
    dialogue.send(hf.WindowUpdateFrame(1, 2**30), hf.RstStreamFrame(1, 8), settings(window=2**30))
    dialogue.ping()


def test_streams_take_turns() -> None:
    dialogue = opened(1, 3, 5, window=WINDOW_MAX)
    connection = dialogue.connection
    connection.send_data(1, bytes(65_535))
    dialogue.answers()
    for stream_id in (1, 3, 5):
        connection.send_data(stream_id, bytes(40_000))
    dialogue.send(hf.WindowUpdateFrame(0, 100_000))
    order = [frame.stream_id for frame in dialogue.answers() if isinstance(frame, hf.DataFrame)]
    assert order == [1, 3, 5, 1, 3, 5, 1]
    assert connection.unsent_total == 20_000


def test_a_payload_is_written_as_it_is() -> None:
    dialogue = opened(1, frame=65_536)
    payload = bytes(60_000)
    dialogue.connection.send_data(1, payload)
    assert any(piece is payload for piece in dialogue.connection.output())


def test_a_large_message_through_tiny_windows_is_linear() -> None:
    dialogue = opened(1, window=0)
    dialogue.send(hf.WindowUpdateFrame(0, 2**30))
    payload = bytes(range(256)) * 4_096
    dialogue.connection.send_data(1, payload, end=True)
    received = bytearray()
    while dialogue.connection.streams_open:
        dialogue.now += 0.001
        dialogue.send(hf.WindowUpdateFrame(1, 100))
        for piece in dialogue.connection.output():
            received += piece if len(piece) != 9 else b""
    assert received == payload


def test_output_that_nobody_takes_is_bounded() -> None:
    """With windows of one byte, each byte would become a frame; while nothing is taken, windows add up."""
    dialogue = opened(1, window=0)
    connection = dialogue.connection
    connection.send_data(1, bytes(100_000))
    for _ in range(20_000):
        dialogue.send(hf.WindowUpdateFrame(1, 1))
    assert len(connection._out) <= OUTPUT_PIECES_MAX + 2
    assert sum(sizes(dialogue)) == 20_000


def test_consume_gives_back_in_few_updates() -> None:
    dialogue = Dialogue(Http2Limits(stream_window_bytes=100_000, connection_window_bytes=200_000))
    dialogue.open(1)
    updates: list[tuple[int, int]] = []
    for _ in range(100):
        dialogue.send(hf.DataFrame(1, bytes(10_000)))
        dialogue.connection.consume(1, 10_000)
        updates += [
            (frame.stream_id, frame.window_increment)
            for frame in dialogue.answers()
            if isinstance(frame, hf.WindowUpdateFrame)
        ]
    assert updates.count((1, 50_000)) == 20
    assert updates.count((0, 100_000)) == 10
    assert len(updates) == 30


def test_a_stream_that_nobody_reads_holds_up_no_other() -> None:
    limits = Http2Limits(
        stream_window_bytes=65_535, connection_window_bytes=65_535, unread_bytes_max=100_000
    )
    dialogue = Dialogue(limits)
    dialogue.open(1, 3, 5)
    for stream_id in (1, 3):
        for _ in range(3):
            dialogue.send(hf.DataFrame(stream_id, bytes(16_000)))
    assert dialogue.connection._credit.window > 32_000
    for _ in range(4):
        dialogue.send(hf.DataFrame(5, bytes(16_000)))
    assert dialogue.connection._credit.window < 16_000, "too much is unread now"
    assert not dialogue.connection.ended
    dialogue.connection.reset(1, Code.CANCEL)
    dialogue.connection.consume(3, 48_000)
    assert dialogue.connection._credit.window > 32_000


def test_what_a_closed_stream_left_unread_is_given_back() -> None:
    dialogue = Dialogue()
    connection = dialogue.connection
    dialogue.open(1, 3, 5)
    for stream_id in (1, 3, 5):
        dialogue.send(hf.DataFrame(stream_id, bytes(1_000), flags=["END_STREAM"]))
    connection.send_reply(1, HEAD, b"x", TAIL)
    dialogue.send(hf.RstStreamFrame(3, 8))
    connection.reset(5, Code.CANCEL)
    connection.consume(1, 1_000)
    assert connection._credit.unread == 0
