"""A folder as it would be after changes that are only noted: for whoever looks and must not touch."""

from __future__ import annotations

from coordinator.consensus.disk import Disk


class Overlay:
    """Keeps to `disk.Disk`, and never changes the disk under it: what would be is only noted here.

    New content is not kept: appending some is a mistake (AssertionError), as nobody who only reads has any.
    """

    def __init__(self, disk: Disk) -> None:
        """Reads the names of the files, which are those of this moment. Raises OSError."""
        self._disk = disk
        self._origins = {name: name for name in disk.names()}
        self.truncated: dict[str, tuple[int, int]] = {}
        """(size that is left, size that the file has), by name."""
        self.removed: list[str] = []

    def names(self) -> list[str]:
        return list(self._origins)

    def size(self, name: str) -> int:
        if name in self.truncated:
            return self.truncated[name][0]
        return self._disk.size(self._origin(name))

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        if name in self.truncated:
            left = max(0, self.truncated[name][0] - offset)
            size = left if size is None else min(size, left)
        return self._disk.read(self._origin(name), offset, size)

    def append(self, name: str, content: bytes) -> None:
        assert not content, "a folder that is only looked at was written to"

    def sync(self, name: str) -> None:
        pass

    def close(self, name: str) -> None:
        pass

    def truncate(self, name: str, size: int) -> None:
        self.truncated[name] = (size, self._disk.size(self._origin(name)))

    def rename(self, old: str, new: str) -> None:
        self._origins[new] = self._origin(old)
        del self._origins[old]

    def remove(self, name: str) -> None:
        self._origin(name)
        del self._origins[name]
        self.removed.append(name)

    def sync_folder(self) -> None:
        pass

    def _origin(self, name: str) -> str:
        try:
            return self._origins[name]
        except KeyError:
            raise FileNotFoundError(name) from None
