from __future__ import annotations

import contextlib
import random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.consensus.journal import _RECORD, Entry, Journal
from coordinator.errors import DamageError, FatalError
from tests.unit.consensus.faults import Crash, FaultDisk

SEGMENT = 300
STEPS = 40


class Contents(NamedTuple):
    """What must survive."""

    entries: tuple[Entry, ...]
    term: int
    vote: int


def contents_of(journal: Journal) -> Contents:
    return Contents(tuple(journal.entries), journal.term, journal.vote)


def reopen(disk: FaultDisk) -> Journal:
    return Journal(disk, SEGMENT)


def fill(journal: Journal, count: int, term: int = 1) -> None:
    for _ in range(count):
        index = journal.last_index + 1
        journal.append(b"entry %d" % index, index, term)


class Workload:
    """Random changes and syncs; `frames[n]` is what must be there when n frames are on disk."""

    def __init__(self, disk: FaultDisk, chance: random.Random) -> None:
        self.disk = disk
        self.chance = chance
        self.frames = [Contents((), 0, 0)]
        self.durable = 0
        """How many frames were synced for sure."""

    def run(self, steps: int) -> None:
        journal = reopen(self.disk)
        self.frames[self.durable + 1 :] = []
        if not journal.entries:
            journal.append(b"first", 1, 0)
        for _ in range(steps):
            self.change(journal)
            if self.chance.random() < 0.5:
                self.sync(journal)
        self.sync(journal)

    def change(self, journal: Journal) -> None:
        action = self.chance.random()
        if action < 0.55:
            for _ in range(self.chance.randint(1, 4)):
                index = journal.last_index + 1
                content = self.chance.randbytes(self.chance.randint(0, 60))
                journal.append(content, index, journal.term)
            journal.commit_index = max(1, journal.last_index - 3)
        elif action < 0.7 and len(journal.entries) > 3:
            journal.cut(journal.last_index - self.chance.randint(0, 1))
        elif action < 0.85:
            journal.set_state(journal.term + 1, self.chance.randint(0, 3))
        elif action < 0.97:
            journal.drop_before(journal.first_index + self.chance.randint(0, 8))
        else:
            index = journal.last_index + self.chance.randint(1, 50)
            journal.clear()
            journal.append(b"snapshot", index, journal.term)

    def sync(self, journal: Journal) -> None:
        sync = journal.start_sync()
        if sync is None:
            return
        self.frames.append(contents_of(journal))
        if self.chance.random() < 0.3:
            self.change(journal)
        sync.run()
        self.durable = len(self.frames) - 1
        journal.remove_segments(journal.finish_sync(sync))


def test_an_empty_folder_is_an_empty_journal() -> None:
    journal = reopen(FaultDisk())
    assert journal.empty
    assert not journal.dirty
    assert journal.start_sync() is None
    assert contents_of(journal) == Contents((), 0, 0)


def test_everything_synced_is_there_after_a_restart() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    fill(journal, 20)
    journal.cut(15)
    fill(journal, 3, term=2)
    journal.set_state(2, 3)
    journal.commit_index = 12
    journal.sync()
    journal.drop_before(10)
    journal.sync()
    again = reopen(disk)
    assert contents_of(again) == contents_of(journal)
    assert [entry.index for entry in again.entries] == list(range(10, 18))
    assert (again.term, again.vote, again.commit_index) == (2, 3, 12)
    assert again.synced_index == 17
    assert not again.empty


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_at_any_operation_loses_nothing_synced(seed: int) -> None:
    """For each operation: crash there, lose power, recover; then go on, crash and recover once more."""
    measured = Workload(FaultDisk(), random.Random(seed))
    measured.run(STEPS)
    assert measured.disk.operations > 30
    for crash_at in range(1, measured.disk.operations + 1):
        disk = FaultDisk()
        workload = Workload(disk, random.Random(seed))
        chance = random.Random(seed * 10_000 + crash_at)
        for steps in (STEPS, 6):
            disk.crash_at = disk.operations + (
                crash_at if steps == STEPS else chance.randint(1, 12)
            )
            with pytest.raises(Crash):
                workload.run(steps)
                raise Crash
            disk.lose_power(chance)
            recovered = contents_of(reopen(disk))
            possible = workload.frames[workload.durable : workload.durable + 2]
            assert recovered in possible, f"seed {seed}, crash at operation {crash_at}"
            workload.durable += possible.index(recovered)
            workload.frames[workload.durable + 1 :] = []


