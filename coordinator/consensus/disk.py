"""The few things that consensus does with files: one folder, append-only files, explicit syncs.

`LocalDisk` is the real one. Tests put others in its place that lose power or hold back a sync.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

WAY_OUT = (
    "Replace this member, whose data comes back from the others: `coordctl member remove` it, empty its data "
    "folder, `coordctl member add` it and start it with --join. An older copy of the folder, or an empty one under "
    "the old id, would have forgotten what this member promised"
)
"""What to do about damage."""

_sync_contents = getattr(os, "fdatasync", os.fsync)


class Disk(Protocol):
    """A flat folder of files. Every method may raise OSError; a file is used by one thread at a time."""

    def names(self) -> list[str]:
        """Names of all files, in no order."""
        ...

    def size(self, name: str) -> int: ...

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Reads up to `size` bytes from `offset`; without a size, to the end."""
        ...

    def append(self, name: str, content: bytes) -> None:
        """Writes at the end of a file, which is made if there is none."""
        ...

    def sync(self, name: str) -> None:
        """Returns when everything appended to this file is on stable storage."""
        ...

    def close(self, name: str) -> None:
        """Lets go of a file that was appended to."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Shortens a file and syncs it."""
        ...

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def sync_folder(self) -> None:
        """Returns when creations, renames and removals are on stable storage."""
        ...


class LocalDisk:
    """A folder of the file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, int] = {}

    def names(self) -> list[str]:
        return [entry.name for entry in self.folder.iterdir() if entry.is_file()]

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        with (self.folder / name).open("rb") as file:
            file.seek(offset)
            return file.read(-1 if size is None else size)

    def append(self, name: str, content: bytes) -> None:
        descriptor = self._open.get(name)
        if descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = self._open[name] = os.open(self.folder / name, flags, 0o600)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, name: str) -> None:
        _sync_contents(self._open[name])

    def close(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def truncate(self, name: str, size: int) -> None:
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        self.close(old)
        os.rename(self.folder / old, self.folder / new)

    def remove(self, name: str) -> None:
        self.close(name)
        os.unlink(self.folder / name)

    def sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
