"""Snapshot files: the application's state at one index, so that the log before it can go.

A file is a header (magic, format version, size of the description, the description: index, term, members), a Zstandard
stream of slices, each `u32 length | bytes`, and a trailer (magic, BLAKE2b-128 of all before it). It is written aside,
synced and renamed; nothing of it is used before all of it was checked. The newest file counts.
"""

from __future__ import annotations

import hashlib
import io
import struct
import threading
from collections.abc import Iterable, Iterator

import msgspec
import zstandard

from coordinator.config import KIB, MIB
from coordinator.consensus.codec import Count
from coordinator.consensus.disk import WAY_OUT, Disk
from coordinator.errors import DamageError

FORMAT_VERSION = 1
_MAGIC = b"CRDSNAP\n"
_HEADER = struct.Struct("<8sHI")
_TRAILER = struct.Struct("<4s16s")
_TRAILER_MAGIC = b"\xc0End"
_SLICE = struct.Struct("<I")
_SLICE_SIZE_BYTES_MAX = 64 * MIB
_DESCRIPTION_SIZE_BYTES_MAX = 1 * MIB
_BLOCK = 256 * KIB
_PREFIX = "snapshot-"
_ASIDE = "snapshot.new"
_INCOMING = "snapshot.incoming"


class Description(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a snapshot is of."""

    index: Count
    term: Count
    members: tuple[tuple[int, str, str], ...]
    """(id, name, address) of each, as of `index`."""


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


class SnapshotCancelled(Exception):
    """Writing a snapshot was called off."""


class SnapshotStore:
    """The snapshots of one member. Its methods block; one thread at a time writes, others may read."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def newest(self) -> Snapshot | None:
        """Checks the newest snapshot and removes leftovers. Raises DamageError or OSError."""
        names = sorted(name for name in self._disk.names() if name.startswith(_PREFIX))
        for name in (_ASIDE, _INCOMING):
            if name in self._disk.names():
                self._disk.remove(name)
        if not names:
            return None
        newest = self._check(names[-1])
        if newest.name != _name(newest.index):
            raise _damage(newest.name, f"it was written for index {newest.index}")
        self._remove_all(names[:-1])
        return newest

    def write(
        self,
        description: Description,
        slices: Iterable[bytes],
        cancelled: threading.Event | None = None,
    ) -> Snapshot:
        """Writes a snapshot and makes it the newest one. Raises OSError or SnapshotCancelled."""
        writer = _Writer(self._disk, _ASIDE)
        about = msgspec.msgpack.encode(description)
        writer.write(_HEADER.pack(_MAGIC, FORMAT_VERSION, len(about)) + about)
        compressor = zstandard.ZstdCompressor(level=1).compressobj()
        for piece in slices:
            if cancelled is not None and cancelled.is_set():
                if _ASIDE in self._disk.names():
                    self._disk.remove(_ASIDE)
                raise SnapshotCancelled
            writer.write(compressor.compress(_SLICE.pack(len(piece)) + piece))
        writer.write(compressor.flush())
        size = writer.finish()
        return self._put(_ASIDE, description, size)

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

    def remove_older(self, newest: Snapshot) -> None:
        """Removes the snapshots before this one."""
        names = [name for name in self._disk.names() if name.startswith(_PREFIX)]
        self._remove_all([name for name in names if name < newest.name])

    # A snapshot that comes from another member.

    def receive(self, offset: int, content: bytes) -> None:
        """Adds the next part of the file; offset 0 begins anew. Raises OSError."""
        if offset == 0 and _INCOMING in self._disk.names():
            self._disk.remove(_INCOMING)
        self._disk.append(_INCOMING, content)

    def accept(self) -> Snapshot:
        """Checks the received file and makes it the newest. Raises DamageError (nothing is kept) or OSError."""
        self._disk.sync(_INCOMING)
        try:
            received = self._check(_INCOMING)
        except DamageError:
            self._disk.remove(_INCOMING)
            raise
        return self._put(_INCOMING, received.description, received.size)

    def _put(self, aside: str, description: Description, size: int) -> Snapshot:
        snapshot = Snapshot(_name(description.index), description, size)
        self._disk.rename(aside, snapshot.name)
        self._disk.sync_folder()
        return snapshot

    def _remove_all(self, names: Iterable[str]) -> None:
        removed = False
        for name in names:
            self._disk.remove(name)
            removed = True
        if removed:
            self._disk.sync_folder()

    def _check(self, name: str) -> Snapshot:
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


class _Writer:
    """Appends to a new file in blocks and seals it."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._digest = hashlib.blake2b(digest_size=16)
        self._pending = bytearray()
        self._size = 0
        if name in disk.names():
            disk.remove(name)

    def write(self, content: bytes) -> None:
        self._digest.update(content)
        self._pending += content
        if len(self._pending) >= _BLOCK:
            self._flush()

    def finish(self) -> int:
        """Adds the trailer, syncs, and returns the size of the file."""
        self._pending += _TRAILER.pack(_TRAILER_MAGIC, self._digest.digest())
        self._flush()
        self._disk.sync(self._name)
        return self._size

    def _flush(self) -> None:
        self._size += len(self._pending)
        self._disk.append(self._name, bytes(self._pending))
        self._pending.clear()


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
    return DamageError(f"{name} is damaged: {what}. {WAY_OUT}")
