"""A snapshot file as it comes: whole and checked, or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from coordinator_client import snapshots
from coordinator_client.pb import cluster_pb2

BODY = bytes(range(200)) * 5
CONTENT = BODY + b"\xc0End" + hashlib.blake2b(BODY, digest_size=16).digest()


def receive(path: Path, content: bytes, piece: int, size: int = len(CONTENT)) -> None:
    about = cluster_pb2.SnapshotAbout(size_bytes=size, revision=7)
    incoming = snapshots.IncomingSnapshot(path, about)
    for offset in range(0, len(content), piece):
        incoming.add(content[offset : offset + piece])
    saved = incoming.finish()
    assert (saved.path, saved.revision, saved.size_bytes) == (str(path), 7, size)
    assert saved.checksum == CONTENT[-16:].hex()


@pytest.mark.parametrize("piece", [1, 7, 20, 21, 999, 5_000])
def test_pieces_of_any_size_make_the_file(tmp_path: Path, piece: int) -> None:
    receive(tmp_path / "f", CONTENT, piece)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_damage_anywhere_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"before")
    broken = [
        CONTENT[:i] + bytes((CONTENT[i] ^ 1,)) + CONTENT[i + 1 :] for i in range(len(CONTENT))
    ]
    for content in (*broken, CONTENT[:-1], CONTENT + b"x", b""):
        with pytest.raises(snapshots.SnapshotDamaged):
            receive(tmp_path / "f", content, 300)
    assert (tmp_path / "f").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
