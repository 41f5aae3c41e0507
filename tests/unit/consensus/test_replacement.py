"""A folder that begins anew."""

from __future__ import annotations

from pathlib import Path

from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.folder import FORMAT_VERSION, Identity, read_identity
from coordinator.consensus.interface import Peer
from coordinator.consensus.journal import Journal
from coordinator.consensus.replacement import replace
from coordinator.consensus.snapshots import Description, SnapshotStore
from tests.unit.consensus.faults import FaultDisk

CONFIGURATION = configuration_of((Peer(1, "a", "h:1"),))


def identity(key: int) -> Identity:
    return Identity(FORMAT_VERSION, key, 1, "a", CONFIGURATION, "forced")


def test_state_log_and_owner_are_the_new_ones_and_nothing_else_is_left() -> None:
    disk = FaultDisk()
    for key, index in ((5, 40), (6, 30), (7, 30)):
        description = Description(index, 3, CONFIGURATION)
        slices = [b"state", b"%d" % key]
        replace(disk, identity(key), description, slices, term=9, opening=b"\x01")
        store, journal = SnapshotStore(disk), Journal(disk, 1 << 20)
        newest = store.newest()
        assert newest is not None and newest.description == description
        assert list(store.slices(newest)) == slices
        assert [(e.content, e.index, e.term) for e in journal.entries] == [(b"\x01", index, 3)]
        assert (journal.term, journal.vote, journal.commit_index) == (9, 0, index)
        assert read_identity(Path("nowhere"), disk) == identity(key)
        assert len(disk.names()) == 3
