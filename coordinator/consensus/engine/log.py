"""Our journal behind the interface that pysyncobj expects of one.

pysyncobj addresses entries by their position in the log, we by their index.
"""

from __future__ import annotations

from typing import Final, overload

from pysyncobj.journal import Journal as SyncObjJournal

from coordinator.consensus.journal import Journal

Row = tuple[bytes, int, int]
"""Content, index and term of an entry, as `SyncObj` has them."""

REGULAR: Final = b"\x00"
NO_OP: Final = b"\x01"
MEMBERS: Final = b"\x02"
"""First byte of an entry: the application's, one that a leader begins its term with, or a configuration."""
KINDS: Final = (REGULAR, NO_OP, MEMBERS)


class LogAdapter(SyncObjJournal):  # type: ignore[misc]  # pysyncobj has no types
    """The log as `SyncObj` sees it. Nothing here waits for the disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __len__(self) -> int:
        return len(self._journal.entries)

    @overload
    def __getitem__(self, position: int) -> Row: ...

    @overload
    def __getitem__(self, position: slice) -> list[Row]: ...

    def __getitem__(self, position: int | slice) -> Row | list[Row]:
        found = self._journal.entries[position]
        if isinstance(found, list):
            return [(entry.content, entry.index, entry.term) for entry in found]
        return found.content, found.index, found.term

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._journal.append(command, idx, term)

    def clear(self) -> None:
        self._journal.clear()

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        if entryFrom < len(self):
            self._journal.cut(self._journal.entries[entryFrom].index)

    def deleteEntriesTo(self, entryTo: int) -> None:
        if 0 < entryTo < len(self):
            self._journal.drop_before(self._journal.entries[entryTo].index)

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        self._journal.commit_index = raftCommitIndex

    def getRaftCommitIndex(self) -> int:
        # A commit index beyond the end of the log would commit entries that are yet to come.
        return max(1, min(self._journal.commit_index, self._journal.last_index))

    def setCurrentTerm(self, term: int, votedForNodeId: int | None) -> None:
        self._journal.set_state(term, votedForNodeId or 0)

    def getCurrentTerm(self) -> int:
        return self._journal.term

    def getVotedForNodeId(self) -> int | None:
        return self._journal.vote or None

    def _destroy(self) -> None:
        self._journal.close()
