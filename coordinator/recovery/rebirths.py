"""Makes new clusters of what an old one left: of a snapshot, or of its last survivor."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coordinator.config import Member
from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.disk import Disk
from coordinator.consensus.engine.log import NO_OP
from coordinator.consensus.folder import (
    FORMAT_VERSION,
    Identity,
    MemberFolder,
    read_identity,
    unusable,
)
from coordinator.consensus.interface import Peer
from coordinator.consensus.replacement import replace
from coordinator.consensus.snapshots import Description
from coordinator.errors import ConfigError
from coordinator.recovery.contents import Remains, SnapshotFile, open_snapshot
from coordinator.state.machine import StateMachine
from coordinator.state.rebirth import reborn

REVISION_BUMP_DEFAULT = 1_000_000_000
"""More than any cluster writes between a snapshot and its end: ten thousand writes a second for a day."""
_USED = ("identity.json", "journal-", "snapshot-")
_BITS_63 = (1 << 63) - 1


@dataclass(frozen=True)
class Reborn:
    """What became of the folder."""

    name: str
    cluster_id: int
    index: int
    """The last entry of the log that the state holds."""
    revision_before: int
    revision: int
    key_count: int
    session_count: int
    members: tuple[Peer, ...]


def restore(
    file: Path,
    data_dir: Path,
    name: str,
    cluster: Sequence[Member],
    *,
    token: str,
    revision_bump: int = REVISION_BUMP_DEFAULT,
    disk: Disk | None = None,
) -> Reborn:
    """Makes a new data folder from a snapshot file: that of member `name` of the new cluster `cluster`.

    The same file and arguments, but for folder and name, give every member the same state and the same cluster.
    `disk` takes the place of the folder's files. Raises ConfigError if the folder is not empty or in use, or a file
    can't be read or written; DamageError if the snapshot is damaged.
    """
    source = open_snapshot(file)
    folder = MemberFolder(data_dir, disk)
    try:
        if any(found.startswith(_USED) for found in folder.disk.names()):
            raise ConfigError(
                f"the data folder {data_dir} is not empty: name another one, or move its content away"
            )
        machine = source.load()
        cluster_id = _derived(_checksum(source), token, str(revision_bump), *_names(cluster))
        peers = tuple(
            Peer(_derived("member", str(cluster_id), m.name), m.name, m.peer_address)
            for m in cluster
        )
        key = _derived("key", str(cluster_id))
        identity = _identity(key, name, peers, "restored")
        description = Description(
            source.snapshot.index, source.snapshot.term, identity.configuration
        )
        term = source.snapshot.term
        return _begin(folder, identity, description, term, machine, cluster_id, revision_bump)
    except OSError as error:
        raise unusable(data_dir, error) from error
    finally:
        folder.release()


def force_new_cluster(
    data_dir: Path,
    peer_address: str | None = None,
    *,
    name: str | None = None,
    revision_bump: int = REVISION_BUMP_DEFAULT,
    disk: Disk | None = None,
) -> Reborn:
    """Makes the member of a data folder the only one of a new cluster, with all that it has in its log.

    That includes entries that were never committed. `peer_address`: where it listens from now on; None: where it did.
    `name`: whose folder it must be, if not None. Raises ConfigError if the folder is in use, holds no member, another
    one or one that was removed; DamageError.
    """
    identity = read_identity(data_dir, disk)
    if identity is None:
        raise ConfigError(f"the data folder {data_dir} holds no member")
    if name not in (None, identity.name):
        raise ConfigError(
            f"the data folder {data_dir} belongs to member {identity.name!r}, not {name!r}: name the "
            "folder of this member"
        )
    folder = MemberFolder(data_dir, disk)
    try:
        found = read_identity(data_dir, folder.disk)
        assert found is not None
        remains = Remains(folder.disk, found)
        if remains.last_index <= 1:
            raise ConfigError(
                f"the data folder {data_dir} holds no entry: there is nothing to keep"
            )
        own = remains.members.get(found.member_id)
        if own is None:
            raise ConfigError(
                f"member {found.name} was removed from its cluster: what it has is not the newest"
            )
        machine = remains.load()
        cluster_id = secrets.randbits(63) or 1
        peer = Peer(secrets.randbits(63) or 1, found.name, peer_address or own.address)
        identity = _identity(secrets.randbits(63), found.name, (peer,), "forced")
        description = Description(remains.last_index, remains.last_term, identity.configuration)
        term = max(remains.journal.term, remains.last_term)
        return _begin(folder, identity, description, term, machine, cluster_id, revision_bump)
    except OSError as error:
        raise unusable(data_dir, error) from error
    finally:
        folder.release()


def was_forced(data_dir: Path) -> bool:
    """Whether `force_new_cluster` made the cluster of this folder. Raises ConfigError or DamageError."""
    identity = read_identity(data_dir)
    return identity is not None and identity.reborn == "forced"


def _begin(
    folder: MemberFolder,
    identity: Identity,
    description: Description,
    term: int,
    machine: StateMachine,
    cluster_id: int,
    revision_bump: int,
) -> Reborn:
    result = Reborn(
        name=identity.name,
        cluster_id=cluster_id,
        index=description.index,
        revision_before=machine.revision,
        revision=machine.revision + revision_bump,
        key_count=machine.key_count,
        session_count=machine.session_count,
        members=identity.configuration.peers,
    )
    try:
        slices = reborn(machine, cluster_id, revision_bump)
        replace(folder.disk, identity, description, slices, term=term, opening=NO_OP)
    except ValueError as error:
        raise ConfigError(f"bump-revision: {error}") from None
    return result


def _identity(
    key: int, name: str, peers: tuple[Peer, ...], how: Literal["restored", "forced"]
) -> Identity:
    this = next(peer for peer in peers if peer.name == name)
    return Identity(FORMAT_VERSION, key, this.id, name, configuration_of(peers), how)


def _checksum(source: SnapshotFile) -> str:
    """The checksum that the file ends with: it was found to be right."""
    size = source.snapshot.size
    return source.store.read(source.snapshot, size - 16, 16).hex()


def _names(cluster: Sequence[Member]) -> list[str]:
    return [f"{m.name}={m.peer_address}" for m in sorted(cluster, key=lambda m: m.name)]


def _derived(*parts: str) -> int:
    """A number of 63 bits that follows from these texts, and is never 0."""
    digest = hashlib.sha256("\0".join(("coordinator", *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") & _BITS_63 or 1
