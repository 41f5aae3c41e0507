"""A disk in memory that can lose power, fail, and be slow, one file operation at a time."""

from __future__ import annotations

import random
import threading


class Crash(Exception):
    """The program ended in the middle of a file operation."""


class _File:
    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = b""


class FaultDisk:
    """Keeps to `coordinator.consensus.disk.Disk`.

    What was appended and not synced survives a power failure as any prefix, its last part perhaps garbled; creations,
    renames and removals without `sync_folder` survive as any prefix of their order.
    """

    def __init__(self) -> None:
        self.files: dict[str, _File] = {}
        self.operations = 0
        self.crash_at: int | None = None
        """The number of the operation that ends in a `Crash`."""
        self.sync_error: OSError | None = None
        """What every sync raises from now on."""
        self.syncs = 0
        self._durable: dict[str, _File] = {}
        self._pending: list[tuple[str, str, _File]] = []
        self.holding = False
        self._admitted = 0
        self._gate = threading.Condition()

    def hold_syncs(self) -> None:
        """No sync returns until `release_syncs`."""
        self.holding = True

    def release_syncs(self) -> None:
        with self._gate:
            self.holding = False
            self._gate.notify_all()

    def release_one_sync(self) -> None:
        """Lets one sync through; the next one is held back again."""
        with self._gate:
            self._admitted += 1
            self._gate.notify()

    def _wait_at_gate(self) -> None:
        with self._gate:
            self._gate.wait_for(lambda: self._admitted or not self.holding)
            self._admitted -= self.holding

    def lose_power(self, chance: random.Random) -> None:
        """The machine stops and starts: leaves what may be left."""
        files = dict(self._durable)
        for kind, name, file in self._pending[: chance.randint(0, len(self._pending))]:
            if kind == "put":
                files[name] = file
            elif files.get(name) is file:
                del files[name]
        for file in files.values():
            synced = len(file.synced)
            tail = file.content[synced : chance.randint(synced, max(synced, len(file.content)))]
            if tail and chance.random() < 0.5:
                tail[chance.randrange(len(tail))] ^= 1 << chance.randrange(8)
            file.content = bytearray(file.synced) + tail
            file.synced = bytes(file.content)
        self.files, self._durable, self._pending = files, dict(files), []
        self.crash_at = None

    def flip(self, name: str, offset: int, bit: int = 0) -> None:
        """Changes one bit of a file for good."""
        file = self.files[name]
        file.content[offset] ^= 1 << bit
        file.synced = bytes(file.content)

    def _count(self) -> None:
        self.operations += 1
        if self.crash_at is not None and self.operations >= self.crash_at:
            raise Crash

    # coordinator.consensus.disk.Disk

    def names(self) -> list[str]:
        return list(self.files)

    def size(self, name: str) -> int:
        return len(self._file(name).content)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        end = None if size is None else offset + size
        return bytes(self._file(name).content[offset:end])

    def append(self, name: str, content: bytes) -> None:
        file = self.files.get(name)
        if file is None:
            file = self.files[name] = _File()
            self._pending.append(("put", name, file))
        try:
            self._count()
        except Crash:
            file.content += content[: len(content) // 2]
            raise
        file.content += content

    def sync(self, name: str) -> None:
        self._wait_at_gate()
        if self.sync_error is not None:
            raise self.sync_error
        self._count()
        self.syncs += 1
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
        del self.files[old]
        self.files[new] = file
        # One step: the file has the new name or the old one.
        self._pending.append(("put", new, file))
        self._pending.append(("drop", old, file))

    def remove(self, name: str) -> None:
        file = self._file(name)
        self._count()
        del self.files[name]
        self._pending.append(("drop", name, file))

    def sync_folder(self) -> None:
        self._count()
        self._durable, self._pending = dict(self.files), []

    def _file(self, name: str) -> _File:
        try:
            return self.files[name]
        except KeyError:
            raise FileNotFoundError(name) from None
