"""The log of one member on disk: entries, term, vote and commit index, in files that are only appended to.

A segment file is a header (magic, format version, salt, number of its first frame, crc32) followed by frames (magic,
number, length, crc32, payload). A frame is what one fsync makes durable, whole or not at all; its payload is a run of
records:

    ENTRY index term bytes   appends an entry       BASE index    drops the entries before index
    CUT index                drops it and later     STATE         the term and the vote
    CLEAR                    drops all              COMMIT index  the commit index, a hint

Nothing is written behind a frame whose fsync has not returned, so a crash can damage the last frame only: that one is
cut off at recovery. Damage before an intact frame, or a gap in the numbers, means that bytes are lost which others
rely on; then the member must not start. The salt keeps entries from passing for frames.

The journal itself does no waiting. `start_sync` hands out a `JournalSync` whose `run` may be called on another thread;
`finish_sync` takes it back.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from coordinator.consensus.disk import Disk
from coordinator.errors import DamageError, FatalError

FORMAT_VERSION = 1
_SEGMENT_MAGIC = b"CRDLOG\r\n"
_SEGMENT_HEADER = struct.Struct("<8sHIQ")
_CHECKSUM = struct.Struct("<I")
_HEADER_SIZE = _SEGMENT_HEADER.size + _CHECKSUM.size
_FRAME_MAGIC = b"\xc0Frm"
_FRAME_HEADER = struct.Struct("<4sQII")
_FRAME_SEAL = struct.Struct("<QI")
_RECORD = struct.Struct("<BQQI")
_ENTRY, _CUT, _BASE, _CLEAR, _STATE, _COMMIT = range(1, 7)
_PREFIX = "journal-"


class Entry(NamedTuple):
    """One record of the log."""

    content: bytes
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
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
        checksum = _frame_checksum(self._salt, self._sequence, payload)
        header = _FRAME_HEADER.pack(_FRAME_MAGIC, self._sequence, len(payload), checksum)
        return header + payload

    def _begin_segment(self) -> bytes:
        """Starts another file; its first frame opens with all that earlier files may have said about the whole log."""
        if self._active is not None:
            self._closed.append(_Segment(self._active, self.last_index, self._active_size))
            self._disk.close(self._active)
        self._salt = int.from_bytes(os.urandom(4), "little")
        self._active, self._active_size = f"{_PREFIX}{self._sequence + 1:016x}", 0
        opening = [_RECORD.pack(_STATE, self.vote, self.term, 0)]
        if self._logged_commit_index:
            opening.append(_RECORD.pack(_COMMIT, self._logged_commit_index, 0, 0))
        self._records[:0] = opening
        header = _SEGMENT_HEADER.pack(
            _SEGMENT_MAGIC, FORMAT_VERSION, self._salt, self._sequence + 1
        )
        return header + _CHECKSUM.pack(zlib.crc32(header))

    def _recover(self) -> None:
        names = sorted(name for name in self._disk.names() if name.startswith(_PREFIX))
        for name in names:
            size = _SegmentReader(self._disk, name, last=name == names[-1]).replay(self)
            if size:
                self._closed.append(_Segment(name, self.last_index, size))
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
            kind, index, term, size = _RECORD.unpack_from(payload, position)
            position += _RECORD.size
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


class _Replay(Protocol):
    """What a segment is read into."""

    def replay_frame(self, name: str, offset: int, sequence: int, payload: bytes) -> None: ...


class _SegmentReader:
    """Reads one file at recovery."""

    def __init__(self, disk: Disk, name: str, *, last: bool) -> None:
        self._disk = disk
        self._name = name
        self._last = last
        self._content = disk.read(name)
        self._salt = 0

    def replay(self, journal: _Replay) -> int:
        """Replays all intact frames, cuts off a torn one, and returns the size of what is left."""
        if not self._read_header():
            return 0
        position, sequence = _HEADER_SIZE, 0
        while position < len(self._content):
            frame = self._frame(position)
            if frame is None:
                if not self._last or self._intact_frame_after(position, sequence):
                    raise damage(self._name, position, "a frame before intact ones is damaged")
                self._disk.truncate(self._name, position)
                break
            sequence, payload = frame
            journal.replay_frame(self._name, position, sequence, payload)
            position += _FRAME_HEADER.size + len(payload)
        if sequence == 0:
            # The file was made, and its first frame, which holds term and vote, never got to the disk.
            self._remove()
            return 0
        return position

    def _read_header(self) -> bool:
        """False if the file is one that was being made when the member crashed."""
        content = self._content
        if len(content) >= _HEADER_SIZE:
            header = content[: _SEGMENT_HEADER.size]
            (checksum,) = _CHECKSUM.unpack_from(content, _SEGMENT_HEADER.size)
            magic, version, self._salt, sequence = _SEGMENT_HEADER.unpack(header)
            if magic == _SEGMENT_MAGIC and zlib.crc32(header) == checksum:
                if version != FORMAT_VERSION:
                    raise DamageError(
                        f"{self._name} has format {version}; this program reads format "
                        f"{FORMAT_VERSION}: start the version of the program that wrote it"
                    )
                if self._name != f"{_PREFIX}{sequence:016x}":
                    raise damage(self._name, 0, f"the file was written as number {sequence:x}")
                return True
        if not self._last or content.find(_FRAME_MAGIC, _HEADER_SIZE + _FRAME_HEADER.size) >= 0:
            raise damage(self._name, 0, "the header is damaged")
        self._remove()
        return False

    def _remove(self) -> None:
        self._disk.remove(self._name)
        self._disk.sync_folder()

    def _frame(self, position: int) -> tuple[int, bytes] | None:
        if position + _FRAME_HEADER.size > len(self._content):
            return None
        magic, sequence, size, checksum = _FRAME_HEADER.unpack_from(self._content, position)
        start = position + _FRAME_HEADER.size
        if magic != _FRAME_MAGIC or size > len(self._content) - start:
            return None
        payload = self._content[start : start + size]
        if _frame_checksum(self._salt, sequence, payload) != checksum:
            return None
        return sequence, payload

    def _intact_frame_after(self, position: int, sequence: int) -> bool:
        while (position := self._content.find(_FRAME_MAGIC, position + 1)) >= 0:
            frame = self._frame(position)
            if frame is not None and frame[0] > sequence:
                return True
        return False


def _frame_checksum(salt: int, sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_FRAME_SEAL.pack(sequence, len(payload)), salt))


def damage(name: str, offset: int, what: str) -> DamageError:
    """The error for bytes that are not what was written, with the way out."""
    return DamageError(
        f"{name} is damaged at byte {offset}: {what}. Restore this member's data folder from a "
        "backup, or, if the other members are well, empty it and let the member join again"
    )
