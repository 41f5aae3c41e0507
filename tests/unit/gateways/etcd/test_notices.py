"""Events that are encoded once."""

from __future__ import annotations

import pytest

from coordinator.gateways.etcd import notices
from coordinator.gateways.etcd.notices import encode, fragments
from coordinator.gateways.etcd.pb import watch_pb2 as pb
from coordinator.node.watches import MatchedBatch
from coordinator.state.model import Event, KeyValue


def batch(count: int) -> MatchedBatch:
    return MatchedBatch(
        7,
        tuple(
            Event(b"k%d" % n, KeyValue(b"k%d" % n, b"v" * 100, 7, 7, 1, 0), None)
            for n in range(count)
        ),
    )


def test_encoding_is_kept_apart_by_previous_keys() -> None:
    prev = KeyValue(b"k", b"old", 2, 2, 1, 0)
    matched = MatchedBatch(3, (Event(b"k", None, prev),))
    with_prev = pb.WatchEvents.FromString(encode(matched, True)).events[0]
    without = pb.WatchEvents.FromString(encode(matched, False)).events[0]
    assert with_prev.prev_kv.value == b"old" and not without.HasField("prev_kv")
    assert encode(matched, True) is encode(matched, True)


@pytest.mark.parametrize(("count", "parts"), [(1, 1), (2, 2), (5, 5)])
def test_fragments(count: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "EVENTS_SIZE_BYTES_MAX", 150)
    found = list(fragments(batch(count), False))
    assert len(found) == parts
    assert b"".join(found) == encode(batch(count), False)