def test_a_torn_last_frame_is_cut_off() -> None:
    disk = FaultDisk()
    journal = Journal(disk, 1 << 20)
    fill(journal, 5)
    journal.sync()
    kept = contents_of(journal)
    (name,) = disk.files
    size = disk.size(name)
    fill(journal, 5)
    journal.sync()
    whole = bytes(disk.files[name].content)
    for length in range(size, len(whole)):
        disk.files[name].content[:] = whole[:length]
        assert contents_of(Journal(disk, 1 << 20)) == kept
        assert disk.size(name) == size


def test_a_file_that_never_held_a_whole_frame_is_removed() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    fill(journal, 2)
    journal.sync()
    (name,) = disk.files
    whole = bytes(disk.files[name].content)
    for length in range(len(whole)):
        disk.files[name].content[:] = whole[:length]
        assert reopen(disk).empty
        assert not disk.files
        disk.append(name, b"")


def test_no_flipped_bit_goes_unnoticed() -> None:
    """Each is an error, or lies in the very last frame, which then counts as torn."""
    disk = FaultDisk()
    journal = reopen(disk)
    history = []
    for _ in range(6):
        fill(journal, 3)
        journal.set_state(journal.term + 1, 1)
        journal.sync()
        history.append(contents_of(journal))
    assert len(disk.files) > 1
    pristine = {name: bytes(file.content) for name, file in disk.files.items()}
    noticed = 0
    for name, content in pristine.items():
        for offset in range(len(content)):
            for other, unharmed in pristine.items():
                disk.files.pop(other, None)
                disk.append(other, unharmed)
            disk.flip(name, offset, offset % 8)
            try:
                assert contents_of(reopen(disk)) == history[-2], (name, offset)
            except DamageError as error:
                assert name in str(error)
                assert "coordctl member remove" in str(error)
                noticed += 1
    last_frame = 200
    assert noticed > sum(map(len, pristine.values())) - last_frame


numbers = st.one_of(st.integers(0, 9), st.integers(0, (1 << 64) - 1))
records = st.builds(
    lambda kind, index, term, content, size: _RECORD.pack(kind, index, term, size) + content,
    st.integers(0, 8),
    numbers,
    numbers,
    st.binary(max_size=5),
    st.one_of(st.integers(0, 6), st.integers(0, (1 << 32) - 1)),
)


@given(st.lists(st.one_of(records, st.binary(max_size=30)), max_size=6).map(b"".join))
def test_an_intact_frame_of_anything_is_read_or_damage(payload: bytes) -> None:
    with contextlib.suppress(DamageError):
        Journal(FaultDisk(), SEGMENT).replay_frame("journal-1", 0, 1, payload)


@pytest.mark.parametrize("payload", [b"\1", _RECORD.pack(1, 1, 1, 2) + b"x"])
def test_a_record_that_is_cut_short_is_damage(payload: bytes) -> None:
    with pytest.raises(DamageError, match="cut short"):
        Journal(FaultDisk(), SEGMENT).replay_frame("journal-1", 0, 1, payload)


def test_a_missing_file_in_the_middle_is_damage() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    for _ in range(6):
        fill(journal, 10)
        journal.sync()
    assert len(disk.files) >= 3
    del disk.files[sorted(disk.files)[1]]
    with pytest.raises(DamageError, match="follows frame"):
        reopen(disk)


def test_a_file_under_another_name_is_damage() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    fill(journal, 2)
    journal.sync()
    (name,) = disk.files
    disk.files[name[:-1] + "7"] = disk.files.pop(name)
    with pytest.raises(DamageError):
        reopen(disk)


