"""The log of one member on disk: entries, term, vote and commit index, in files that are only appended to.

A frame is what one fsync makes durable, whole or not at all; its payload is a run of records:

    ENTRY index term bytes   appends an entry       BASE index    drops the entries before index
    CUT index                drops it and later     STATE         the term and the vote
    CLEAR                    drops all              COMMIT index  the commit index, a hint

Nothing is written behind a frame whose fsync has not returned, so a crash can damage the last frame only: that one is
cut off at recovery. Damage before an intact frame, or a gap in the numbers, means that bytes are lost which others
rely on; then the member must not start.

The journal itself does no waiting. `start_sync` hands out a `JournalSync` whose `run` may be called on another thread;
`finish_sync` takes it back.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from coordinator.consensus.disk import Disk
from coordinator.consensus.segments import (
    PREFIX,
    SegmentReader,
    damage,
    seal_frame,
    segment_header,
    segment_name,
)
from coordinator.errors import FatalError

_RECORD = struct.Struct("<BQQI")
_ENTRY, _CUT, _BASE, _CLEAR, _STATE, _COMMIT = range(1, 7)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record of the log."""

    content: bytes
    index: int
    term: int


class JournalSync:
    """One frame on its way to the disk."""

    def __init__(self, disk: Disk, name: str, content: bytes, *, creates: bool) -> None:
        self.name = name
        self.content = content
        self._creates = creates
        self._disk = disk

    def run(self) -> None:
        """Writes the frame and returns when it is on stable storage. Touches nothing of the journal.

        Raises OSError; the frame may then be on disk or not, and the journal must not be used any more.
        """
        self._disk.append(self.name, self.content)
        self._disk.sync(self.name)
        if self._creates:
            self._disk.sync_folder()


class _Segment(NamedTuple):
    name: str
    last_index: int
    """No entry of the file has a higher index, unless a later file cut it off."""
    size: int


