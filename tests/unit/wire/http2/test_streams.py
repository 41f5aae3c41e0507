"""The memory of streams that we ended."""

from __future__ import annotations

from coordinator.wire.http2.streams import EndedStreams


def test_the_oldest_are_forgotten_first() -> None:
    ended = EndedStreams(3)
    for stream_id in (1, 3, 5, 7):
        ended.add(stream_id)
    assert 1 not in ended and all(n in ended for n in (3, 5, 7))
    ended.discard(5)
    ended.discard(1)
    ended.add(9)
    assert len(ended) == 3 and 3 in ended and 5 not in ended
