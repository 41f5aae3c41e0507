from __future__ import annotations

import hashlib
import random
import struct

import msgspec
import pytest

from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.snapshots import (
    Description,
    Snapshot,
    SnapshotStore,
)
from coordinator.errors import DamageError
from tests.unit.consensus.faults import Crash, FaultDisk
from tests.unit.consensus.stage import make_peers

MEMBERS = configuration_of(make_peers(2), (7,))


def describe(index: int, term: int = 3) -> Description:
    return Description(index, term, MEMBERS)


def slices_of(index: int) -> list[bytes]:
    chance = random.Random(index)
    return [b"", b"text " * 100, chance.randbytes(5_000), b"%d" % index]


def newest_of(disk: FaultDisk) -> Snapshot | None:
    """What a restarted member finds, checked."""
    store = SnapshotStore(disk)
    newest = store.newest()
    if newest is not None:
        assert list(store.slices(newest)) == slices_of(newest.index)
    return newest


def test_slices_come_back_as_they_were() -> None:
    disk = FaultDisk()
    store = SnapshotStore(disk)
    assert store.newest() is None
    written = store.write(describe(42), slices_of(42))
    assert (written.index, written.term) == (42, 3)
    assert written.size == disk.size(written.name)
    assert newest_of(disk) == written
    assert written.description.configuration == MEMBERS


def test_no_slices_at_all() -> None:
    store = SnapshotStore(FaultDisk())
    assert list(store.slices(store.write(describe(1), []))) == []


def test_the_newest_counts_and_older_ones_go() -> None:
    disk = FaultDisk()
    store = SnapshotStore(disk)
    for index in (9, 10, 300):
        written = store.write(describe(index), slices_of(index))
    store.remove_older(written)
    assert disk.names() == [written.name]
    assert newest_of(disk) == written


def test_a_crash_at_any_operation_leaves_the_old_or_the_new_one() -> None:
    def take_two(disk: FaultDisk) -> None:
        store = SnapshotStore(disk)
        store.write(describe(1), slices_of(1))
        store.remove_older(store.write(describe(2), slices_of(2)))

    measured = FaultDisk()
    take_two(measured)
    for crash_at in range(1, measured.operations + 1):
        for seed in range(5):
            disk = FaultDisk()
            disk.crash_at = crash_at
            with pytest.raises(Crash):
                take_two(disk)
            first_done = len([name for name in disk._durable if name.startswith("snapshot-")]) > 0
            disk.lose_power(random.Random(seed))
            newest = newest_of(disk)
            assert newest is not None or not first_done
            assert all(name.startswith("snapshot-0") for name in disk.names())


def test_no_flipped_bit_goes_unnoticed() -> None:
    disk = FaultDisk()
    written = SnapshotStore(disk).write(describe(7), [b"text " * 20])
    for offset in range(written.size):
        disk.flip(written.name, offset, offset % 8)
        with pytest.raises(DamageError, match=written.name):
            SnapshotStore(disk).newest()
        disk.flip(written.name, offset, offset % 8)
    assert SnapshotStore(disk).newest() == written


def test_a_shortened_file_is_damage() -> None:
    disk = FaultDisk()
    written = SnapshotStore(disk).write(describe(7), slices_of(7))
    for size in (0, 1, 10, written.size - 1):
        content = bytes(disk.files[written.name].content)
        disk.truncate(written.name, size)
        with pytest.raises(DamageError):
            SnapshotStore(disk).newest()
        disk.files[written.name].content[:] = content


def seal(about: bytes, size: int) -> FaultDisk:
    """A disk with a file that is whole, and whose description is these bytes, said to be of this size."""
    body = struct.pack("<8sHI", b"CRDSNAP\n", 2, size) + about
    disk = FaultDisk()
    digest = hashlib.blake2b(body, digest_size=16).digest()
    disk.append("snapshot-0000000000000001", body + b"\xc0End" + digest)
    return disk


@pytest.mark.parametrize(
    "about",
    [
        b"",
        b"\x92\xa1\xff\x01",
        b"\x93\x01\x01\x91\x93\x01\xa1\xff\xa0",
        b"\x93\x01\x01\x91\x93\x01\xa0\xa2n\xff",
        b"\x93\x01\xff\x90",
        b"\x93\x01\x01\x92\x90\x90",
        b"\x93\x01\x01" + b"\x91" * 100_000,
    ],
    ids=["nothing", "field", "name", "address", "negative term", "no voter", "nesting"],
)
def test_a_description_that_is_none_is_damage(about: bytes) -> None:
    with pytest.raises(DamageError, match="snapshot-0000000000000001"):
        SnapshotStore(seal(about, len(about))).newest()


