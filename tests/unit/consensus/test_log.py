from __future__ import annotations

from coordinator.consensus.engine.log import LogAdapter
from coordinator.consensus.journal import Journal
from tests.unit.consensus.faults import FaultDisk


def make() -> tuple[LogAdapter, Journal, FaultDisk]:
    disk = FaultDisk()
    journal = Journal(disk, 1 << 20)
    adapter = LogAdapter(journal)
    for index in range(1, 6):
        adapter.add(b"%d" % index, index, 1)
    return adapter, journal, disk


def test_entries_are_rows_by_position() -> None:
    adapter, journal, _ = make()
    journal.drop_before(3)
    assert len(adapter) == 3
    assert adapter[0] == (b"3", 3, 1)
    assert adapter[-1] == (b"5", 5, 1)
    assert adapter[1:] == [(b"4", 4, 1), (b"5", 5, 1)]


def test_deleting_by_position() -> None:
    adapter, journal, _ = make()
    adapter.deleteEntriesTo(2)
    assert (journal.first_index, journal.last_index) == (3, 5)
    adapter.deleteEntriesFrom(1)
    assert (journal.first_index, journal.last_index) == (3, 3)
    adapter.deleteEntriesFrom(9)
    adapter.deleteEntriesTo(9)
    adapter.deleteEntriesTo(0)
    assert len(adapter) == 1
    adapter.clear()
    assert len(adapter) == 0


def test_a_vote_for_nobody_is_none() -> None:
    adapter, _, _ = make()
    assert adapter.getVotedForNodeId() is None
    adapter.setCurrentTerm(3, 2)
    assert (adapter.getCurrentTerm(), adapter.getVotedForNodeId()) == (3, 2)
    adapter.setCurrentTerm(4, None)
    assert adapter.getVotedForNodeId() is None


def test_nothing_waits_for_the_disk() -> None:
    adapter, _, disk = make()
    adapter.setCurrentTerm(3, 2)
    adapter.setRaftCommitIndex(2)
    assert disk.operations == 0


def test_the_commit_index_stays_within_the_log() -> None:
    adapter, journal, _ = make()
    adapter.setRaftCommitIndex(99)
    assert adapter.getRaftCommitIndex() == 5
    journal.commit_index = 0
    assert adapter.getRaftCommitIndex() == 1
