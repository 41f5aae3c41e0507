"""Writes the whole state down, in parts: the loop takes each part in a moment, and another thread encodes it.

The stream that comes of it is that of `snapshot.py`: which frames it has follows from the records alone, not from how
they were cut into parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import starmap
from operator import itemgetter

import msgspec

from coordinator.state.hold import PAGE_RECORDS_MAX, PAGE_SIZE_BYTES, Hold
from coordinator.state.model import Batch, Event
from coordinator.state.sessions import Requests
from coordinator.state.snapshot import (
    FORMAT_VERSION,
    FRAME_RECORDS_MAX,
    FRAME_SIZE_BYTES,
    MAGIC,
    Change,
    CounterRecord,
    End,
    ResultRecord,
    Section,
    SessionRecord,
)

CHANGE_OVERHEAD_BYTES = 16
"""What a change takes in the stream beyond its key and its value, at most."""
DRAIN_SIZE_BYTES = 1024 * 1024
"""A part gives out twice as much of the stream at most. One revision or one session may have more than that."""

COUNTED = (Section.SESSIONS, Section.RESULTS, Section.COUNTERS, Section.KEYS, Section.CHANGES)
"""In the order of the fields of `End`."""

Part = Callable[[], bytes]


class Capture:
    """The state at one moment, held still while the machine goes on."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._parts: Iterator[Part] | None = _parts(hold)

    def read(self) -> Part | None:
        """Takes the next part, within about a millisecond; on the loop.

        Returns what encodes it, to be called once, on any thread, in the order of the reads; None: that was all.
        """
        if self._parts is None:
            return None
        part = next(self._parts, None)
        if part is None:
            self.release()
        return part

    def release(self) -> None:
        """Lets the machine free what it kept for this; nothing more is read. Idempotent."""
        self._parts = None
        self._hold.release()

    def encode(self) -> Iterator[bytes]:
        """Yields the whole, read and encoded in one place; the machine must not go on from another thread."""
        try:
            while (part := self.read()) is not None:
                yield part()
        finally:
            self.release()


def _parts(hold: Hold) -> Iterator[Part]:
    writer = _Writer()
    yield partial(writer.add, Section.HEAD, (hold.head,))
    for sessions in hold.sessions.sessions():
        yield partial(writer.add, Section.SESSIONS, starmap(SessionRecord, sessions))
    for requests, size in _cut_by_size(hold.sessions.requests()):
        yield partial(writer.add, Section.RESULTS, _result_records(requests))
        yield from _drains(writer, size)
    for counters in hold.counters():
        yield partial(writer.add, Section.COUNTERS, starmap(CounterRecord, counters))
    for kvs in hold.keys_at_base():
        yield partial(writer.add, Section.KEYS, kvs)
    yield from _history_parts(writer, hold.batches())
    yield writer.end


def _cut_by_size(
    pages: Iterable[list[tuple[int, Requests]]],
) -> Iterator[tuple[list[tuple[int, Requests]], int]]:
    """Yields as many requests at a time as their results make a part, and the size of those."""
    for page in pages:
        gathered: list[tuple[int, Requests]] = []
        size = 0
        for id, requests in page:
            gathered.append((id, requests))
            size += requests.size_bytes
            if size >= PAGE_SIZE_BYTES:
                yield gathered, size
                gathered, size = [], 0
        yield gathered, size


def _result_records(requests_by_id: Iterable[tuple[int, Requests]]) -> Iterator[ResultRecord]:
    for id, requests in requests_by_id:
        for sequence, kept in sorted(requests.results.items(), key=itemgetter(0)):
            yield ResultRecord(id, sequence, kept.revision, kept.result)


def _history_parts(writer: _Writer, batches: Iterator[Batch]) -> Iterator[Part]:
    """Yields parts of some events each. A larger batch is one part; walking it takes some, and so does what it left."""
    gathered: list[Batch] = []
    size = looked_at = 0
    for batch in batches:
        gathered.append(batch)
        for event in batch.events:
            size += len(event.key) + CHANGE_OVERHEAD_BYTES
            if event.kv is not None:
                size += len(event.kv.value)
            looked_at += 1
            if looked_at == PAGE_RECORDS_MAX and len(batch.events) > PAGE_RECORDS_MAX:
                looked_at = 0
                yield writer.drain
        if size >= PAGE_SIZE_BYTES or looked_at >= PAGE_RECORDS_MAX:
            yield partial(writer.add, Section.CHANGES, map(_changes_of, gathered))
            yield from _drains(writer, size)
            gathered, size, looked_at = [], 0, 0
    if gathered:
        yield partial(writer.add, Section.CHANGES, map(_changes_of, gathered))


def _drains(writer: _Writer, size: int) -> Iterator[Part]:
    """Yields what gives out, bit by bit, the rest of a part that was large."""
    for _ in range(size // DRAIN_SIZE_BYTES):
        yield writer.drain


def _changes_of(batch: Batch) -> tuple[Change, ...]:
    return tuple(map(_change_of, batch.events))


def _change_of(event: Event) -> Change:
    if event.kv is None:
        return Change(event.key, None, event.cause)
    return Change(event.key, event.kv.value, event.kv.session)


class _Writer:
    """Encodes records in the order of the sections, and closes frames where they belong, whatever comes at a time."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._written = bytearray(MAGIC) + bytes((FORMAT_VERSION,))
        self._section = Section.HEAD
        self._frame: list[msgspec.Raw] = []
        self._frame_size = 0
        self._counts = dict.fromkeys(Section, 0)

    def add(self, section: Section, records: Iterable[object]) -> bytes:
        """Encodes more records of a section; returns what of the stream has become whole."""
        self._add(section, records)
        return self.drain()

    def _add(self, section: Section, records: Iterable[object]) -> None:
        if section is not self._section:
            self._close()
            self._section = section
        for record in records:
            encoded = self._encode(record)
            self._frame.append(msgspec.Raw(encoded))
            self._frame_size += len(encoded)
            if self._frame_size >= FRAME_SIZE_BYTES or len(self._frame) >= FRAME_RECORDS_MAX:
                self._close()

    def end(self) -> bytes:
        """Ends the stream; returns the rest of it."""
        self._close()
        counts = (self._counts[section] for section in COUNTED)
        self._add(Section.END, (End(*counts),))
        self._close()
        return self._take(len(self._written))

    def drain(self) -> bytes:
        """Returns some more of what was written."""
        return self._take(2 * DRAIN_SIZE_BYTES)

    def _close(self) -> None:
        if self._frame:
            body = self._encode((self._section, self._frame))
            self._written += len(body).to_bytes(4, "big")
            self._written += body
            self._counts[self._section] += len(self._frame)
            self._frame, self._frame_size = [], 0

    def _take(self, size: int) -> bytes:
        taken = bytes(self._written[:size])
        del self._written[:size]
        return taken
