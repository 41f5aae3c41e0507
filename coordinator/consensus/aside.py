"""Files that wait beside those of a member's folder until a plan, decided by one rename, puts them in their place.

Before the plan is there, such files are leftovers. From then on whoever opens the folder finishes what the plan says,
however often that is interrupted: what the folder holds is all old, or all new.
"""

from __future__ import annotations

import msgspec

from coordinator.consensus.disk import WAY_OUT, Disk
from coordinator.errors import DamageError

PREFIX = "next."
_PLAN = "plan.json"
_FORMAT_VERSION = 1
_REPLACED = ("journal-", "snapshot-", "snapshot.")
"""How the names of files begin that go when others take their place."""


class _Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    files: tuple[str, ...]
    """All files that the folder is to hold, under the names that they get."""


class AsideDisk:
    """The files of a folder that wait, under the names that they will have. Keeps to `disk.Disk`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def names(self) -> list[str]:
        return [n.removeprefix(PREFIX) for n in self._disk.names() if n.startswith(PREFIX)]

    def size(self, name: str) -> int:
        return self._disk.size(PREFIX + name)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        return self._disk.read(PREFIX + name, offset, size)

    def append(self, name: str, content: bytes) -> None:
        self._disk.append(PREFIX + name, content)

    def sync(self, name: str) -> None:
        self._disk.sync(PREFIX + name)

    def close(self, name: str) -> None:
        self._disk.close(PREFIX + name)

    def truncate(self, name: str, size: int) -> None:
        self._disk.truncate(PREFIX + name, size)

    def rename(self, old: str, new: str) -> None:
        self._disk.rename(PREFIX + old, PREFIX + new)

    def remove(self, name: str) -> None:
        self._disk.remove(PREFIX + name)

    def sync_folder(self) -> None:
        self._disk.sync_folder()


def decided(disk: Disk) -> bool:
    """Whether the files that wait are to take the place of the others."""
    return PREFIX + _PLAN in disk.names()


def decide(disk: Disk) -> None:
    """Lets the files that wait, all of them synced, take the place of the others, from now on. Raises OSError."""
    aside = AsideDisk(disk)
    plan = _Plan(_FORMAT_VERSION, tuple(sorted(aside.names())))
    new = _PLAN + ".new"
    aside.append(new, msgspec.json.encode(plan) + b"\n")
    aside.sync(new)
    # The names of the files that wait are on disk before the plan that relies on them.
    aside.sync_folder()
    aside.rename(new, _PLAN)
    aside.sync_folder()


def settle(disk: Disk) -> None:
    """Finishes what was decided, or removes what was not. Raises DamageError or OSError."""
    if not decided(disk):
        _remove(disk, [name for name in disk.names() if name.startswith(PREFIX)])
        return
    try:
        plan = msgspec.json.decode(disk.read(PREFIX + _PLAN), type=_Plan)
        if plan.format != _FORMAT_VERSION:
            raise ValueError(f"it has format {plan.format}")
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{PREFIX}{_PLAN} can't be read: {error}. {WAY_OUT}") from None
    for name in plan.files:
        if PREFIX + name in disk.names():
            disk.rename(PREFIX + name, name)
    disk.sync_folder()
    replaced = (name for name in disk.names() if name.startswith(_REPLACED))
    _remove(disk, [name for name in replaced if name not in plan.files])
    _remove(disk, [PREFIX + _PLAN])


def _remove(disk: Disk, names: list[str]) -> None:
    for name in names:
        disk.remove(name)
    if names:
        disk.sync_folder()
