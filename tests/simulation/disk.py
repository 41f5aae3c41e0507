"""A disk in memory that loses power, fills up, fails to sync, and dies in the middle of an operation."""

from __future__ import annotations

import errno
import random

from tests.simulation.loop import Cut


class _File:
    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = b""


class SimDisk:
    """Keeps to `coordinator.consensus.disk.Disk`; outlives the processes that use it.

    When power fails, what was appended and not synced survives as any prefix, its last part perhaps garbled; creations,
    renames and removals without `sync_folder` survive as any prefix of their order. A process that is killed loses
    nothing of that, but what it left unsynced is still at the mercy of the next power failure.
    """

    def __init__(self, chance: random.Random) -> None:
        self.full = False
        """Appending fails, after a part of it perhaps."""
        self.failing = False
        """Syncing fails; what it was to save may be lost."""
        self.cut_after: int | None = None
        """So many operations from now the process ends within one."""
        self.usual_slowness = 1.0
        self.slowness = 1.0
        self.syncs = 0
        self.faults = 0
        """Operations that were made to fail."""
        self._chance = chance
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._pending: list[tuple[str, str, _File]] = []

    def jobs(self) -> tuple[float, float]:
        """How long a job takes: until its effect, and from there until it is known."""
        total = self.slowness * self._chance.choice((2e-4, 1e-3, 1e-3, 3e-3, 1e-2))
        share = self._chance.choice((0.1, 0.5, 0.9))
        return total * share, total * (1 - share)

    def lose_power(self) -> None:
        """The machine stops and starts: leaves what may be left."""
        chance, files = self._chance, dict(self._durable)
        for kind, name, file in self._pending[: chance.randint(0, len(self._pending))]:
            if kind == "put":
                files[name] = file
            elif files.get(name) is file:
                del files[name]
        for file in files.values():
            self._forget_unsynced(file)
        self._files, self._durable, self._pending = files, dict(files), []
        self.cut_after = None

    def mend(self) -> None:
        """Works as usual from now on."""
        self.full = self.failing = False
        self.slowness = self.usual_slowness

    def _forget_unsynced(self, file: _File) -> None:
        chance, synced = self._chance, len(file.synced)
        tail = file.content[synced : chance.randint(synced, max(synced, len(file.content)))]
        if tail and chance.random() < 0.5:
            start = chance.randrange(len(tail))
            if chance.random() < 0.5:
                tail[start] ^= 1 << chance.randrange(8)
            else:
                # A block that was allocated and never written.
                tail[start:] = bytes(len(tail) - start)
        file.content = bytearray(file.synced) + tail
        file.synced = bytes(file.content)

    def _count(self) -> None:
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after <= 0:
                self.cut_after = None
                raise Cut

    def _refuse(self, number: int) -> OSError:
        self.faults += 1
        return OSError(number, "simulated: " + errno.errorcode[number])

    # coordinator.consensus.disk.Disk

    def names(self) -> list[str]:
        names = list(self._files)
        self._chance.shuffle(names)
        return names

    def size(self, name: str) -> int:
        return len(self._file(name).content)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        end = None if size is None else offset + size
        return bytes(self._file(name).content[offset:end])

    def append(self, name: str, content: bytes) -> None:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File()
            self._pending.append(("put", name, file))
        written = self._chance.randint(0, len(content))
        try:
            self._count()
        except Cut:
            file.content += content[:written]
            raise
        if self.full:
            file.content += content[:written]
            raise self._refuse(errno.ENOSPC)
        file.content += content

    def sync(self, name: str) -> None:
        self._count()
        self.syncs += 1
        if self.failing:
            raise self._refuse(errno.EIO)
        self._file(name).synced = bytes(self._file(name).content)

    def close(self, name: str) -> None:
        pass

    def truncate(self, name: str, size: int) -> None:
        self._count()
        file = self._file(name)
        del file.content[size:]
        file.synced = bytes(file.content)

    def rename(self, old: str, new: str) -> None:
        file = self._file(old)
        self._count()
        del self._files[old]
        self._files[new] = file
        # One step: the file has the new name or the old one.
        self._pending.append(("put", new, file))
        self._pending.append(("drop", old, file))

    def remove(self, name: str) -> None:
        file = self._file(name)
        self._count()
        del self._files[name]
        self._pending.append(("drop", name, file))

    def sync_folder(self) -> None:
        self._count()
        self._durable, self._pending = dict(self._files), []

    def _file(self, name: str) -> _File:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(name) from None
