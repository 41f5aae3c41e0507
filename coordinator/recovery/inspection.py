"""Says what is in a member's folder or a snapshot file, and whether all of it is what was written. Changes nothing."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import msgspec

from coordinator.config import MIB
from coordinator.consensus import aside
from coordinator.consensus.configuration import Configuration
from coordinator.consensus.disk import LocalDisk
from coordinator.consensus.engine.storage import check_parts
from coordinator.consensus.folder import LOCK, Identity, read_identity
from coordinator.consensus.journal import Journal
from coordinator.consensus.segments import PREFIX
from coordinator.consensus.snapshots import Snapshot, SnapshotStore
from coordinator.errors import ConfigError, DamageError, FatalError
from coordinator.recovery.contents import damaged, digest_of, load_state, members_of, open_snapshot
from coordinator.recovery.overlay import Overlay

ATTEMPTS_MAX = 5
"""How often a folder is read whose member runs, and removes files meanwhile."""


class MemberReport(msgspec.Struct, frozen=True):
    """One member of the cluster."""

    id: int
    name: str
    peer_address: str
    voter: bool


class StateReport(msgspec.Struct, frozen=True):
    """The state in a snapshot."""

    cluster_id: int
    revision: int
    compacted_revision: int
    key_count: int
    session_count: int
    digest: str


class SnapshotReport(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot file; what follows `ok` is only known of a good one."""

    file: str
    size_bytes: int
    ok: bool
    index: int = 0
    term: int = 0
    members: tuple[MemberReport, ...] = ()
    state: StateReport | None = None
    """Of the newest one."""


class SegmentReport(msgspec.Struct, frozen=True):
    """One file of the journal."""

    file: str
    size_bytes: int


class TornTail(msgspec.Struct, frozen=True):
    """What a crash left of a last write, which nobody relies on: the next start cuts it off, and no harm is done."""

    file: str
    offset: int
    size_bytes: int


class JournalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The log; what follows `ok` is only known of a good one."""

    segments: tuple[SegmentReport, ...]
    ok: bool
    term: int = 0
    vote: int = 0
    """Id of the member that got the vote in the term; 0: none."""
    first_index: int = 0
    last_index: int = 0
    commit_index: int = 0
    """As far as this was noted: it may be higher."""
    torn_tail: TornTail | None = None


class Damage(msgspec.Struct, frozen=True):
    """Bytes that are not what was written."""

    file: str
    offset: int | None
    what: str


class Report(msgspec.Struct, kw_only=True):
    """All that was found."""

    path: str
    damage: list[Damage] = msgspec.field(default_factory=list)
    warnings: list[str] = msgspec.field(default_factory=list)
    identity: dict[str, Any] | None = None
    members: tuple[MemberReport, ...] = ()
    journal: JournalReport | None = None
    snapshots: list[SnapshotReport] = msgspec.field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.damage


def inspect(path: Path) -> Report:
    """Reads all of a member's data folder, or a snapshot file. Raises ConfigError if there is neither."""
    if path.is_file():
        return _inspect_file(path)
    if not path.is_dir():
        raise ConfigError(f"there is no data folder or snapshot file {path}")
    running = in_use(path)
    for attempt in range(ATTEMPTS_MAX):
        try:
            report = _Inspection(path).run()
            break
        except FileNotFoundError as error:
            if attempt == ATTEMPTS_MAX - 1:
                raise ConfigError(f"the files in {path} change too fast: {error}") from error
        except OSError as error:
            raise ConfigError(f"can't read the data folder {path}: {error}") from error
    if running:
        report.warnings.append(
            "a node uses this folder now: what it is writing at the moment may look like a torn tail"
        )
    return report


def in_use(path: Path) -> bool:
    """Whether a process uses a data folder now."""
    try:
        lock = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(lock)


def _inspect_file(path: Path) -> Report:
    report = Report(path=str(path))
    size = path.stat().st_size
    try:
        source = open_snapshot(path)
        one = _snapshot_report(source.store, source.snapshot, with_state=True)
    except DamageError as error:
        report.damage.append(_damage(damaged(path, error)))
        one = SnapshotReport(file=path.name, size_bytes=size, ok=False)
    report.snapshots.append(one)
    return report