def test_content_that_looks_like_a_frame_is_not_taken_for_one() -> None:
    """A torn frame that carries a copy of an intact one is still a torn frame."""
    disk = FaultDisk()
    journal = Journal(disk, 1 << 20)
    fill(journal, 1)
    journal.sync()
    (name,) = disk.files
    forged = Journal(FaultDisk(), 1 << 20)
    fill(forged, 3)
    content = b""
    for _ in range(3):
        forged.set_state(forged.term + 1, 0)
        frame = forged.start_sync()
        assert frame is not None
        forged.finish_sync(frame)
        content = frame.content
    journal.append(content, 2, 1)
    size = disk.size(name)
    journal.sync()
    disk.files[name].content[size + 10] ^= 1
    assert Journal(disk, 1 << 20).last_index == 1


def test_old_files_go_once_their_entries_do() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    for _ in range(20):
        fill(journal, 5)
        journal.sync()
    files, size = len(disk.files), journal.size_bytes
    assert size == sum(disk.size(name) for name in disk.files)
    journal.drop_before(95)
    assert len(disk.files) == files, "nothing goes before the new beginning is on disk"
    journal.sync()
    assert len(disk.files) <= 2
    assert journal.size_bytes == sum(disk.size(name) for name in disk.files)
    assert contents_of(reopen(disk)) == contents_of(journal)
    assert reopen(disk).first_index == 95


def test_what_comes_during_a_sync_waits_for_the_next_one() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    fill(journal, 3)
    sync = journal.start_sync()
    assert sync is not None
    assert journal.syncing
    fill(journal, 2)
    mark = journal.mark
    assert journal.synced_index == 0
    with pytest.raises(FatalError):
        journal.start_sync()
    sync.run()
    assert journal.finish_sync(sync) == []
    assert journal.synced_index == 3
    assert journal.synced_mark < mark
    assert journal.dirty
    journal.sync()
    assert journal.synced_index == 5
    assert journal.synced_mark == mark


def test_entries_cut_during_a_sync_do_not_count_as_synced() -> None:
    journal = reopen(FaultDisk())
    fill(journal, 5)
    sync = journal.start_sync()
    assert sync is not None
    journal.cut(4)
    fill(journal, 3, term=2)
    sync.run()
    journal.finish_sync(sync)
    assert journal.synced_index == 3
    journal.sync()
    assert journal.synced_index == 6


def test_entries_cleared_during_a_sync_do_not_count_as_synced() -> None:
    """Others take their place in the log: the sync that was under way says nothing of those."""
    journal = Journal(FaultDisk(), SEGMENT)
    fill(journal, 5)
    sync = journal.start_sync()
    assert sync is not None
    journal.clear()
    fill(journal, 5, term=2)
    sync.run()
    journal.finish_sync(sync)
    assert journal.synced_index == 0
    journal.sync()
    assert journal.synced_index == 5


def test_entries_cut_after_a_sync_do_not_count_as_synced() -> None:
    journal = reopen(FaultDisk())
    fill(journal, 5)
    journal.sync()
    journal.cut(3)
    fill(journal, 1, term=2)
    assert journal.synced_index == 2
    journal.clear()
    assert journal.synced_index == 0


def test_the_commit_index_rides_along_and_causes_no_sync() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    fill(journal, 3)
    journal.sync()
    journal.commit_index = 2
    assert not journal.dirty
    fill(journal, 1)
    journal.sync()
    assert reopen(disk).commit_index == 2


def test_the_same_state_is_recorded_once() -> None:
    journal = reopen(FaultDisk())
    journal.set_state(1, 2)
    journal.sync()
    journal.set_state(1, 2)
    assert not journal.dirty


def test_gaps_in_the_log_are_refused() -> None:
    journal = reopen(FaultDisk())
    fill(journal, 2)
    with pytest.raises(FatalError):
        journal.append(b"", 4, 1)


def test_entries_are_found_by_index() -> None:
    journal = reopen(FaultDisk())
    assert journal.entry(1) is None
    fill(journal, 5)
    journal.drop_before(3)
    assert journal.entry(2) is None
    assert journal.entry(6) is None
    found = journal.entry(4)
    assert found is not None
    assert found.content == b"entry 4"


def test_a_failed_sync_stays_under_way() -> None:
    disk = FaultDisk()
    journal = reopen(disk)
    fill(journal, 1)
    disk.sync_error = OSError(5, "Input/output error")
    with pytest.raises(OSError):
        journal.sync()
    with pytest.raises(FatalError):
        journal.sync()
