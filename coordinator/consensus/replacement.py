"""Lets a member's folder begin anew: with a state that was made elsewhere, and a log that begins right after it."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.config import MIB
from coordinator.consensus import aside
from coordinator.consensus.disk import Disk
from coordinator.consensus.folder import Identity, write_identity
from coordinator.consensus.journal import Journal
from coordinator.consensus.snapshots import Description, SnapshotStore


def replace(
    disk: Disk,
    identity: Identity,
    description: Description,
    slices: Iterable[bytes],
    *,
    term: int,
    opening: bytes,
) -> None:
    """Puts a snapshot and an empty log in the place of all that the folder holds, and another owner.

    `slices` are the parts of the state, `term` is what the member knows of terms, at least that of the description,
    and `opening` stands in the log for the last entry of the state. Whenever the program ends before this returns, the
    folder has its old content, or the new one once `aside.settle` has run. Raises OSError, or DamageError if a
    replacement before this one can't be finished.
    """
    aside.settle(disk)
    waiting = aside.AsideDisk(disk)
    SnapshotStore(waiting).write(description, slices)
    journal = Journal(waiting, MIB)
    journal.append(opening, description.index, description.term)
    journal.set_state(term, 0)
    journal.commit_index = description.index
    journal.sync()
    journal.close()
    write_identity(waiting, identity)
    aside.decide(disk)
    aside.settle(disk)
