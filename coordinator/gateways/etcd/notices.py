"""Watch responses with events: the events are encoded once for all watchers that get the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coordinator.gateways.etcd import render
from coordinator.gateways.etcd.pb import watch_pb2 as pb
from coordinator.node.watches import MatchedBatch

EVENTS_SIZE_BYTES_MAX = 2 * 1024 * 1024
"""Of the events of one revision, beyond which they are sent in fragments to those who can take them."""


class Notice:
    """A `WatchResponse` whose events are bytes already: fields of a message may stand in any order, and in pieces."""

    __slots__ = ("_events", "_head")

    def __init__(self, head: pb.WatchResponse, events: Sequence[bytes]) -> None:
        """`events`: serialized `WatchEvents`."""
        self._head = head
        self._events = events

    def SerializeToString(self) -> bytes:
        """Returns the bytes of the message."""
        return b"".join((self._head.SerializeToString(), *self._events))

    def ByteSize(self) -> int:
        """Returns how many they are."""
        return self._head.ByteSize() + sum(map(len, self._events))


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
