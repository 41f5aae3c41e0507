"""Events of watches, encoded once for all watchers that get the same bytes."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.gateways.etcd import render
from coordinator.gateways.etcd.pb import watch_pb2 as pb
from coordinator.node.watches import MatchedBatch

EVENTS_SIZE_BYTES_MAX = 2 * 1024 * 1024
"""Of the events of one revision, beyond which they are sent in fragments to those who can take them."""


def encode(matched: MatchedBatch, prev_kv: bool) -> bytes:
    """Returns the serialized events of a batch; made once."""
    encoded = matched.rendered.get(("etcd", prev_kv))
    if encoded is None:
        events = [render.event(event, matched.revision, prev_kv) for event in matched.events]
        encoded = pb.WatchEvents(events=events).SerializeToString()
        matched.rendered["etcd", prev_kv] = encoded
    assert isinstance(encoded, bytes)
    return encoded


def fragments(matched: MatchedBatch, prev_kv: bool) -> Iterator[bytes]:
    """Yields the serialized events of a batch in parts of about EVENTS_SIZE_BYTES_MAX, one at least."""
    part: list[bytes] = []
    size = 0
    for event in matched.events:
        message = render.event(event, matched.revision, prev_kv)
        encoded = pb.WatchEvents(events=[message]).SerializeToString()
        if part and size + len(encoded) > EVENTS_SIZE_BYTES_MAX:
            yield b"".join(part)
            part, size = [], 0
        part.append(encoded)
        size += len(encoded)
    yield b"".join(part)
