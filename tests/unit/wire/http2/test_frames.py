"""Frames as bytes, read by `hyperframe`."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import frames
from tests.unit.wire.http2.dialogue import parse


def one(content: bytes) -> hf.Frame:
    [frame] = parse(content)
    return frame


def test_control_frames() -> None:
    update = one(frames.window_update(5, 77))
    assert isinstance(update, hf.WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (5, 77)
    reset = one(frames.rst_stream(7, frames.Code.CANCEL))
    assert isinstance(reset, hf.RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (7, 8)
    ping = one(frames.ping(b"12345678", frames.ACK))
    assert isinstance(ping, hf.PingFrame)
    assert ping.opaque_data == b"12345678" and "ACK" in ping.flags
    goaway = one(frames.goaway(9, 11, b"why"))
    assert isinstance(goaway, hf.GoAwayFrame)
    assert (goaway.last_stream_id, goaway.error_code, goaway.additional_data) == (9, 11, b"why")


def test_settings() -> None:
    settings = one(
        frames.settings([(frames.MAX_CONCURRENT_STREAMS, 5), (frames.MAX_FRAME_SIZE, 20_000)])
    )
    assert isinstance(settings, hf.SettingsFrame)
    assert settings.settings == {3: 5, 5: 20_000}
    assert "ACK" in one(frames.SETTINGS_ACK).flags


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 21, 35])
@pytest.mark.parametrize("end", [False, True])
def test_header_frames(size: int, end: bool) -> None:
    block = bytes(range(size))
    found = parse(frames.header_frames(3, block, 10, end))
    assert isinstance(found[0], hf.HeadersFrame)
    assert ("END_STREAM" in found[0].flags) == end
    assert ["END_HEADERS" in frame.flags for frame in found] == [False] * (len(found) - 1) + [True]
    pieces = [
        frame.data for frame in found if isinstance(frame, hf.HeadersFrame | hf.ContinuationFrame)
    ]
    assert b"".join(pieces) == block and all(len(piece) <= 10 for piece in pieces)
