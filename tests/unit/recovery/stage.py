"""Folders of members as they are left behind, made without running one."""

from __future__ import annotations

from coordinator.config import MIB
from coordinator.consensus.configuration import Configuration, configuration_of
from coordinator.consensus.disk import Disk
from coordinator.consensus.engine.log import NO_OP, REGULAR
from coordinator.consensus.folder import FORMAT_VERSION, Identity, write_identity
from coordinator.consensus.interface import Peer
from coordinator.consensus.journal import Journal
from coordinator.consensus.snapshots import Description, Snapshot, SnapshotStore
from coordinator.state.commands import LeaderElected, Put, SessionOpen, Write
from coordinator.state.machine import StateMachine
from tests.unit.state.workload import bundle

PEERS = tuple(Peer(i, f"n{i}", f"127.0.0.1:{7000 + i}") for i in (1, 2, 3))
CONFIGURATION = configuration_of(PEERS)
IDENTITY = Identity(FORMAT_VERSION, 99, 1, "n1", CONFIGURATION)
TERM = 4


def entries(count: int) -> list[bytes]:
    """Commands of a log: a leader, a session, and so many puts."""
    puts = [bundle([Write(Put(b"/k%d" % i, b"v%d" % i, 7 if i == 0 else 0))]) for i in range(count)]
    return [bundle([LeaderElected(TERM, 5), SessionOpen(7, 1000)]), *puts]


def state_after(contents: list[bytes]) -> StateMachine:
    machine = StateMachine()
    for content in contents:
        machine.apply(content)
    return machine


def write_snapshot(
    disk: Disk, count: int, configuration: Configuration = CONFIGURATION
) -> Snapshot:
    """A snapshot of a state with so many keys."""
    machine = state_after(entries(count))
    description = Description(count + 2, TERM, configuration)
    return SnapshotStore(disk).write(description, machine.capture().encode())


def write_member(disk: Disk, *, snapshot_of: int = 0, last: int = 5, term: int = TERM) -> None:
    """What member n1 leaves: a log with `last` keys, of which a snapshot holds some."""
    contents = entries(last)
    journal = Journal(disk, MIB)
    journal.append(NO_OP, 1, 0)
    for index, content in enumerate(contents, 2):
        journal.append(REGULAR + content, index, TERM)
    journal.set_state(term, 2)
    journal.commit_index = last
    journal.sync()
    if snapshot_of:
        journal.drop_before(write_snapshot(disk, snapshot_of).index)
        journal.sync()
    journal.close()
    write_identity(disk, IDENTITY)


def content(disk: Disk) -> dict[str, bytes]:
    return {name: disk.read(name) for name in disk.names()}
