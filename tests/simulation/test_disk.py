"""The disk that loses power."""

from __future__ import annotations

import random

import pytest

from tests.simulation.disk import SimDisk
from tests.simulation.loop import Cut


@pytest.mark.parametrize("seed", range(20))
def test_what_was_synced_survives_a_power_failure(seed: int) -> None:
    disk = SimDisk(random.Random(seed))
    disk.append("a", b"kept")
    disk.sync("a")
    disk.sync_folder()
    disk.append("a", b" or not")
    disk.lose_power()
    content = disk.read("a")
    assert content.startswith(b"kept")
    assert len(content) <= len(b"kept or not")


def test_unsynced_bytes_are_lost_in_all_ways() -> None:
    found = set()
    for seed in range(300):
        disk = SimDisk(random.Random(seed))
        disk.append("a", b"12")
        disk.sync_folder()
        disk.lose_power()
        found.add(disk.read("a"))
    assert {b"", b"1", b"12", b"1\0", b"\0\0"} <= found
    assert any(content not in (b"", b"1", b"12") and b"\0" not in content for content in found)


def test_names_survive_as_a_prefix_of_what_was_done() -> None:
    found = set()
    for seed in range(100):
        disk = SimDisk(random.Random(seed))
        disk.append("old", b"")
        disk.sync_folder()
        disk.rename("old", "new")
        disk.append("other", b"")
        disk.lose_power()
        found.add(tuple(sorted(disk.names())))
    # A rename is one step that puts a name and takes one; a disk may be caught between the two.
    assert found == {("old",), ("new", "old"), ("new",), ("new", "other")}


def test_a_kill_loses_nothing_until_the_power_fails() -> None:
    disk = SimDisk(random.Random(1))
    disk.append("a", b"in the cache")
    assert disk.read("a") == b"in the cache"


def test_a_cut_leaves_part_of_an_append() -> None:
    sizes = set()
    for seed in range(50):
        disk = SimDisk(random.Random(seed))
        disk.append("a", b"")
        disk.cut_after = 1
        with pytest.raises(Cut):
            disk.append("a", b"1234")
        disk.append("a", b"")
        sizes.add(disk.size("a"))
    assert sizes == {0, 1, 2, 3, 4}


def test_a_full_disk_and_one_that_fails() -> None:
    disk = SimDisk(random.Random(1))
    disk.append("a", b"")
    disk.full = disk.failing = True
    with pytest.raises(OSError, match="ENOSPC"):
        disk.append("a", b"1234")
    with pytest.raises(OSError, match="EIO"):
        disk.sync("a")
    assert disk.faults == 2
    disk.mend()
    disk.append("a", b"5")
    disk.sync("a")
