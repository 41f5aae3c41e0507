"""A snapshot file as it comes from a member: written aside, checked, and only then put under its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from coordinator_client import model
from coordinator_client.calls import Method
from coordinator_client.errors import CoordinatorError
from coordinator_client.pb import cluster_pb2 as pb

SNAPSHOT_SAVE = Method(
    "/coordinator.v1.Cluster/SnapshotSave", pb.SnapshotSaveRequest, pb.SnapshotSaveResponse
)
_TRAILER_MAGIC = b"\xc0End"
_TRAILER_SIZE = 20
"""The magic and a BLAKE2b of 16 bytes of all before it."""


class SnapshotDamaged(CoordinatorError):
    """What came is not what the member has: nothing was kept."""


class IncomingSnapshot:
    """Takes the pieces of one file. Methods raise OSError; after `finish` or `discard` nothing is left aside."""

    def __init__(self, path: Path, about: pb.SnapshotAbout) -> None:
        self._path = path
        self._aside = path.with_name(path.name + ".part")
        self._about = about
        self._digest = hashlib.blake2b(digest_size=16)
        self._tail = b""
        self._file = self._aside.open("wb")
        self.received = 0
        """Bytes."""

    @property
    def complete(self) -> bool:
        return self.received >= self._about.size_bytes

    @property
    def size(self) -> int:
        return self._about.size_bytes

    def add(self, chunk: bytes) -> None:
        """Writes the next piece."""
        self._file.write(chunk)
        self.received += len(chunk)
        pending = self._tail + chunk
        self._digest.update(pending[:-_TRAILER_SIZE])
        self._tail = pending[-_TRAILER_SIZE:]

    def finish(self) -> model.SavedSnapshot:
        """Checks the file, puts it on the disk and under its name. Raises SnapshotDamaged."""
        whole = self.received == self._about.size_bytes
        if not whole or self._tail != _TRAILER_MAGIC + self._digest.digest():
            self.discard()
            raise SnapshotDamaged("the snapshot that came is damaged: fetch it again")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._aside, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        about = self._about
        return model.SavedSnapshot(
            str(self._path),
            about.header.cluster_id,
            about.header.member_id,
            about.index,
            about.term,
            about.revision,
            about.size_bytes,
            self._digest.hexdigest(),
        )

    def discard(self) -> None:
        """Removes what was written. Idempotent."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._aside.unlink()
