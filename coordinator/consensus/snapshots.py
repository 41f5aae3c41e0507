"""Snapshot files: the application's state at one index, so that the log before it can go.

A file is a header (magic, format version, size of the description, the description: index, term, configuration), a
Zstandard stream of slices, each `u32 length | bytes`, and a trailer (magic, BLAKE2b-128 of all before it). It is
written aside, synced and renamed; nothing of it is used before all of it was checked. The newest file counts.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Container, Iterable, Iterator

import msgspec
import zstandard

from coordinator.config import KIB, MIB
from coordinator.consensus.codec import Count
from coordinator.consensus.configuration import Configuration
from coordinator.consensus.disk import WAY_OUT, Disk
from coordinator.errors import DamageError

FORMAT_VERSION = 2
_MAGIC = b"CRDSNAP\n"
_HEADER = struct.Struct("<8sHI")
_TRAILER = struct.Struct("<4s16s")
_TRAILER_MAGIC = b"\xc0End"
_SLICE = struct.Struct("<I")
_SLICE_SIZE_BYTES_MAX = 64 * MIB
_DESCRIPTION_SIZE_BYTES_MAX = 1 * MIB
_BLOCK = 256 * KIB
_SYNC_SIZE = 4 * MIB
"""What is written between two syncs: the journal's own must not wait behind a whole snapshot."""
_PREFIX = "snapshot-"
_ASIDE = "snapshot.new"
_INCOMING = "snapshot.incoming"


