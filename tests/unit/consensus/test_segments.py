from __future__ import annotations

import random
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
from coordinator.errors import DamageError
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
    with pytest.raises(DamageError, match="has format 2"):
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
