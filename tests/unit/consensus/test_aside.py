"""Files that wait until a plan puts them in their place."""

from __future__ import annotations

from itertools import count

import pytest

from coordinator.consensus import aside
from coordinator.errors import DamageError
from tests.unit.consensus.faults import Crash, FaultDisk

OLD = {"journal-1": b"old", "journal-2": b"old", "snapshot-5": b"old", "snapshot.new": b"old"}
NEW = {"journal-1": b"new", "snapshot-5": b"new", "identity.json": b"new"}


def prepare() -> FaultDisk:
    disk = FaultDisk()
    for name, content in {**OLD, "identity.json": b"old", "lock": b""}.items():
        disk.append(name, content)
    waiting = aside.AsideDisk(disk)
    for name, content in NEW.items():
        waiting.append(name, content)
        waiting.sync(name)
    assert sorted(waiting.names()) == sorted(NEW)
    assert waiting.read("journal-1") == b"new" and waiting.size("journal-1") == 3
    return disk


def test_what_was_not_decided_is_removed() -> None:
    disk = prepare()
    aside.settle(disk)
    assert {n: disk.read(n) for n in disk.names()} == {
        **OLD,
        "identity.json": b"old",
        "lock": b"",
    }


def test_what_was_decided_is_finished_however_often_it_is_interrupted() -> None:
    for at in count(1):
        disk = prepare()
        aside.decide(disk)
        assert aside.decided(disk)
        disk.crash_at = disk.operations + at
        try:
            aside.settle(disk)
        except Crash:
            disk.crash_at = None
            aside.settle(disk)
        else:
            break
        assert {n: disk.read(n) for n in disk.names()} == {**NEW, "lock": b""}
    assert at > 8 and not aside.decided(disk)


def test_a_plan_that_can_not_be_read_stops() -> None:
    disk = prepare()
    aside.decide(disk)
    disk.flip("next.plan.json", 0)
    with pytest.raises(DamageError, match=r"plan\.json can't be read"):
        aside.settle(disk)
