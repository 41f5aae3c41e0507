"""What is in a snapshot file, or in the folder of a member that does not run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coordinator.config import MIB
from coordinator.consensus.configuration import Configuration
from coordinator.consensus.disk import WAY_OUT, Disk, LocalDisk
from coordinator.consensus.engine.log import REGULAR
from coordinator.consensus.engine.membership import History
from coordinator.consensus.engine.storage import check_parts
from coordinator.consensus.folder import Identity
from coordinator.consensus.journal import Journal
from coordinator.consensus.snapshots import Snapshot, SnapshotStore
from coordinator.errors import ConfigError, DamageError
from coordinator.state.machine import StateMachine


def load_state(slices: Iterable[bytes]) -> StateMachine:
    """Returns the state that these parts make up. Raises DamageError."""
    machine = StateMachine()
    machine.restore(machine.prepare(slices))
    return machine


def digest_of(machine: StateMachine) -> str:
    """Returns the digest that `Status` tells for such a state."""
    return machine.digest()


@dataclass(frozen=True)
class SnapshotFile:
    """A snapshot file whose every byte was checked."""

    path: Path
    store: SnapshotStore
    snapshot: Snapshot

    def load(self) -> StateMachine:
        """Returns the state in it. Raises DamageError or ConfigError."""
        try:
            return load_state(self.store.slices(self.snapshot))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except DamageError as error:
            raise damaged(self.path, error) from error


def open_snapshot(path: Path) -> SnapshotFile:
    """Reads and checks a snapshot file. Raises ConfigError if it can't be read, DamageError if it is damaged."""
    store = SnapshotStore(LocalDisk(path.parent))
    try:
        return SnapshotFile(path, store, store.check(path.name))
    except OSError as error:
        raise _unreadable(path, error) from error
    except DamageError as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: DamageError) -> DamageError:
    """The error for a file that is not in the folder of a member: what to do there does not help here."""
    return DamageError(str(error).removesuffix(f". {WAY_OUT}"), str(path), error.offset)


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"can't read {path}: {error.strerror or error}")


class Remains:
    """All that a member knows, of which others may know only a part."""

    def __init__(self, disk: Disk, identity: Identity) -> None:
        """Reads the journal and the newest snapshot as the member itself does. Raises DamageError or OSError."""
        self._store = SnapshotStore(disk)
        self.journal = Journal(disk, MIB)
        self.newest = self._store.newest()
        check_parts(self.journal, self.newest, used_before=True)
        self.members = members_of(self.journal, self.newest, identity)

    @property
    def last_index(self) -> int:
        return max(self.journal.last_index, self.newest.index if self.newest is not None else 0)

    @property
    def last_term(self) -> int:
        """The term of the last entry."""
        entry = self.journal.entry(self.last_index)
        if entry is not None:
            return entry.term
        return self.newest.term if self.newest is not None else 0

    def load(self) -> StateMachine:
        """Returns the state after all entries, committed or not. Raises DamageError or OSError."""
        machine, applied = StateMachine(), 0
        if self.newest is not None:
            machine, applied = load_state(self._store.slices(self.newest)), self.newest.index
        for entry in self.journal.entries:
            if entry.index > applied and entry.content[:1] == REGULAR:
                machine.apply(entry.content[1:])
        return machine


def members_of(journal: Journal, newest: Snapshot | None, identity: Identity) -> Configuration:
    """The members as the last entry about them says, committed or not. Raises FatalError."""
    if newest is None:
        return History(identity.configuration, journal, 1).newest
    return History(newest.description.configuration, journal, newest.index).newest
