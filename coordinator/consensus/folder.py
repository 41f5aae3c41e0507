"""The data folder of one member: who owns it, and that only one process uses it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from coordinator.consensus import aside
from coordinator.consensus.configuration import Configuration
from coordinator.consensus.disk import WAY_OUT, Disk, LocalDisk
from coordinator.errors import ConfigError, CoordinatorError, DamageError, FatalError

IDENTITY = "identity.json"
LOCK = "lock"
_PASSING = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
"""Failures of the disk: another start may succeed without any change."""
FORMAT_VERSION = 2


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a data folder says about its owner."""

    format: int
    cluster_key: int
    member_id: int
    name: str
    configuration: Configuration
    """The members that were there when the folder was new; the log knows what became of them."""
    reborn: Literal["", "restored", "forced"] = ""
    """Whether the cluster was made from what another one left: from a snapshot of it, or by its last survivor."""


class _Version(msgspec.Struct, frozen=True):
    format: int


class MemberFolder:
    """An opened and locked data folder."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        """Makes the folder if need be, locks it, and finishes what was decided about it.

        Raises ConfigError, or FatalError if the disk fails or what was decided can't be read.
        With a `disk`, which takes the place of the folder's files, there is nothing to make or to lock.
        """
        self.path = path
        self.disk: Disk = disk or LocalDisk(path)
        self._lock = -1
        if disk is None:
            self._acquire()
        try:
            aside.settle(self.disk)
        except OSError as error:
            self.release()
            raise unusable(path, error) from error
        except BaseException:
            self.release()
            raise

    def _acquire(self) -> None:
        path = self.path
        try:
            _make_folder(path)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"can't use the data folder {path}: {reason}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise ConfigError(
                f"the data folder {path} is in use by another process: stop it, or name another folder"
            ) from None

    def release(self) -> None:
        """Lets another process use the folder. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def check(self, identity: Identity) -> Identity | None:
        """Returns what an owner before this one wrote, None if there was none.

        Raises ConfigError if that was another member, or DamageError.
        """
        found = read_identity(self.path, self.disk)
        if found is None:
            return None
        if found.cluster_key != identity.cluster_key:
            raise ConfigError(
                f"the data folder {self.path} belongs to another cluster, of which this would be member "
                f"{found.name!r}: check the cluster token and the names of the members, or name another "
                "folder"
            )
        if (found.member_id, found.name) != (identity.member_id, identity.name):
            raise ConfigError(
                f"the data folder {self.path} belongs to member {found.name!r}, not "
                f"{identity.name!r}: name the folder of this member"
            )
        return found

    def claim(self, identity: Identity) -> None:
        """Writes who owns the folder. Raises OSError."""
        write_identity(self.disk, identity)


def write_identity(disk: Disk, identity: Identity) -> None:
    """Writes who owns a folder. Raises OSError."""
    new = IDENTITY + ".new"
    if new in disk.names():
        disk.remove(new)
    disk.append(new, msgspec.json.encode(identity) + b"\n")
    disk.sync(new)
    disk.rename(new, IDENTITY)
    disk.sync_folder()


def _make_folder(path: Path) -> None:
    """Makes the folder and those above it, each durably before the next: else a power loss could take all away."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True, mode=0o700 if folder == path else 0o777)
        LocalDisk(folder.parent).sync_folder()


def read_identity(path: Path, disk: Disk | None = None) -> Identity | None:
    """What a data folder, which may be in use, says about its owner; None: it has none, or there is no folder.

    Raises ConfigError if it can't be read, DamageError if it is not what was written.
    """
    disk = disk or LocalDisk(path)
    try:
        waits = aside.decided(disk) and aside.PREFIX + IDENTITY in disk.names()
        content = disk.read(aside.PREFIX + IDENTITY if waits else IDENTITY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"can't read {path / IDENTITY}: {error.strerror}") from None
    try:
        version = msgspec.json.decode(content, type=_Version).format
        if version != FORMAT_VERSION:
            raise ConfigError(
                f"the data folder {path} has format {version}; this program knows format {FORMAT_VERSION}"
            )
        return msgspec.json.decode(content, type=Identity)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{path / IDENTITY} can't be read: {error}. {WAY_OUT}") from None


def unusable(path: Path, error: OSError) -> CoordinatorError:
    """The error for a folder that can't be used: of the configuration, or one that may pass."""
    message = f"can't use the data folder {path}: {error}"
    return FatalError(message) if error.errno in _PASSING else ConfigError(message)
