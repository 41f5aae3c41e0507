"""What people read of a folder."""

from __future__ import annotations

from pathlib import Path

from coordinator.consensus.disk import LocalDisk
from coordinator.recovery.inspection import inspect
from coordinator.recovery.rebirths import force_new_cluster
from coordinator.recovery.render import reborn_lines, report_lines
from tests.unit.recovery.stage import write_member


def test_all_that_was_found_is_told(tmp_path: Path) -> None:
    write_member(LocalDisk(tmp_path), snapshot_of=3)
    journal = next(tmp_path.glob("journal-*"))
    with journal.open("ab") as file:
        file.write(b"torn")
    text = "\n".join(report_lines(inspect(tmp_path)))
    for part in ("member    n1, id 1", "n2 at 127.0.0.1:7002, voter", "entries 5 to 7", "term 4"):
        assert part in text
    assert "torn tail: 4 bytes" in text and "3 keys, 1 sessions, digest" in text
    assert text.endswith("\nok")


def test_damage_is_told_last(tmp_path: Path) -> None:
    write_member(LocalDisk(tmp_path), snapshot_of=3)
    snapshot = next(tmp_path.glob("snapshot-*"))
    snapshot.write_bytes(snapshot.read_bytes()[:-1])
    lines = list(report_lines(inspect(tmp_path)))
    assert any(line.endswith("bytes, damaged") for line in lines)
    assert lines[-1] == "DAMAGED" and "checksum" in lines[-2]


def test_a_new_cluster_is_told(tmp_path: Path) -> None:
    write_member(LocalDisk(tmp_path))
    made = force_new_cluster(tmp_path, revision_bump=100)
    text = "\n".join(reborn_lines(made, "d"))
    assert text.startswith(f"d holds member n1 of the new cluster {made.cluster_id:x}")
    assert "rose from 6 to 106" in text and "n1 at 127.0.0.1:7001" in text
    assert "was forced from what another one left" in "\n".join(report_lines(inspect(tmp_path)))
