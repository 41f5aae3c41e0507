"""What one member has on disk, opened and checked as a whole."""

from __future__ import annotations

from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.disk import Disk
from coordinator.consensus.folder import (
    FORMAT_VERSION,
    IDENTITY,
    Identity,
    MemberFolder,
    unusable,
)
from coordinator.consensus.journal import Journal
from coordinator.consensus.segments import damage
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Snapshot, SnapshotStore


class Storage:
    """The data folder, the journal and the snapshots of one member."""

    def __init__(self, config: EngineConfig, disk: Disk | None = None) -> None:
        """Locks and reads the folder, or reads the `disk` that takes the place of its files.

        Raises ConfigError if the folder is in use, unusable or another member's, FatalError if the disk fails,
        DamageError if what it holds is not what was written.
        """
        self._folder = MemberFolder(config.data_dir, disk)
        self._identity = Identity(
            FORMAT_VERSION,
            config.cluster_key,
            config.this.id,
            config.this.name,
            configuration_of(config.peers),
        )
        try:
            found = self._folder.check(self._identity)
            self._used_before = found is not None
            self.first_configuration = (found or self._identity).configuration
            """The members that the log began with, as far as this member was told when its folder was new."""
            self.journal = Journal(self._folder.disk, config.segment_size_bytes)
            self.snapshots = SnapshotStore(self._folder.disk)
            self.newest = self.snapshots.newest()
            """The newest snapshot when the folder was opened."""
            self._check()
        except OSError as error:
            self._folder.release()
            raise unusable(config.data_dir, error) from error
        except BaseException:
            self._folder.release()
            raise

    def settle(self) -> None:
        """Puts what recovery changed on disk and claims a new folder. Raises OSError."""
        self.journal.sync()
        if not self._used_before:
            self._folder.claim(self._identity)

    def release(self) -> None:
        """Lets go of the folder. Idempotent."""
        self.journal.close()
        self._folder.release()

    def _check(self) -> None:
        check_parts(self.journal, self.newest, used_before=self._used_before)


def check_parts(journal: Journal, newest: Snapshot | None, *, used_before: bool) -> None:
    """Raises DamageError if identity, journal and newest snapshot can't be what one member left."""
    if used_before and journal.empty:
        raise damage("the journal", 0, "its files are missing")
    if not used_before and (journal.last_index > 1 or journal.term or newest is not None):
        raise damage(IDENTITY, 0, "the file is missing")
    snapshot_index = newest.index if newest is not None else 1
    if journal.entries and journal.first_index > snapshot_index:
        found = f"it begins at entry {journal.first_index}, after the newest snapshot"
        raise damage("the journal", 0, found)
