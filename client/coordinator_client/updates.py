"""What a stream of watches brings: each thing that is told, with the watches that it is for."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator_client import calls
from coordinator_client.model import EventBatch
from coordinator_client.pb import watch_pb2


class Update:
    """One thing that is told to one watch, or alike to many, which share what was decoded."""

    __slots__ = ("_batches", "cluster_id", "kind", "response", "size_bytes")

    def __init__(self, response: watch_pb2.WatchResponse, cluster_id: int) -> None:
        self.response = response
        self.cluster_id = cluster_id
        self.kind = response.WhichOneof("response")
        self.size_bytes = response.ByteSize()
        self._batches: list[tuple[EventBatch, bool]] | None = None

    def batches(self) -> list[tuple[EventBatch, bool]]:
        """Returns the batches of events, each with whether it is only a part of what its revision brings."""
        batches = self._batches
        if batches is None:
            batches = self._batches = [
                (EventBatch(batch.revision, tuple(map(calls.event, batch.events))), batch.partial)
                for batch in self.response.events.batches
            ]
        return batches


def updates(message: watch_pb2.WatchResponse) -> Iterator[tuple[Update, list[int]]]:
    """Yields what a message says, in order, with the ids of the watches that it is for."""
    cluster_id = message.header.cluster_id
    for response in (message, *message.grouped):
        if response.WhichOneof("response") is not None:
            yield Update(response, cluster_id), [response.watch_id, *response.watch_ids]
