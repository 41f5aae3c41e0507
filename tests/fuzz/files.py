"""Targets: what a member finds in its data folder, or is sent to put there."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest.mock import patch

import msgspec

from coordinator.consensus.configuration import (
    configuration_of,
    decode_configuration,
    encode_configuration,
)
from coordinator.consensus.folder import FORMAT_VERSION, IDENTITY, Identity, read_identity
from coordinator.consensus.journal import Entry, Journal
from coordinator.consensus.segments import seal_frame, segment_header, segment_name
from coordinator.consensus.snapshots import Description, SnapshotStore
from coordinator.errors import ConfigError, DamageError
from tests.fuzz.target import Choices, Target, unpack
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import make_peers

SEGMENT_SIZE_BYTES = 200
HEADER_SIZE_BYTES = len(segment_header(0, 1))
SALT = int.from_bytes(b"salt", "little")
FRAME_MAGIC = seal_frame(0, 1, b"")[:4]
LAST_FRAME_SIZE_BYTES = len(seal_frame(0, 1, bytes(21 + 25)))
"""An entry of 25 bytes, in a record."""
MEMBERS = configuration_of(make_peers(3), (7,))
SLICES = [b"", b"text " * 100, bytes(range(256)) * 4, b"end"]

# The journal.


def _append(journal: Journal, term: int, *indexes: int) -> None:
    for index in indexes:
        journal.append(b"\xc0Frm%d" % index * 5, index, term)


def _changes(journal: Journal) -> list[Callable[[], None]]:
    """What is done to a journal, one sync after each."""
    return [
        lambda: _append(journal, 1, 1),
        lambda: journal.set_state(2, 3),
        lambda: _append(journal, 2, 2, 3, 4, 5, 6, 7),
        lambda: journal.cut(6),
        lambda: _append(journal, 3, 6),
        lambda: journal.drop_before(3),
        lambda: journal.set_state(4, 0),
        lambda: _append(journal, 4, 7),
        lambda: _append(journal, 4, 8),
    ]


State = tuple[list[Entry], int, int]


@cache
def _written() -> tuple[dict[str, bytes], list[State]]:
    """The files of a journal that was written in steps, and what it held after each. The same in every run."""
    disk = FaultDisk()
    journal = Journal(disk, SEGMENT_SIZE_BYTES)
    states: list[State] = [([], 0, 0)]
    for change in _changes(journal):
        change()
        with patch("os.urandom", return_value=SALT.to_bytes(4, "little")):
            sync = journal.start_sync()
        assert sync is not None
        sync.run()
        journal.finish_sync(sync)  # files that are not needed any more stay
        states.append((list(journal.entries), journal.term, journal.vote))
    return {name: disk.read(name) for name in sorted(disk.names())}, states


def _open(files: dict[str, bytes]) -> Journal | None:
    """Opens a journal twice: what was read once must be read again. None: it is damaged."""
    disk = FaultDisk()
    for name, content in files.items():
        disk.append(name, content)
    try:
        journal = Journal(disk, SEGMENT_SIZE_BYTES)
    except DamageError:
        return None
    again = Journal(disk, SEGMENT_SIZE_BYTES)
    assert (again.entries, again.term, again.vote) == (journal.entries, journal.term, journal.vote)
    return journal


def _forged(changed: bytes, original: bytes) -> bool:
    """Whether headers were made whose checksums fit: a fuzzer that sees what they are compared with can do that."""
    body = changed[: HEADER_SIZE_BYTES - 4]
    if body != original[: len(body)] and zlib.crc32(body) == int.from_bytes(
        changed[len(body) : HEADER_SIZE_BYTES], "little"
    ):
        return True
    size, position = len(seal_frame(0, 1, b"")), -1
    while (position := changed.find(FRAME_MAGIC, position + 1)) >= 0:
        opening = changed[position : position + size]
        fits = zlib.crc32(opening[:-4], SALT) == int.from_bytes(opening[-4:], "little")
        if fits and opening not in original:
            return True
    return False


def check_journal(content: bytes) -> None:
    """One file of a journal is other than it was written: DamageError, or what was there after some step.

    As long as the last frame is there, nothing before it may be missing.
    """
    choices = Choices(content)
    written, states = _written()
    name, last = choices.pick(list(written)), max(written)
    changed = choices.bytes(choices.left)
    journal = _open(written | {name: changed})
    if journal is None:
        return
    if _forged(changed, written[name]):
        return
    state = journal.entries, journal.term, journal.vote
    if name != last or (
        changed[:HEADER_SIZE_BYTES] == written[last][:HEADER_SIZE_BYTES]
        and changed[-LAST_FRAME_SIZE_BYTES:] == written[last][-LAST_FRAME_SIZE_BYTES:]
    ):
        assert state == states[-1]
    assert state in states


def journal_seeds() -> list[bytes]:
    files, _ = _written()
    return [bytes([number]) + file for number, file in enumerate(files.values())]


def check_frame(content: bytes) -> None:
    """Frames with fitting checksums that hold anything: DamageError, or a journal that can be written on."""
    header = segment_header(5, 1)
    frames = [seal_frame(5, number, part) for number, part in enumerate(unpack(content), 1)]
    journal = _open({segment_name(1): header + b"".join(frames)})
    if journal is None:
        return
    indexes = [entry.index for entry in journal.entries]
    assert indexes == list(range(indexes[0], indexes[0] + len(indexes))) if indexes else True
    journal.set_state(journal.term ^ 1, 1)
    journal.sync()


def frame_seeds() -> list[bytes]:
    record = struct.Struct("<BQQI")
    entries = [record.pack(1, index, 2, 3) + b"\x00ab" for index in range(1, 6)]
    rest = [record.pack(kind, 3, 2, 0) for kind in (2, 3, 4, 5, 6)]
    parts = [b"".join(entries), *rest, record.pack(1, 1 << 63, 1 << 63, 1) + b"x"]
    return [b"".join(len(p).to_bytes(2, "big") + p for p in parts[:n]) for n in range(1, 8)]


# Snapshots.


@cache
def _snapshot() -> bytes:
    disk = FaultDisk()
    store = SnapshotStore(disk)
    return disk.read(store.write(Description(9, 2, MEMBERS), SLICES).name)


def check_snapshot(content: bytes) -> None:
    """A file that was sent: what was written, or damage of which nothing is kept.

    The last byte says whether the checksum is made to fit.
    """
    body, seal = content[:-1], content[-1:] != b"\x00"
    if seal:
        body = body[:-20]
        body += b"\xc0End" + hashlib.blake2b(body, digest_size=16).digest()
    disk = FaultDisk()
    store = SnapshotStore(disk)
    store.receive(0, body)
    try:
        snapshot = store.accept()
    except DamageError:
        assert not disk.names()
        return
    assert SnapshotStore(disk).newest() == snapshot
    assert snapshot.description.configuration.voters
    pieces = []
    with contextlib.suppress(DamageError):
        for piece in store.slices(snapshot):
            pieces.append(piece)
            assert len(piece) <= 64 << 20
            if len(pieces) > 100:
                break
    # A fuzzer that sees what checksums are compared with can forge them; but not other content for the same one.
    if body[-20:] == _snapshot()[-20:]:
        assert (snapshot.index, pieces) == (9, SLICES)


def snapshot_seeds() -> list[bytes]:
    return [_snapshot() + b"\x00", _snapshot() + b"\x01"]


# What belongs to whom.


def check_identity(content: bytes) -> None:
    disk = FaultDisk()
    disk.append(IDENTITY, content)
    try:
        identity = read_identity(Path("folder"), disk)
    except (ConfigError, DamageError):
        return
    assert identity is not None
    again = FaultDisk()
    again.append(IDENTITY, msgspec.json.encode(identity))
    assert read_identity(Path("folder"), again) == identity
    assert identity.configuration.voters


def identity_seeds() -> list[bytes]:
    identity = Identity(FORMAT_VERSION, 77, 2, "n2", MEMBERS)
    older = Identity(1, 77, 2, "n2", MEMBERS)
    return [msgspec.json.encode(identity), msgspec.json.encode(older)]


def check_configuration(content: bytes) -> None:
    try:
        configuration = decode_configuration(content)
    except (ValueError, RecursionError):
        return
    assert configuration.voters
    assert decode_configuration(encode_configuration(configuration)) == configuration


def configuration_seeds() -> list[bytes]:
    return [encode_configuration(MEMBERS), encode_configuration(configuration_of(make_peers(1)))]


def bomb(size: int) -> bytes:
    """A small snapshot file that holds `size` zeros as slices."""
    disk = FaultDisk()
    store = SnapshotStore(disk)
    pieces = (b"\0" * (1 << 20) for _ in range(size >> 20))
    return disk.read(store.write(Description(9, 2, MEMBERS), pieces).name)


TARGETS = [
    Target("journal", check_journal, journal_seeds),
    Target("frame", check_frame, frame_seeds),
    Target("snapshot", check_snapshot, snapshot_seeds),
    Target("identity", check_identity, identity_seeds),
    Target("configuration", check_configuration, configuration_seeds),
]
