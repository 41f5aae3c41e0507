"""What inspection tells of a folder, and that it touches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.consensus.disk import LocalDisk
from coordinator.consensus.folder import MemberFolder
from coordinator.errors import ConfigError
from coordinator.recovery.inspection import TornTail, in_use, inspect
from tests.unit.recovery.stage import TERM, content, entries, state_after, write_member


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    write_member(LocalDisk(tmp_path / "d"), snapshot_of=3)
    return tmp_path / "d"


def one(folder: Path, prefix: str) -> Path:
    return next(path for path in folder.iterdir() if path.name.startswith(prefix))


def test_a_good_folder_is_described(folder: Path) -> None:
    report = inspect(folder)
    assert report.ok and not report.warnings
    assert report.identity is not None and report.identity["name"] == "n1"
    assert [m.name for m in report.members] == ["n1", "n2", "n3"]
    journal = report.journal
    assert journal is not None and journal.ok and journal.torn_tail is None
    assert (journal.term, journal.vote, journal.commit_index) == (TERM, 2, 5)
    assert (journal.first_index, journal.last_index) == (5, 7)
    (snapshot,) = report.snapshots
    assert (snapshot.ok, snapshot.index, snapshot.term) == (True, 5, TERM)
    state = snapshot.state
    machine = state_after(entries(3))
    assert state is not None and state.digest == machine.digest()
    assert (state.key_count, state.session_count, state.revision) == (3, 1, 4)


def test_a_torn_tail_is_told_and_left_there(folder: Path) -> None:
    journal = one(folder, "journal-")
    size = journal.stat().st_size
    with journal.open("ab") as file:
        file.write(b"\xc0Frm torn")
    before = content(LocalDisk(folder))
    report = inspect(folder)
    assert report.ok and report.journal is not None
    assert report.journal.torn_tail == TornTail(journal.name, size, 9)
    assert report.journal.last_index == 7
    assert content(LocalDisk(folder)) == before


def test_leftovers_are_not_removed(folder: Path) -> None:
    (folder / "snapshot.new").write_bytes(b"half")
    (folder / "next.snapshot-1").write_bytes(b"half")
    before = content(LocalDisk(folder))
    assert inspect(folder).ok
    assert content(LocalDisk(folder)) == before


def test_damage_anywhere_in_a_snapshot_is_found(folder: Path) -> None:
    snapshot = one(folder, "snapshot-")
    good = snapshot.read_bytes()
    for offset in range(len(good)):
        snapshot.write_bytes(good[:offset] + bytes((good[offset] ^ 1,)) + good[offset + 1 :])
        report = inspect(folder)
        assert not report.ok and not report.snapshots[0].ok
        assert report.damage[0].file == snapshot.name


def test_damage_within_the_journal_is_found_with_its_place(folder: Path) -> None:
    journal = one(folder, "journal-")
    good = journal.read_bytes()
    frame = good.index(b"\xc0Frm")
    journal.write_bytes(good[: frame + 30] + b"\xff" + good[frame + 31 :])
    report = inspect(folder)
    assert not report.ok
    assert report.journal is not None and not report.journal.ok
    damage = report.damage[0]
    assert (damage.file, damage.offset) == (journal.name, frame)
    assert report.identity is not None and report.snapshots[0].ok


@pytest.mark.parametrize("missing", ["identity.json", "journal-", "snapshot-"])
def test_a_missing_file_is_damage(folder: Path, missing: str) -> None:
    one(folder, missing).unlink()
    assert not inspect(folder).ok


def test_an_unreadable_identity_is_damage(folder: Path) -> None:
    for text in ("{", '{"format": 99}'):
        (folder / "identity.json").write_text(text)
        report = inspect(folder)
        assert not report.ok and report.identity is None and report.journal is not None


def test_a_snapshot_file_alone(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    one(folder, "snapshot-").rename(file)
    report = inspect(file)
    assert report.ok and report.journal is None
    assert report.snapshots[0].state is not None
    file.write_bytes(file.read_bytes()[:-1])
    report = inspect(file)
    assert not report.ok and report.damage[0].file == str(file)


def test_a_folder_in_use_is_read_with_a_warning(folder: Path) -> None:
    held = MemberFolder(folder)
    assert in_use(folder)
    assert "a node uses this folder" in inspect(folder).warnings[0]
    held.release()
    assert not in_use(folder) and not inspect(folder).warnings


def test_what_is_no_folder_of_a_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        inspect(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="not the data folder"):
        inspect(tmp_path)