class _Inspection:
    """One look at a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._disk = Overlay(LocalDisk(path))
        self._store = SnapshotStore(self._disk)
        self._report = Report(path=str(path))

    def run(self) -> Report:
        if not any(n.startswith((PREFIX, "snapshot-", "identity.")) for n in self._disk.names()):
            raise ConfigError(f"{self._path} is not the data folder of a member")
        if aside.decided(self._disk):
            self._report.warnings.append(
                "other content was about to take the place of this folder's: the next start finishes that, "
                "and what is shown here is the new content"
            )
        identity = self._read_identity()
        newest = self._read_snapshots()
        self._read_journal(identity, newest)
        return self._report

    def _read_identity(self) -> Identity | None:
        try:
            aside.settle(self._disk)
            identity = read_identity(self._path, self._disk)
        except DamageError as error:
            self._report.damage.append(_damage(error))
            return None
        except ConfigError as error:  # another format
            self._report.damage.append(Damage("identity.json", None, str(error)))
            return None
        if identity is not None:
            self._report.identity = {
                "name": identity.name,
                "member_id": identity.member_id,
                "cluster_key": identity.cluster_key,
                "reborn": identity.reborn,
            }
            self._report.members = _members(identity.configuration)
        return identity

    def _read_snapshots(self) -> Snapshot | None:
        """Checks all snapshots; returns the newest if that is good."""
        newest: Snapshot | None = None
        names = self._store.names()
        for name in names:
            newest = None
            try:
                snapshot = self._store.check(name)
                one = _snapshot_report(self._store, snapshot, with_state=name == names[-1])
                newest = snapshot
            except DamageError as error:
                self._report.damage.append(_damage(error))
                one = SnapshotReport(file=name, size_bytes=self._disk.size(name), ok=False)
            self._report.snapshots.append(one)
        return newest

    def _read_journal(self, identity: Identity | None, newest: Snapshot | None) -> None:
        report = self._report
        names = sorted(name for name in self._disk.names() if name.startswith(PREFIX))
        segments = tuple(SegmentReport(name, self._disk.size(name)) for name in names)
        try:
            journal = Journal(self._disk, MIB)
            if report.ok:
                check_parts(journal, newest, used_before=identity is not None)
            if identity is not None and report.ok:
                report.members = _members(members_of(journal, newest, identity))
        except FatalError as error:
            report.damage.append(_damage(error))
            report.journal = JournalReport(segments=segments, ok=False)
            return
        report.journal = JournalReport(
            segments=segments,
            ok=True,
            term=journal.term,
            vote=journal.vote,
            first_index=journal.first_index if journal.entries else 0,
            last_index=journal.last_index,
            commit_index=journal.commit_index,
            torn_tail=self._torn_tail(segments),
        )

    def _torn_tail(self, segments: tuple[SegmentReport, ...]) -> TornTail | None:
        for name, (left, size) in self._disk.truncated.items():
            return TornTail(name, left, size - left)
        for segment in segments:
            if segment.file in self._disk.removed:
                return TornTail(segment.file, 0, segment.size_bytes)
        return None


def _snapshot_report(
    store: SnapshotStore, snapshot: Snapshot, *, with_state: bool
) -> SnapshotReport:
    state = None
    if with_state:
        machine = load_state(store.slices(snapshot))
        state = StateReport(
            machine.cluster_id,
            machine.revision,
            machine.compacted_revision,
            machine.key_count,
            machine.session_count,
            digest_of(machine),
        )
    return SnapshotReport(
        file=snapshot.name,
        size_bytes=snapshot.size,
        ok=True,
        index=snapshot.index,
        term=snapshot.term,
        members=_members(snapshot.description.configuration),
        state=state,
    )


def _members(configuration: Configuration) -> tuple[MemberReport, ...]:
    return tuple(MemberReport(m.id, m.name, m.address, m.voter) for m in configuration.members)


def _damage(error: FatalError) -> Damage:
    if isinstance(error, DamageError):
        return Damage(error.file, error.offset, str(error))
    return Damage("", None, str(error))
