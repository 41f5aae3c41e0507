"""The method of `coordinator.v1.Cluster` that gives out a snapshot."""

from __future__ import annotations

from coordinator.api import render
from coordinator.node.interface import Node
from coordinator.rpc import Bidi, Stream, deadline_of, send_in_time
from coordinator_client.pb import cluster_pb2

CHUNK_SIZE_BYTES = 256 * 1024
SaveStream = Stream[cluster_pb2.SnapshotSaveRequest, cluster_pb2.SnapshotSaveResponse]


class SavingMethod:
    """Streams a snapshot file, one chunk in memory at a time."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def method(self) -> Bidi:
        """Returns the method for a host."""
        pb = cluster_pb2
        return Bidi("SnapshotSave", pb.SnapshotSaveRequest, pb.SnapshotSaveResponse, self.save)

    async def save(self, stream: SaveStream) -> None:
        """Sends what the snapshot is of, and then the file."""
        node, pb = self._node, cluster_pb2
        if await stream.receive() is None:
            return
        deadline = deadline_of(stream, node.timing.request_timeout_ms_default / 1000)
        await node.read(local=False, min_revision=0, deadline=deadline)
        async with node.save() as save:
            file = save.file
            about = pb.SnapshotAbout(
                header=render.header(node, local=False),
                index=file.index,
                term=file.term,
                revision=save.revision,
                size_bytes=file.size,
            )
            await self._send(stream, pb.SnapshotSaveResponse(about=about))
            for offset in range(0, file.size, CHUNK_SIZE_BYTES):
                chunk = await file.read(offset, CHUNK_SIZE_BYTES)
                await self._send(stream, pb.SnapshotSaveResponse(chunk=chunk))

    async def _send(self, stream: SaveStream, message: cluster_pb2.SnapshotSaveResponse) -> None:
        stall_s = self._node.timing.snapshot_stall_ms / 1000
        await send_in_time(stream, message, "snapshot", stall_s)
