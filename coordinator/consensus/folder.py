"""The data folder of one member: who owns it, and that only one process uses it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from coordinator.consensus.disk import WAY_OUT, LocalDisk
from coordinator.errors import ConfigError, DamageError

IDENTITY = "identity.json"
LOCK = "lock"
FORMAT_VERSION = 1


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a data folder says about its owner."""

    format: int
    cluster_key: int
    member_id: int
    name: str


class MemberFolder:
    """An opened and locked data folder."""

    def __init__(self, path: Path) -> None:
        """Makes the folder if need be and locks it. Raises ConfigError."""
        self.path = path
        try:
            _make_folder(path)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"can't use the data folder {path}: {reason}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigError(
                f"the data folder {path} is in use by another process: stop it, or name another folder"
            ) from None

    def release(self) -> None:
        """Lets another process use the folder. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def check(self, identity: Identity) -> bool:
        """Whether the folder was used before. Raises ConfigError if by another member, or DamageError."""
        try:
            content = (self.path / IDENTITY).read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"can't read {self.path / IDENTITY}: {error.strerror}") from None
        try:
            found = msgspec.json.decode(content, type=Identity)
        except (ValueError, RecursionError) as error:
            raise DamageError(f"{self.path / IDENTITY} can't be read: {error}. {WAY_OUT}") from None
        if found.format != identity.format:
            raise ConfigError(
                f"the data folder {self.path} has format {found.format}; this program knows format "
                f"{identity.format}"
            )
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
        return True

    def claim(self, identity: Identity) -> None:
        """Writes who owns the folder. Raises OSError."""
        disk = LocalDisk(self.path)
        aside = IDENTITY + ".new"
        if aside in disk.names():
            disk.remove(aside)
        disk.append(aside, msgspec.json.encode(identity) + b"\n")
        disk.sync(aside)
        disk.rename(aside, IDENTITY)
        disk.sync_folder()


def _make_folder(path: Path) -> None:
    """Makes the folder and those above it, each durably before the next: else a power loss could take all away."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True, mode=0o700 if folder == path else 0o777)
        LocalDisk(folder.parent).sync_folder()
