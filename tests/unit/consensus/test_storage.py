from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.engine.storage import Storage
from coordinator.consensus.folder import IDENTITY
from coordinator.consensus.segments import PREFIX
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Description
from coordinator.errors import ConfigError, DamageError
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import make_peers


def make_config(folder: Path, name: str = "n1", cluster_key: int = 5) -> EngineConfig:
    return EngineConfig(
        name=name,
        peers=make_peers(3),
        cluster_key=cluster_key,
        data_dir=folder,
        client_address="",
    )


def used(folder: Path) -> FaultDisk:
    """A folder with a few entries, a term and a snapshot of entry 5."""
    disk = FaultDisk()
    storage = Storage(make_config(folder), disk)
    for index in range(1, 11):
        storage.journal.append(b"\0", index, 1)
    storage.journal.set_state(1, 1)
    storage.snapshots.write(Description(5, 1, configuration_of(make_peers(3))), [b"state"])
    storage.settle()
    storage.release()
    return disk


def test_a_folder_is_found_as_it_was_left(tmp_path: Path) -> None:
    disk = used(tmp_path)
    storage = Storage(make_config(tmp_path), disk)
    assert storage.journal.last_index == 10
    assert storage.newest is not None
    assert storage.newest.index == 5
    storage.release()
    storage.release()


def test_a_crash_before_the_folder_was_claimed_is_no_harm(tmp_path: Path) -> None:
    disk = FaultDisk()
    storage = Storage(make_config(tmp_path), disk)
    storage.journal.append(b"\1", 1, 0)
    storage.journal.sync()
    storage.release()
    storage = Storage(make_config(tmp_path), disk)
    storage.settle()
    storage.release()
    assert IDENTITY in disk.names()


def test_a_lost_journal_is_damage(tmp_path: Path) -> None:
    disk = used(tmp_path)
    for name in disk.names():
        if name.startswith(PREFIX):
            disk.remove(name)
    with pytest.raises(DamageError, match="its files are missing"):
        Storage(make_config(tmp_path), disk)


def test_a_lost_identity_is_damage(tmp_path: Path) -> None:
    disk = used(tmp_path)
    disk.remove(IDENTITY)
    with pytest.raises(DamageError, match=IDENTITY):
        Storage(make_config(tmp_path), disk)


def test_a_lost_snapshot_is_damage(tmp_path: Path) -> None:
    disk = used(tmp_path)
    storage = Storage(make_config(tmp_path), disk)
    storage.journal.drop_before(4)
    storage.settle()
    assert storage.newest is not None
    disk.remove(storage.newest.name)
    storage.release()
    with pytest.raises(DamageError, match="begins at entry 4, after the newest snapshot"):
        Storage(make_config(tmp_path), disk)


def test_a_damaged_snapshot_is_never_an_empty_start(tmp_path: Path) -> None:
    disk = used(tmp_path)
    (name,) = [name for name in disk.names() if name.startswith("snapshot-")]
    disk.flip(name, 20)
    with pytest.raises(DamageError, match=name):
        Storage(make_config(tmp_path), disk)


@pytest.mark.parametrize("changes", [{"name": "n2"}, {"cluster_key": 6}])
def test_a_folder_of_someone_else_is_refused_and_let_go(
    tmp_path: Path, changes: dict[str, str | int]
) -> None:
    disk = used(tmp_path)
    with pytest.raises(ConfigError):
        Storage(make_config(tmp_path, **changes), disk)  # type: ignore[arg-type]  # one of each
    Storage(make_config(tmp_path), disk).release()


def test_an_unreadable_folder_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = used(tmp_path)

    def fail(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "read", fail)
    with pytest.raises(ConfigError, match="Permission denied"):
        Storage(make_config(tmp_path), disk)


def test_without_a_disk_the_folder_itself_is_used_and_locked(tmp_path: Path) -> None:
    storage = Storage(make_config(tmp_path))
    storage.journal.append(b"\1", 1, 0)
    storage.settle()
    assert (tmp_path / IDENTITY).exists()
    with pytest.raises(ConfigError, match="in use by another process"):
        Storage(make_config(tmp_path))
    storage.release()
    Storage(make_config(tmp_path)).release()
