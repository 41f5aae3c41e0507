"""Frames about the connection: what tables of rules don't tell; see `test_rules_of_frames.py`."""

from __future__ import annotations

import hyperframe.frame as hf

from coordinator.wire.http2 import Connection, Counters, Http2Limits
from coordinator.wire.http2.frames import PREFACE
from tests.unit.wire.http2.dialogue import Dialogue, parse
from tests.unit.wire.http2.rules import raw


def settings_of(limits: Http2Limits) -> list[hf.Frame]:
    connection = Connection(limits, Counters())
    connection.begin()
    connection.receive(PREFACE, 0.0)
    return parse(b"".join(connection.output()))


def test_our_settings() -> None:
    settings, update = settings_of(Http2Limits())
    assert isinstance(settings, hf.SettingsFrame) and isinstance(update, hf.WindowUpdateFrame)
    assert settings.settings == {3: 20_000, 4: 1 << 20, 6: 16_384}
    assert (update.stream_id, update.window_increment) == (0, (4 << 20) - 65_535)
    limits = Http2Limits(
        header_table_size_bytes=100, frame_size_bytes_max=20_000, connection_window_bytes=1
    )
    [settings] = settings_of(limits)
    assert isinstance(settings, hf.SettingsFrame)
    assert settings.settings == {1: 100, 3: 20_000, 4: 1 << 20, 5: 20_000, 6: 16_384}


def test_a_smaller_table_holds_once_it_is_acknowledged() -> None:
    dialogue = Dialogue(Http2Limits(header_table_size_bytes=100), greet=False)
    dialogue.send(PREFACE, hf.SettingsFrame(0))
    dialogue.open(1, 3)
    dialogue.send(hf.SettingsFrame(0, flags=["ACK"]))
    dialogue.encoder.header_table_size = 100
    dialogue.open(5)
    dialogue.send(raw(1, 5, 7, b"\x3f\xff\x1f"))
    assert dialogue.connection.ended
    assert dialogue.counters.totals["compression_errors"] == 1


def test_a_larger_table_may_be_used_at_once() -> None:
    dialogue = Dialogue(Http2Limits(header_table_size_bytes=10_000), greet=False)
    dialogue.send(PREFACE, hf.SettingsFrame(0))
    dialogue.encoder.header_table_size = 10_000
    dialogue.open(1, 3)


def test_unknown_frames_are_counted() -> None:
    dialogue = Dialogue()
    dialogue.send(raw(200, 0, 0), raw(201, 0, 9, b"x"))
    assert dialogue.counters.totals["unknown_frames"] == 2
