"""Frames about requests: what tables of rules don't tell; see `test_rules_of_connections.py` and `test_fields.py`."""

from __future__ import annotations

import hyperframe.frame as hf

from coordinator.wire.http2 import Code, Content, Headers, Http2Limits, Reset, frames
from coordinator.wire.http2.requests import RECEIVERS
from tests.unit.wire.http2.dialogue import REQUEST, Dialogue, replaced
from tests.unit.wire.http2.rules import raw


def test_every_kind_of_frame_has_its_method() -> None:
    names = [receive.__name__.removeprefix("_receive_").upper() for receive in RECEIVERS]
    assert len(names) == 256
    known = {number: name for number, name in enumerate(names) if name != "UNKNOWN"}
    assert known == {getattr(frames, name): name for name in known.values()}
    assert len(known) == 11


def test_a_mistake_on_a_stream_is_told_and_its_content_given_back() -> None:
    dialogue = Dialogue()
    dialogue.send(dialogue.headers(1, replaced(more=[(b"content-length", b"5")])))
    assert dialogue.send(raw(0, 0, 1, b"abc")) == [Content(1, b"abc", False, 3)]
    assert dialogue.send(raw(0, 0, 1, b"abc")) == [Reset(1, Code.PROTOCOL_ERROR)]
    assert dialogue.connection._credit.unread == 0


def test_refused_streams_keep_the_table_right() -> None:
    dialogue = Dialogue(Http2Limits(streams_max=1))
    new = [*REQUEST, (b"only", b"here")]
    dialogue.open(1)
    assert dialogue.send(dialogue.headers(3, new)) == []
    dialogue.expect_reset(Code.REFUSED_STREAM, 3)
    dialogue.connection.reset(1, Code.CANCEL)
    [headers] = dialogue.send(dialogue.headers(5, new))
    assert isinstance(headers, Headers)
    assert headers.block.fields == tuple(new)


def test_trailers_on_a_stream_that_we_reset_keep_the_table_right() -> None:
    dialogue = Dialogue()
    dialogue.open(1)
    dialogue.connection.reset(1, Code.CANCEL)
    late = [(b"a-trailer", b"its value")]
    assert dialogue.send(dialogue.headers(1, late, end=True)) == []
    [headers] = dialogue.send(dialogue.headers(3, REQUEST + late))
    assert isinstance(headers, Headers)
    assert headers.block.fields == tuple(REQUEST + late)


def test_content_of_closed_streams_is_given_back_to_the_connection() -> None:
    dialogue = Dialogue()
    dialogue.open(1)
    dialogue.connection.reset(1, Code.CANCEL)
    for _ in range(1_000):
        assert dialogue.send(hf.DataFrame(1, bytes(16_000))) == []
    assert not dialogue.connection.ended
    assert dialogue.counters.totals["frames_on_closed_streams"] == 1_000
