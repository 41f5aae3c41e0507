from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.consensus.disk import LocalDisk


def test_appends_are_read_back(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path)
    disk.append("a", b"one")
    disk.append("a", b"two")
    disk.sync("a")
    disk.sync_folder()
    assert disk.names() == ["a"]
    assert disk.size("a") == 6
    assert disk.read("a") == b"onetwo"
    assert disk.read("a", 2, 2) == b"et"
    disk.close("a")
    disk.close("a")


def test_appending_goes_on_after_closing(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path)
    disk.append("a", b"one")
    disk.close("a")
    disk.append("a", b"two")
    disk.close("a")
    assert disk.read("a") == b"onetwo"


def test_truncating_renaming_and_removing(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path)
    disk.append("a", b"content")
    disk.truncate("a", 3)
    disk.rename("a", "b")
    assert disk.names() == ["b"]
    assert disk.read("b") == b"con"
    disk.remove("b")
    assert disk.names() == []


def test_folders_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    assert LocalDisk(tmp_path).names() == []


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path)
    disk.append("a", b"secret")
    disk.close("a")
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


def test_missing_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LocalDisk(tmp_path).read("a")
