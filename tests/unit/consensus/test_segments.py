from __future__ import annotations

import random
import struct
import time
import zlib

import pytest

from coordinator.consensus.journal import Journal
from coordinator.consensus.segments import (
    SegmentReader,
    damage,
    seal_frame,
    segment_header,
    segment_name,
)
from coordinator.errors import DamageError, FatalError
from tests.unit.consensus.faults import FaultDisk


class Recorder:
    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []

    def replay_frame(self, name: str, offset: int, sequence: int, payload: bytes) -> None:
        self.frames.append((sequence, payload))


def test_names_sort_like_numbers() -> None:
    numbers = [1, 9, 10, 255, 1 << 40]
    assert sorted(map(segment_name, reversed(numbers))) == list(map(segment_name, numbers))


def test_frames_are_read_back() -> None:
    disk, recorder = FaultDisk(), Recorder()
    name = segment_name(7)
    content = segment_header(5, 7) + seal_frame(5, 7, b"one") + seal_frame(5, 8, b"")
    disk.append(name, content)
    assert SegmentReader(disk, name, last=False).replay(recorder) == len(content)
    assert recorder.frames == [(7, b"one"), (8, b"")]


def test_frames_sealed_for_another_file_are_not_taken() -> None:
    disk, recorder = FaultDisk(), Recorder()
    name = segment_name(7)
    disk.append(name, segment_header(5, 7) + seal_frame(6, 7, b"one"))
    with pytest.raises(DamageError):
        SegmentReader(disk, name, last=False).replay(recorder)
    assert not recorder.frames


def test_a_torn_frame_is_damage_unless_the_file_is_the_last() -> None:
    disk, recorder = FaultDisk(), Recorder()
    name = segment_name(1)
    intact = segment_header(5, 1) + seal_frame(5, 1, b"one")
    disk.append(name, intact + seal_frame(5, 2, b"two")[:-1])
    with pytest.raises(DamageError):
        SegmentReader(disk, name, last=False).replay(recorder)
    assert SegmentReader(disk, name, last=True).replay(Recorder()) == len(intact)
    assert disk.size(name) == len(intact)


def test_a_newer_format_is_named() -> None:
    disk = FaultDisk()
    header = bytearray(segment_header(5, 1))
    header[8] += 1
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    disk.append(segment_name(1), bytes(header))
    with pytest.raises(DamageError, match="has format 3"):
        SegmentReader(disk, segment_name(1), last=True).replay(Recorder())


def test_damage_says_where_and_what_to_do() -> None:
    message = str(damage("journal-1", 17, "it is odd"))
    assert "journal-1 is damaged at byte 17: it is odd" in message
    assert "coordctl member remove" in message
    assert "--join" in message


def test_a_frame_that_a_killed_program_left_to_the_system_is_synced_before_it_counts() -> None:
    disk = FaultDisk()
    journal = Journal(disk, 300)
    journal.append(b"first", 1, 0)
    journal.sync()
    journal.append(b"second", 2, 1)
    frame = journal.start_sync()
    assert frame is not None
    disk.append(frame.name, frame.content)  # killed before the fsync
    again = Journal(disk, 300)
    assert again.synced_index == 2
    again.append(b"third", 3, 1)
    again.sync()
    disk.lose_power(random.Random(3))
    assert [entry.index for entry in Journal(disk, 300).entries] == [1, 2, 3]


def test_looking_for_frames_behind_a_torn_one_is_quick_whatever_was_written() -> None:
    """Content full of what looks like headers of large frames would else be read once for each of them."""
    header, size = struct.Struct("<4sQII"), 1 << 20
    count = size // header.size
    lure = b"".join(
        header.pack(b"\xc0Frm", 99, max(0, count - number - 3) * header.size, 0)
        for number in range(count)
    )
    disk, name = FaultDisk(), segment_name(1)
    disk.append(name, segment_header(5, 1) + seal_frame(5, 1, b"one") + seal_frame(5, 2, lure)[:-1])
    began = time.process_time()
    SegmentReader(disk, name, last=True).replay(Recorder())
    assert time.process_time() - began < 1.0


def test_a_damaged_frame_before_an_intact_one_of_the_same_file_is_damage() -> None:
    frames = [segment_header(5, 1), *(seal_frame(5, n, b"content %d" % n) for n in (1, 2, 3))]
    start = len(frames[0]) + len(frames[1])
    for offset in range(start, start + len(frames[2])):
        disk = FaultDisk()
        disk.append(segment_name(1), b"".join(frames))
        disk.flip(segment_name(1), offset)
        with pytest.raises(DamageError, match="before intact ones"):
            SegmentReader(disk, segment_name(1), last=True).replay(Recorder())


def test_entries_with_a_gap_between_them_are_damage() -> None:
    record = struct.Struct("<BQQI")
    frames = [seal_frame(5, n, record.pack(1, index, 1, 0)) for n, index in ((1, 1), (2, 3))]
    disk = FaultDisk()
    disk.append(segment_name(1), segment_header(5, 1) + b"".join(frames))
    with pytest.raises(DamageError, match="entry 3 follows entry 1"):
        Journal(disk, 300)


def test_a_sync_is_finished_once() -> None:
    journal = Journal(FaultDisk(), 300)
    journal.append(b"first", 1, 0)
    sync = journal.start_sync()
    assert sync is not None
    sync.run()
    journal.finish_sync(sync)
    with pytest.raises(FatalError, match="not under way"):
        journal.finish_sync(sync)
