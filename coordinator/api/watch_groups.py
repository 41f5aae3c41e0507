"""What many watches of one stream are told at the same time, in few messages and without encoding anything twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from coordinator.api import render
from coordinator.api.framing import field, packed_field, varint_field
from coordinator.node.watches import MatchedBatch
from coordinator_client.pb import watch_pb2

_RESPONSE = {f.name: f.number for f in watch_pb2.WatchResponse.DESCRIPTOR.fields}
_BATCHES = watch_pb2.WatchEvents.DESCRIPTOR.fields_by_name["batches"].number


def encoded_batches(matched: MatchedBatch, prev_kv: bool, size_max: int) -> list[bytes]:
    """Returns the events of a revision as they stand in `WatchEvents`, in one part or several."""
    rendered = matched.rendered.get(prev_kv)
    if rendered is None:
        batches = render.event_batches(matched.events, matched.revision, prev_kv, size_max)
        rendered = [field(_BATCHES, batch.SerializeToString()) for batch in batches]
        matched.rendered[prev_kv] = rendered
    return rendered  # type: ignore[return-value]  # only this function puts something there


def portions(parts: Iterable[bytes], size_max: int) -> Iterator[bytes]:
    """Yields the parts joined to about the size of a message, or a larger one alone."""
    taken: list[bytes] = []
    size = 0
    for part in parts:
        if taken and size + len(part) > size_max:
            yield b"".join(taken)
            taken, size = [], 0
        taken.append(part)
        size += len(part)
    if taken:
        yield b"".join(taken)


class Group:
    """The events of one message or a few: each watch has at most one delivery in it."""

    def __init__(self, size_max: int) -> None:
        """`size_max`: bytes of a message, more or less."""
        self._size_max = size_max
        self._told: set[int] = set()
        # What is told -> the watches that are, and the parts. The batches are kept, so that their ids stay theirs.
        self._entries: dict[tuple[object, ...], tuple[list[int], list[bytes]]] = {}
        self._kept: list[Sequence[MatchedBatch]] = []
        self._size = 0
        self.revision = 0
        """The highest one in it."""

    def __contains__(self, watch_id: int) -> bool:
        return watch_id in self._told

    @property
    def full(self) -> bool:
        """Whether it is time to send it."""
        return self._size >= self._size_max

    def add(
        self, watch_ids: Sequence[int], prev_kv: bool, delivery: Sequence[MatchedBatch]
    ) -> None:
        """Takes what watches are to be told, which may be nothing."""
        if not delivery:
            return
        self._told.update(watch_ids)
        self.revision = max(self.revision, delivery[-1].revision)
        identity = (prev_kv, *map(id, delivery))
        entry = self._entries.get(identity)
        if entry is None:
            parts = [
                part
                for matched in delivery
                for part in encoded_batches(matched, prev_kv, self._size_max)
            ]
            entry = self._entries[identity] = ([], parts)
            self._kept.append(delivery)
            self._size += sum(map(len, parts))
        entry[0].extend(watch_ids)
        self._size += 2 * len(watch_ids)

    def messages(self) -> Iterator[bytes]:
        """Yields the messages, each without its header."""
        items = (
            grouped(watch_ids, "events", events)
            for watch_ids, parts in self._entries.values()
            for events in portions(parts, self._size_max)
        )
        yield from portions(items, self._size_max)

    def messages_for(self, watch_id: int) -> Iterator[bytes]:
        """Yields the messages, each without its header, of a stream that knows no groups; `watch_id`: the only one."""
        ((_, parts),) = self._entries.values()
        for events in portions(parts, self._size_max):
            yield varint_field(_RESPONSE["watch_id"], watch_id) + field(_RESPONSE["events"], events)


def grouped(watch_ids: Sequence[int], kind: str, content: bytes) -> bytes:
    """Returns a response for some watches as it stands within another one."""
    response = varint_field(_RESPONSE["watch_id"], watch_ids[0])
    if len(watch_ids) > 1:
        response += packed_field(_RESPONSE["watch_ids"], watch_ids[1:])
    return field(_RESPONSE["grouped"], response + field(_RESPONSE[kind], content))