class Journal:
    """The log in memory and what of it is on disk.

    Marks number the changes: `mark` is that of the newest change, `synced_mark` that of the newest one on disk.
    """

    def __init__(self, disk: Disk, segment_size_bytes: int) -> None:
        """Reads what is on disk. Raises DamageError or OSError."""
        self.entries: list[Entry] = []
        self.term = 0
        self.vote = 0
        """Member that this one voted for in `term`; 0: none."""
        self.commit_index = 0
        self.mark = 0
        self.synced_mark = 0
        self.synced_index = 0
        """All entries up to this one are on disk as they are in memory."""
        self._disk = disk
        self._segment_size_bytes = segment_size_bytes
        self._records: list[bytes] = []
        self._logged_commit_index = 0
        self._sequence = 0
        self._salt = 0
        self._active: str | None = None
        self._active_size = 0
        self._active_last = 0
        self._closed: list[_Segment] = []
        self._running: JournalSync | None = None
        self._running_mark = 0
        self._running_last = 0
        self._running_first = 0
        self._synced_first = 0
        self._closing: str | None = None
        self._recover()

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written to this journal."""
        return self._sequence == 0 and not self.entries

    @property
    def first_index(self) -> int:
        return self.entries[0].index

    @property
    def last_index(self) -> int:
        return self.entries[-1].index if self.entries else 0

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return self._active_size + sum(segment.size for segment in self._closed)

    @property
    def dirty(self) -> bool:
        """Whether something waits for a sync. The commit index alone does not: it is only a hint."""
        return bool(self._records)

    @property
    def syncing(self) -> bool:
        """Whether a sync was started and not finished."""
        return self._running is not None

    def entry(self, index: int) -> Entry | None:
        """The entry at an index, or None if the log does not contain it."""
        if not self.entries or not self.first_index <= index <= self.last_index:
            return None
        return self.entries[index - self.first_index]

    def append(self, content: bytes, index: int, term: int) -> None:
        """Adds the next entry."""
        if self.entries and index != self.last_index + 1:
            raise FatalError(f"entry {index} can't follow entry {self.last_index} in the log")
        self.entries.append(Entry(content, index, term))
        self._record(_ENTRY, index, term, content)

    def cut(self, index: int) -> None:
        """Drops the entry at `index` and all later ones."""
        if index > self.last_index:
            return
        del self.entries[max(0, index - self.first_index) :]
        self.synced_index = min(self.synced_index, index - 1)
        self._running_last = min(self._running_last, index - 1)
        self._record(_CUT, index)

    def clear(self) -> None:
        """Drops all entries."""
        self.entries.clear()
        self.synced_index = self._running_last = 0
        self._record(_CLEAR)

    def drop_before(self, index: int) -> None:
        """Drops the entries before `index`, which must be in the log; files go once that is on disk."""
        if self.entries and self.first_index < index <= self.last_index:
            del self.entries[: index - self.first_index]
            self._record(_BASE, index)

    def set_state(self, term: int, vote: int) -> None:
        """Records the current term and the vote in it."""
        if (term, vote) != (self.term, self.vote):
            self.term, self.vote = term, vote
            self._record(_STATE, vote, term)

    def start_sync(self) -> JournalSync | None:
        """Takes everything that changed as one frame; None if nothing did. Only one sync may be under way."""
        if self._running is not None:
            raise FatalError("a sync of the journal is already under way")
        if not self._records:
            return None
        creates = self._active is None or self._active_size >= self._segment_size_bytes
        prefix = self._begin_segment() if creates else b""
        if self.commit_index > self._logged_commit_index:
            self._logged_commit_index = self.commit_index
            self._records.append(_RECORD.pack(_COMMIT, self.commit_index, 0, 0))
        content = prefix + self._seal(b"".join(self._records))
        self._records.clear()
        self._active_size += len(content)
        self._active_last = self.last_index
        assert self._active is not None
        self._running = JournalSync(self._disk, self._active, content, creates=creates)
        self._running_mark, self._running_last = self.mark, self.last_index
        self._running_first = self.first_index if self.entries else 0
        return self._running

    def finish_sync(self, sync: JournalSync) -> list[str]:
        """Takes note that `sync.run` returned. Returns the names of files that are not needed any more.

        The caller passes them to `remove_segments`, which may run on another thread.
        """
        if sync is not self._running:
            raise FatalError("this sync of the journal is not under way")
        self._running = None
        self.synced_mark, self.synced_index = self._running_mark, self._running_last
        self._synced_first = self._running_first
        obsolete = []
        while self._closed and self._closed[0].last_index < self._synced_first:
            obsolete.append(self._closed.pop(0).name)
        return obsolete

    def remove_segments(self, names: Sequence[str]) -> None:
        """Removes files, oldest first, each durably before the next: a gap would look like damage."""
        for name in names:
            self._disk.remove(name)
            self._disk.sync_folder()

    def sync(self) -> None:
        """Syncs on this thread and removes files that are not needed any more. Raises OSError."""
        sync = self.start_sync()
        if sync is not None:
            sync.run()
            self.remove_segments(self.finish_sync(sync))

    def close(self) -> None:
        """Lets go of the file being written; what was not synced is not on disk."""
        if self._active is not None:
            self._disk.close(self._active)

    def _record(self, kind: int, index: int = 0, term: int = 0, content: bytes = b"") -> None:
        self.mark += 1
        self._records.append(_RECORD.pack(kind, index, term, len(content)))
        if content:
            self._records.append(content)

    def _seal(self, payload: bytes) -> bytes:
        self._sequence += 1
        return seal_frame(self._salt, self._sequence, payload)

    def _begin_segment(self) -> bytes:
        """Starts another file; its first frame opens with all that earlier files may have said about the whole log."""
        if self._active is not None:
            self._closed.append(_Segment(self._active, self._active_last, self._active_size))
            self._disk.close(self._active)
        self._salt = int.from_bytes(os.urandom(4), "little")
        self._active, self._active_size = segment_name(self._sequence + 1), 0
        opening = [_RECORD.pack(_STATE, self.vote, self.term, 0)]
        if self._logged_commit_index:
            opening.append(_RECORD.pack(_COMMIT, self._logged_commit_index, 0, 0))
        self._records[:0] = opening
        return segment_header(self._salt, self._sequence + 1)

    def _recover(self) -> None:
        names = sorted(name for name in self._disk.names() if name.startswith(PREFIX))
        for name in names:
            size = SegmentReader(self._disk, name, last=name == names[-1]).replay(self)
            if size:
                self._closed.append(_Segment(name, self.last_index, size))
        if self._closed:
            # A program that was killed may have left its last frame to the system, on the way to the disk.
            name = self._closed[-1].name
            self._disk.append(name, b"")
            self._disk.sync(name)
            self._disk.close(name)
            self._disk.sync_folder()
        self.synced_index = self.last_index
        self._synced_first = self.first_index if self.entries else 0
        self._logged_commit_index = self.commit_index

    def replay_frame(self, name: str, offset: int, sequence: int, payload: bytes) -> None:
        """Takes in one frame at recovery. Raises DamageError."""
        if self._sequence and sequence != self._sequence + 1:
            raise damage(name, offset, f"frame {sequence} follows frame {self._sequence}")
        self._sequence = sequence
        position = 0
        while position < len(payload):
            if position + _RECORD.size > len(payload):
                raise damage(name, offset, "its last record is cut short")
            kind, index, term, size = _RECORD.unpack_from(payload, position)
            position += _RECORD.size
            if size > len(payload) - position:
                raise damage(name, offset, "its last record is cut short")
            self._replay_record(
                name, offset, kind, index, term, payload[position : position + size]
            )
            position += size

    def _replay_record(
        self, name: str, offset: int, kind: int, index: int, term: int, content: bytes
    ) -> None:
        entries = self.entries
        if kind == _ENTRY:
            if entries and index != self.last_index + 1:
                raise damage(name, offset, f"entry {index} follows entry {self.last_index}")
            entries.append(Entry(content, index, term))
        elif kind == _CUT:
            if entries:
                del entries[max(0, index - self.first_index) :]
        elif kind == _BASE:
            if entries and index > self.first_index:
                del entries[: index - self.first_index]
        elif kind == _CLEAR:
            entries.clear()
        elif kind == _STATE:
            self.term, self.vote = term, index
        elif kind == _COMMIT:
            self.commit_index = index
        else:
            raise damage(name, offset, f"a record has the unknown kind {kind}")