class Description(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a snapshot is of."""

    index: Count
    term: Count
    configuration: Configuration
    """The members as of `index`."""


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot file that was checked when it was written or opened."""

    name: str
    description: Description
    size: int
    """In bytes."""

    @property
    def index(self) -> int:
        return self.description.index

    @property
    def term(self) -> int:
        return self.description.term


class SnapshotStore:
    """The snapshots of one member. Its methods block; one thread at a time writes, others may read."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._unsynced = 0
        """Bytes that were received since the last sync."""

    def newest(self) -> Snapshot | None:
        """Checks the newest snapshot and removes leftovers. Raises DamageError or OSError."""
        names = self.names()
        for name in (_ASIDE, _INCOMING):
            if name in self._disk.names():
                self._disk.remove(name)
        if not names:
            return None
        newest = self.check(names[-1])
        if newest.name != _name(newest.index):
            raise _damage(newest.name, f"it was written for index {newest.index}")
        self._remove_all(names[:-1])
        return newest

    def names(self) -> list[str]:
        """The names of all snapshots, oldest first. Raises OSError."""
        return sorted(name for name in self._disk.names() if name.startswith(_PREFIX))

    def begin(self, description: Description) -> SnapshotWriter:
        """Begins to write a snapshot, which counts once its `finish` has returned. Raises OSError."""
        return SnapshotWriter(self._disk, description)

    def write(self, description: Description, slices: Iterable[bytes]) -> Snapshot:
        """Writes a snapshot and makes it the newest one. Raises OSError."""
        writer = self.begin(description)
        for piece in slices:
            writer.add(piece)
        return writer.finish()

    def slices(self, snapshot: Snapshot) -> Iterator[bytes]:
        """Yields the slices as they were written. Raises DamageError or OSError."""
        source = zstandard.ZstdDecompressor().stream_reader(
            io.BufferedReader(_FileReader(self._disk, snapshot), _BLOCK)
        )
        while header := _read_exactly(source, _SLICE.size, snapshot.name, may_end=True):
            (size,) = _SLICE.unpack(header)
            if size > _SLICE_SIZE_BYTES_MAX:
                raise _damage(snapshot.name, f"a slice of {size} bytes is too large")
            yield _read_exactly(source, size, snapshot.name)

    def read(self, snapshot: Snapshot, offset: int, size: int) -> bytes:
        """Part of the file as it is, for another member. Raises OSError."""
        return self._disk.read(snapshot.name, offset, size)

    def remove_older(self, newest: Snapshot, keep: Container[str] = ()) -> None:
        """Removes the snapshots before this one, but for those with a name in `keep`."""
        self._remove_all([name for name in self.names() if name < newest.name and name not in keep])

    # A snapshot that comes from another member.

    def receive(self, offset: int, content: bytes) -> None:
        """Adds the next part of the file; offset 0 begins anew. Raises OSError."""
        if offset == 0 and _INCOMING in self._disk.names():
            self._disk.remove(_INCOMING)
        self._disk.append(_INCOMING, content)
        self._unsynced += len(content)
        if self._unsynced >= _SYNC_SIZE:
            self._unsynced = 0
            self._disk.sync(_INCOMING)

    def accept(self) -> Snapshot:
        """Checks the received file and makes it the newest. Raises DamageError (nothing is kept) or OSError."""
        self._disk.sync(_INCOMING)
        try:
            received = self.check(_INCOMING)
        except DamageError:
            self._disk.remove(_INCOMING)
            raise
        return _put(self._disk, _INCOMING, received.description, received.size)

    def _remove_all(self, names: Iterable[str]) -> None:
        removed = False
        for name in names:
            self._disk.remove(name)
            removed = True
        if removed:
            self._disk.sync_folder()

    def check(self, name: str) -> Snapshot:
        """Reads a snapshot file to its end and checks all of it. Raises DamageError or OSError."""
        size = self._disk.size(name)
        body = size - _TRAILER.size
        digest = hashlib.blake2b(digest_size=16)
        for offset in range(0, max(0, body), _BLOCK):
            digest.update(self._disk.read(name, offset, min(_BLOCK, body - offset)))
        trailer = self._disk.read(name, body) if body > 0 else b""
        if trailer != _TRAILER.pack(_TRAILER_MAGIC, digest.digest()):
            raise _damage(name, "its checksum is wrong")
        magic, version, about_size = _HEADER.unpack(self._disk.read(name, 0, _HEADER.size))
        if magic != _MAGIC or about_size > min(_DESCRIPTION_SIZE_BYTES_MAX, body - _HEADER.size):
            raise _damage(name, "it does not begin like a snapshot")
        if version != FORMAT_VERSION:
            raise DamageError(
                f"{name} has format {version}; this program reads format {FORMAT_VERSION}: start the "
                "version of the program that wrote it"
            )
        about = self._disk.read(name, _HEADER.size, about_size)
        try:
            description = msgspec.msgpack.decode(about, type=Description)
        except (ValueError, RecursionError) as error:
            raise _damage(name, str(error)) from None
        return Snapshot(name, description, size)


class SnapshotWriter:
    """Writes one snapshot aside, slice by slice; one thread at a time uses it. All methods may raise OSError."""

    def __init__(self, disk: Disk, description: Description) -> None:
        self._disk = disk
        self._description = description
        self._digest = hashlib.blake2b(digest_size=16)
        self._pending = bytearray()
        self._size = 0
        self._unsynced = 0
        self._compressor = zstandard.ZstdCompressor(level=1).compressobj()
        self.cancel()
        about = msgspec.msgpack.encode(description)
        self._write(_HEADER.pack(_MAGIC, FORMAT_VERSION, len(about)) + about)

    def add(self, piece: bytes) -> None:
        """Adds a slice."""
        self._write(self._compressor.compress(_SLICE.pack(len(piece)) + piece))

    def finish(self) -> Snapshot:
        """Seals the file, syncs it and makes it the newest snapshot."""
        self._write(self._compressor.flush())
        self._pending += _TRAILER.pack(_TRAILER_MAGIC, self._digest.digest())
        self._flush()
        self._disk.sync(_ASIDE)
        return _put(self._disk, _ASIDE, self._description, self._size)

    def cancel(self) -> None:
        """Removes what was written."""
        if _ASIDE in self._disk.names():
            self._disk.remove(_ASIDE)

    def _write(self, content: bytes) -> None:
        self._digest.update(content)
        self._pending += content
        if len(self._pending) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._size += len(self._pending)
        self._unsynced += len(self._pending)
        self._disk.append(_ASIDE, bytes(self._pending))
        self._pending.clear()
        if self._unsynced >= _SYNC_SIZE:
            self._unsynced = 0
            self._disk.sync(_ASIDE)


def _put(disk: Disk, aside: str, description: Description, size: int) -> Snapshot:
    snapshot = Snapshot(_name(description.index), description, size)
    disk.rename(aside, snapshot.name)
    disk.sync_folder()
    return snapshot


class _FileReader(io.RawIOBase):
    """The compressed part of a snapshot file."""

    def __init__(self, disk: Disk, snapshot: Snapshot) -> None:
        self._disk = disk
        self._name = snapshot.name
        _, _, about_size = _HEADER.unpack(disk.read(snapshot.name, 0, _HEADER.size))
        self._offset = _HEADER.size + about_size
        self._end = snapshot.size - _TRAILER.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a narrower buffer type
        size = min(len(buffer), self._end - self._offset)
        content = self._disk.read(self._name, self._offset, size)
        buffer[: len(content)] = content
        self._offset += len(content)
        return len(content)


def _read_exactly(
    source: zstandard.ZstdDecompressionReader, size: int, name: str, *, may_end: bool = False
) -> bytes:
    content = bytearray()
    try:
        while len(content) < size and (part := source.read(size - len(content))):
            content += part
    except zstandard.ZstdError as error:
        raise _damage(name, str(error)) from None
    if len(content) != size and not (may_end and not content):
        raise _damage(name, "it ends early")
    return bytes(content)


def _name(index: int) -> str:
    return f"{_PREFIX}{index:016x}"


def _damage(name: str, what: str) -> DamageError:
    return DamageError(f"{name} is damaged: {what}. {WAY_OUT}", name)
