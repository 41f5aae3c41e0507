from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.folder import (
    FORMAT_VERSION,
    IDENTITY,
    Identity,
    MemberFolder,
    read_identity,
    unusable,
)
from coordinator.consensus.interface import Peer
from coordinator.errors import ConfigError, DamageError, FatalError

MEMBERS = configuration_of((Peer(7, "n7", "127.0.0.1:7"), Peer(8, "n8", "127.0.0.1:8")))
OWNER = Identity(
    format=FORMAT_VERSION,
    cluster_key=(1 << 64) - 1,
    member_id=7,
    name="n7",
    configuration=MEMBERS,
)


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
        (Identity(FORMAT_VERSION, 5, 7, "n7", MEMBERS), "another cluster"),
        (
            Identity(FORMAT_VERSION, OWNER.cluster_key, 8, "n8", MEMBERS),
            "belongs to member 'n7'",
        ),
    ],
)
def test_a_folder_of_someone_else_is_refused(
    folder: MemberFolder, stranger: Identity, complaint: str
) -> None:
    folder.claim(OWNER)
    with pytest.raises(ConfigError, match=complaint):
        folder.check(stranger)


def test_the_members_that_were_there_first_are_remembered(folder: MemberFolder) -> None:
    folder.claim(OWNER)
    later = msgspec.structs.replace(OWNER, configuration=configuration_of(MEMBERS.peers[:1]))
    assert folder.check(later) == OWNER
    assert read_identity(folder.path) == OWNER
    assert read_identity(folder.path / "elsewhere") is None


def test_another_format_is_refused(folder: MemberFolder) -> None:
    (folder.path / IDENTITY).write_bytes(b'{"format": 1, "cluster_key": 1}')
    with pytest.raises(ConfigError, match="has format 1; this program knows format 2"):
        folder.check(OWNER)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b'{"format": 1',
        b'{"\xff": 1}',
        b'{"format": 2, "cluster_key": 1, "member_id": 1, "name": "n\xff", "configuration": [[]]}',
        b'{"format": 2, "cluster_key": 1, "member_id": 1, "name": "\\ud800", "configuration": [[]]}',
        b'{"format": 2, "cluster_key": 1, "member_id": 1, "name": "n", "configuration": [[[]]]}',
        b'{"format": 2, "cluster_key": 1, "member_id": 1, "name": "n", "configuration": [[], []]}',
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


def test_a_failing_disk_is_no_fault_of_the_configuration(tmp_path: Path) -> None:
    assert isinstance(unusable(tmp_path, OSError(errno.EIO, "broken")), FatalError)
    assert isinstance(unusable(tmp_path, OSError(errno.EACCES, "denied")), ConfigError)
