"""A disk that only notes what would be changed."""

from __future__ import annotations

import pytest

from coordinator.recovery.overlay import Overlay
from tests.unit.consensus.faults import FaultDisk


def test_changes_are_seen_through_it_and_never_made() -> None:
    disk = FaultDisk()
    for name in ("a", "b", "c"):
        disk.append(name, b"0123456789")
    before = disk.operations
    overlay = Overlay(disk)
    overlay.truncate("a", 4)
    overlay.rename("b", "d")
    overlay.remove("c")
    overlay.append("a", b"")
    overlay.sync("a")
    overlay.close("a")
    overlay.sync_folder()
    assert sorted(overlay.names()) == ["a", "d"]
    assert (overlay.read("a"), overlay.read("a", 2, 9), overlay.size("a")) == (b"0123", b"23", 4)
    assert (overlay.read("d", 8), overlay.size("d")) == (b"89", 10)
    assert overlay.truncated == {"a": (4, 10)} and overlay.removed == ["c"]
    for gone in ("b", "c"):
        with pytest.raises(FileNotFoundError):
            overlay.read(gone)
    with pytest.raises(AssertionError):
        overlay.append("a", b"x")
    assert sorted(disk.names()) == ["a", "b", "c"] and disk.operations == before
