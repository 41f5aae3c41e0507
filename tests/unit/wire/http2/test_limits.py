"""Limits that HTTP/2 can't express are refused."""

from __future__ import annotations

import pytest

from coordinator.wire.http2 import Http2Limits


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame_size_bytes_max": 16_383},
        {"frame_size_bytes_max": 2**24},
        {"stream_window_bytes": 2**31},
        {"connection_window_bytes": -1},
    ],
)
def test_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Http2Limits(
            frame_size_bytes_max=wrong.get("frame_size_bytes_max", 16_384),
            stream_window_bytes=wrong.get("stream_window_bytes", 0),
            connection_window_bytes=wrong.get("connection_window_bytes", 2**31 - 1),
        )
