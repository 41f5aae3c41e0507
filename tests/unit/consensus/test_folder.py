from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.consensus.folder import IDENTITY, Identity, MemberFolder
from coordinator.errors import ConfigError, DamageError

OWNER = Identity(format=1, cluster_key=(1 << 64) - 1, member_id=7, name="n7")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[MemberFolder]:
    opened = MemberFolder(tmp_path / "deep" / "folder")
    yield opened
    opened.release()


def test_a_new_folder_is_made_and_claimed(folder: MemberFolder) -> None:
    assert not folder.check(OWNER)
    folder.claim(OWNER)
    assert folder.check(OWNER)


def test_folders_that_are_made_are_on_disk_from_the_top_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is synced into the one above it before the next one is made."""
    synced: list[tuple[Path, list[Path]]] = []

    def note(descriptor: int) -> None:
        where = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((where.relative_to(tmp_path), sorted(tmp_path.rglob("*"))))

    monkeypatch.setattr(os, "fsync", note)
    one, two, three = tmp_path / "one", tmp_path / "one/two", tmp_path / "one/two/three"
    MemberFolder(three).release()
    assert synced == [
        (Path(), [one]),
        (Path("one"), [one, two]),
        (Path("one/two"), [one, two, three]),
    ]
    assert three.stat().st_mode & 0o077 == 0
    synced.clear()
    MemberFolder(three).release()
    assert not synced


def test_two_processes_can_not_share_a_folder(folder: MemberFolder) -> None:
    with pytest.raises(ConfigError, match="in use by another process"):
        MemberFolder(folder.path)
    folder.release()
    MemberFolder(folder.path).release()


@pytest.mark.parametrize(
    ("stranger", "complaint"),
    [
        (Identity(1, 5, 7, "n7"), "another cluster"),
        (Identity(1, OWNER.cluster_key, 8, "n8"), "belongs to member 'n7'"),
        (Identity(2, OWNER.cluster_key, 7, "n7"), "has format 1"),
    ],
)
def test_a_folder_of_someone_else_is_refused(
    folder: MemberFolder, stranger: Identity, complaint: str
) -> None:
    folder.claim(OWNER)
    with pytest.raises(ConfigError, match=complaint):
        folder.check(stranger)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b'{"format": 1',
        b'{"\xff": 1}',
        b'{"format": 1, "cluster_key": 1, "member_id": 1, "name": "n\xff"}',
        b'{"format": 1, "cluster_key": 1, "member_id": 1, "name": "\\ud800"}',
        b'{"format": ' + b"[" * 100_000,
    ],
)
def test_an_unreadable_identity_is_damage(folder: MemberFolder, content: bytes) -> None:
    (folder.path / IDENTITY).write_bytes(content)
    with pytest.raises(DamageError, match=IDENTITY):
        folder.check(OWNER)


def test_claiming_again_after_a_crash_in_between(folder: MemberFolder) -> None:
    (folder.path / (IDENTITY + ".new")).write_bytes(b"half")
    folder.claim(OWNER)
    assert folder.check(OWNER)


def test_a_file_in_the_way_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="can't use the data folder"):
        MemberFolder(tmp_path / "file")
