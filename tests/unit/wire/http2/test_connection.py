"""What the layer above may count on, with an `h2` client at the other end."""

from __future__ import annotations

import h2.events
import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import (
    Connection,
    Content,
    Counters,
    Ended,
    Event,
    GoneAway,
    Headers,
    Http2Limits,
    Ponged,
    Reset,
    Trailers,
    encode_block,
)
from coordinator.wire.http2.frames import PREFACE, Code
from tests.unit.wire.http2.dialogue import REQUEST, Dialogue, Pair

HEAD = encode_block([(b":status", b"200"), (b"content-type", b"application/grpc")])
TAIL = encode_block([(b"grpc-status", b"0")])


def test_unary_call() -> None:
    pair = Pair()
    pair.client.send_headers(1, REQUEST)
    pair.client.send_data(1, b"question", end_stream=True)
    headers, data = pair.exchange()
    assert isinstance(headers, Headers)
    assert headers.block.fields == tuple(REQUEST)
    assert data == Content(1, b"question", True, 8)
    assert pair.server.streams_open == 1
    assert pair.server.send_reply(1, HEAD, b"answer", TAIL)
    assert pair.server.streams_open == 0
    pair.exchange()
    kinds = [type(event) for event in pair.told[-4:]]
    assert kinds == [
        h2.events.ResponseReceived,
        h2.events.DataReceived,
        h2.events.TrailersReceived,
        h2.events.StreamEnded,
    ]
    assert not pair.server.send_data(1, b"late")


def test_repeated_block_is_the_same_object() -> None:
    pair = Pair()
    blocks = []
    for stream_id in (1, 3, 5):
        pair.client.send_headers(stream_id, REQUEST, end_stream=True)
        [headers] = pair.exchange()
        assert isinstance(headers, Headers)
        blocks.append(headers.block)
    assert blocks[0] is not blocks[1], "the first one filled the dynamic table"
    assert blocks[1] is blocks[2]
    assert blocks[0].fields == blocks[1].fields


def test_content_waits_for_windows() -> None:
    pair = Pair()
    pair.client.send_headers(1, REQUEST, end_stream=True)
    pair.exchange()
    payload = bytes(range(256)) * 1024
    pair.server.send_headers(1, HEAD)
    pair.server.send_data(1, payload)
    pair.server.send_trailers(1, TAIL)
    received = bytearray()
    assert pair.server.unsent(1) == pair.server.unsent_total > 0
    pair.exchange()
    while pair.told:
        event = pair.told.pop(0)
        if isinstance(event, h2.events.DataReceived):
            assert event.data is not None and event.flow_controlled_length is not None
            received += event.data
            pair.client.acknowledge_received_data(event.flow_controlled_length, 1)
            pair.exchange()
    assert received == payload
    assert pair.server.unsent_total == pair.server.streams_open == 0


def test_trailers_end_a_request() -> None:
    pair = Pair()
    pair.client.send_headers(1, REQUEST)
    pair.client.send_headers(1, [(b"x", b"y")], end_stream=True)
    _, trailers = pair.exchange()
    assert isinstance(trailers, Trailers)
    assert trailers.block.fields == ((b"x", b"y"),)


def test_client_resets_a_stream() -> None:
    pair = Pair()
    pair.client.send_headers(1, REQUEST)
    pair.client.reset_stream(1, Code.CANCEL)
    assert pair.exchange()[1:] == [Reset(1, Code.CANCEL)]
    assert not pair.server.send_reply(1, HEAD, b"x", TAIL)


def test_early_reply_asks_the_client_to_stop() -> None:
    dialogue = Dialogue()
    dialogue.open(1)
    dialogue.answers()
    dialogue.connection.send_reply(1, HEAD, b"x", TAIL)
    frames = dialogue.answers()
    assert isinstance(frames[-1], hf.RstStreamFrame)
    assert frames[-1].error_code == Code.NO_ERROR
    assert dialogue.send(hf.DataFrame(1, b"late")) == []
    dialogue.ping()


def test_drain() -> None:
    dialogue = Dialogue()
    dialogue.open(1)
    connection = dialogue.connection
    dialogue.answers()
    connection.shut_down()
    connection.ping(b"12345678")
    notice, ping = dialogue.answers()
    assert isinstance(notice, hf.GoAwayFrame) and isinstance(ping, hf.PingFrame)
    assert (notice.last_stream_id, notice.error_code) == (2**31 - 1, Code.NO_ERROR)
    dialogue.open(3)
    assert dialogue.send(hf.PingFrame(0, b"12345678", flags=["ACK"])) == [Ponged(b"12345678")]
    connection.finish()
    assert dialogue.answer(hf.GoAwayFrame).last_stream_id == 3
    assert dialogue.send(dialogue.headers(5), hf.DataFrame(5, b"x" * 100)) == []
    assert dialogue.answers() == []
    connection.finish(Code.INTERNAL_ERROR)
    assert dialogue.answer(hf.GoAwayFrame).last_stream_id == 3
    assert connection.send_reply(1, HEAD, b"x", TAIL) and connection.send_reply(3, HEAD, b"", TAIL)
    assert connection.streams_open == 0


def test_client_goes_away() -> None:
    pair = Pair()
    pair.client.close_connection()
    assert pair.exchange() == [GoneAway(0, 0)]


@pytest.mark.parametrize(
    ("opening", "seen"),
    [(b"GET / HTTP/1.1", b"G"), (b"PUT", b"PU"), (b"PRI * HTTP/1.1", b"PRI * HTTP/1")],
)
@pytest.mark.parametrize("size", [1, 100])
def test_another_protocol_is_handed_over(opening: bytes, seen: bytes, size: int) -> None:
    connection = Connection(Http2Limits(), counters := Counters())
    connection.begin()
    events: list[Event] = []
    for start in range(0, len(opening), size):
        events += connection.receive(opening[start : start + size], 0.0)
    assert [type(event) for event in events] == [Ended]
    assert connection.foreign and not connection.greeted
    assert connection.opening == (seen if size == 1 else opening)
    assert connection.output() == []
    assert counters.totals["foreign_preface"] == 1


def test_nothing_is_written_before_the_preface() -> None:
    connection = Connection(Http2Limits(), Counters())
    connection.begin()
    assert connection.receive(PREFACE[:-1], 0.0) == []
    assert connection.output() == [] and not connection.foreign
    assert connection.opening == PREFACE[:-1]
    assert connection.receive(PREFACE[-1:], 0.0) == []
    assert connection.greeted and connection.output()


def test_a_client_has_begun_with_its_settings() -> None:
    connection = Connection(Http2Limits(), Counters())
    connection.receive(PREFACE, 0.0)
    assert connection.greeted and not connection.settled
    connection.receive(hf.SettingsFrame(0).serialize(), 0.0)
    assert connection.settled
