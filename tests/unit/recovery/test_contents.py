"""Reading what a member left."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.consensus.configuration import configuration_of, encode_configuration
from coordinator.consensus.disk import LocalDisk
from coordinator.consensus.engine.log import MEMBERS
from coordinator.consensus.journal import Journal
from coordinator.errors import ConfigError, DamageError
from coordinator.recovery.contents import Remains, digest_of, open_snapshot
from tests.unit.consensus.faults import FaultDisk
from tests.unit.recovery.stage import (
    IDENTITY,
    PEERS,
    TERM,
    entries,
    state_after,
    write_member,
    write_snapshot,
)


@pytest.mark.parametrize("snapshot_of", [0, 2, 5])
def test_snapshot_and_log_give_the_state_together(snapshot_of: int) -> None:
    disk = FaultDisk()
    write_member(disk, snapshot_of=snapshot_of)
    remains = Remains(disk, IDENTITY)
    assert (remains.last_index, remains.last_term) == (7, TERM)
    assert digest_of(remains.load()) == digest_of(state_after(entries(5)))


def test_the_last_entry_about_the_members_counts() -> None:
    disk = FaultDisk()
    write_member(disk)
    journal = Journal(disk, 1 << 20)
    left = configuration_of(PEERS[:2])
    journal.append(MEMBERS + encode_configuration(left), 8, TERM)
    journal.sync()
    remains = Remains(disk, IDENTITY)
    assert remains.members == left
    assert digest_of(remains.load()) == digest_of(state_after(entries(5)))


def test_a_journal_that_is_gone_is_damage() -> None:
    disk = FaultDisk()
    write_member(disk)
    for name in [name for name in disk.names() if name.startswith("journal-")]:
        disk.remove(name)
    with pytest.raises(DamageError, match="missing"):
        Remains(disk, IDENTITY)


def test_a_file_is_opened_under_any_name(tmp_path: Path) -> None:
    snapshot = write_snapshot(LocalDisk(tmp_path), 3)
    file = (tmp_path / snapshot.name).rename(tmp_path / "backup")
    assert open_snapshot(file).load().key_count == 3
    with pytest.raises(ConfigError, match="can't read"):
        open_snapshot(tmp_path / "nothing")
    file.write_bytes(b"")
    with pytest.raises(DamageError) as raised:
        open_snapshot(file)
    assert "data folder" not in str(raised.value)