def test_a_received_file_of_no_index_is_damage() -> None:
    about = b"\x93\xff\x01\x90"
    source, target = seal(about, len(about)), FaultDisk()
    store = SnapshotStore(target)
    store.receive(0, source.read("snapshot-0000000000000001"))
    with pytest.raises(DamageError):
        store.accept()
    assert not target.names()


def test_a_description_can_not_be_larger_than_its_file() -> None:
    about = msgspec.msgpack.encode(describe(1))
    assert SnapshotStore(seal(about, len(about))).newest() is not None
    for size in (len(about) + 1, len(about) + 20, len(about) + 21, 1 << 20, (1 << 32) - 1):
        with pytest.raises(DamageError, match="begin like a snapshot"):
            SnapshotStore(seal(about, size)).newest()


def test_a_renamed_file_is_damage() -> None:
    disk = FaultDisk()
    written = SnapshotStore(disk).write(describe(7), slices_of(7))
    disk.rename(written.name, written.name[:-1] + "8")
    with pytest.raises(DamageError, match="written for index 7"):
        SnapshotStore(disk).newest()


def test_writing_can_be_called_off() -> None:
    disk = FaultDisk()
    writer = SnapshotStore(disk).begin(describe(7))
    writer.add(b"x" * 1_000_000)
    writer.cancel()
    writer.cancel()
    assert disk.names() == []


def test_one_that_is_being_sent_is_kept() -> None:
    disk = FaultDisk()
    store = SnapshotStore(disk)
    one, two, three = (store.write(describe(index), slices_of(index)) for index in (1, 2, 3))
    store.remove_older(three, [two.name])
    assert sorted(disk.names()) == [two.name, three.name]
    assert one.name not in disk.names()


def transfer(source: SnapshotStore, snapshot: Snapshot, target: SnapshotStore) -> None:
    for offset in range(0, snapshot.size, 1_000):
        target.receive(offset, source.read(snapshot, offset, 1_000))


def test_files_are_synced_bit_by_bit() -> None:
    """Else the journal's own sync would wait for all of one, on the same disk."""
    disk = FaultDisk()
    chance = random.Random(1)
    snapshot = SnapshotStore(disk).write(
        describe(9), [chance.randbytes(1024 * 1024) for _ in range(13)]
    )
    assert disk.syncs == 4
    other = FaultDisk()
    store = SnapshotStore(other)
    content = disk.read(snapshot.name)
    for offset in range(0, len(content), 1024 * 1024):
        store.receive(offset, content[offset : offset + 1024 * 1024])
    assert other.syncs == 3
    assert store.accept().size == snapshot.size


def test_a_received_file_is_the_same_snapshot() -> None:
    there, here = FaultDisk(), FaultDisk()
    source, target = SnapshotStore(there), SnapshotStore(here)
    written = source.write(describe(42), slices_of(42))
    target.receive(0, b"the beginning of another one")
    transfer(source, written, target)
    assert target.accept() == written
    assert newest_of(here) == written


def test_a_damaged_received_file_is_not_kept() -> None:
    there, here = FaultDisk(), FaultDisk()
    source, target = SnapshotStore(there), SnapshotStore(here)
    written = source.write(describe(42), slices_of(42))
    there.flip(written.name, written.size // 2)
    transfer(source, written, target)
    with pytest.raises(DamageError):
        target.accept()
    assert here.names() == []


def test_leftovers_go_at_the_start() -> None:
    disk = FaultDisk()
    store = SnapshotStore(disk)
    store.receive(0, b"half")
    assert store.newest() is None
    assert disk.names() == []


def test_a_snapshot_that_was_finished_survives_a_power_failure() -> None:
    """What it replaces may go at once."""
    for seed in range(20):
        disk = FaultDisk()
        SnapshotStore(disk).write(describe(8), slices_of(8))
        disk.lose_power(random.Random(seed))
        found = newest_of(disk)
        assert found is not None
        assert found.index == 8


def test_a_received_snapshot_survives_a_power_failure() -> None:
    """Its acknowledgement lets the leader forget the entries that it holds."""
    source = FaultDisk()
    sent = SnapshotStore(source).write(describe(8), slices_of(8))
    content = source.read(sent.name)
    for seed in range(20):
        disk = FaultDisk()
        store = SnapshotStore(disk)
        for offset in range(0, len(content), 700):
            store.receive(offset, content[offset : offset + 700])
        store.accept()
        disk.lose_power(random.Random(seed))
        found = newest_of(disk)
        assert found is not None
        assert found.index == 8
