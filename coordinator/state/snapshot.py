"""The whole state as bytes: what a member that lost its memory, or never had one, starts from.

    stream  = "CSTATE" version frame…
    frame   = length (4 bytes, big endian) body
    body    = msgpack [section, [record, …]]

Sections come in the order of `Section`, each in as many frames as it takes. Where slices of the stream begin and end
has no meaning. `capture.py` writes it; here it is read.

Keys are written as they were at the base revision (that of the last compaction), followed by what changed since, so
that history comes back with them. Whatever follows from something else is not written: a change has
no previous key, and a key that changed no counters.

Equal states give equal bytes, whatever they went through to become so.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from coordinator.errors import DamageError
from coordinator.state.keyspace import FIRST_REVISION, Keyspace
from coordinator.state.model import Cause, Event, KeyValue, Session
from coordinator.state.results import Result
from coordinator.state.sessions import RESULTS_MAX, Sessions
from coordinator.state.transaction import SEQUENCE_MAX

MAGIC = b"CSTATE"
FORMAT_VERSION = 1
FRAME_RECORDS_MAX = 1000
FRAME_SIZE_BYTES = 64 * 1024
"""A frame closes at this size, or holds one larger record."""


class Section(enum.IntEnum):
    """What the records of a frame are."""

    HEAD = 0
    SESSIONS = 1
    RESULTS = 2
    COUNTERS = 3
    KEYS = 4
    CHANGES = 5
    END = 6


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The one record of HEAD: the numbers that describe the whole."""

    revision: int
    compacted_revision: int
    cluster_id: int
    leader_term: int


class SessionRecord(msgspec.Struct, frozen=True, array_like=True):
    """In ascending order of the id."""

    session: Session
    floor: int


class ResultRecord(msgspec.Struct, frozen=True, array_like=True):
    """What a numbered request came to; ascending by session and sequence."""

    session: int
    sequence: int
    revision: int
    result: Result


class CounterRecord(msgspec.Struct, frozen=True, array_like=True):
    """The next sequence number of a parent; in ascending order of the parent."""

    parent: bytes
    number: int


class Change(msgspec.Struct, frozen=True, array_like=True):
    """An event: a put of `value` owned by the session `number`, or, without a value, a delete with that cause."""

    key: bytes
    value: bytes | None
    number: int


class End(msgspec.Struct, frozen=True, array_like=True):
    """The one record of END: how many records each section had."""

    sessions: int
    results: int
    counters: int
    keys: int
    changes: int


# --- the way back -------------------------------------------------------------------------------

_frame_decoder = msgspec.msgpack.Decoder(tuple[Section, msgspec.Raw])
_RECORDS: dict[Section, msgspec.msgpack.Decoder[Any]] = {
    Section.HEAD: msgspec.msgpack.Decoder(list[Head]),
    Section.SESSIONS: msgspec.msgpack.Decoder(list[SessionRecord]),
    Section.RESULTS: msgspec.msgpack.Decoder(list[ResultRecord]),
    Section.COUNTERS: msgspec.msgpack.Decoder(list[CounterRecord]),
    Section.KEYS: msgspec.msgpack.Decoder(list[KeyValue]),
    Section.CHANGES: msgspec.msgpack.Decoder(list[list[Change]]),
    Section.END: msgspec.msgpack.Decoder(list[End]),
}


class Prepared:
    """A whole state, built beside the present one, that waits to take its place."""

    def __init__(self, head: Head, keyspace: Keyspace, sessions: Sessions) -> None:
        self._parts: tuple[Head, Keyspace, Sessions] | None = (head, keyspace, sessions)

    def take(self) -> tuple[Head, Keyspace, Sessions]:
        """Hands the parts over, once: two machines must not share them."""
        assert self._parts is not None, "this state is in use"
        parts, self._parts = self._parts, None
        return parts


def prepare(slices: Iterable[bytes]) -> Prepared:
    """Returns the state that a stream holds; raises DamageError if it is not what a capture reads."""
    try:
        records = _Records(slices)
        heads = list(records.of(Section.HEAD))
        _require(len(heads) == 1, "it has not one head")
        return _Restoration(heads[0]).run(records)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _damage(str(error)) from error


class _Records:
    """Reads a stream section by section."""

    def __init__(self, slices: Iterable[bytes]) -> None:
        self._frames = _split(slices)
        self._next = next(self._frames, None)

    def of(self, section: Section) -> Iterator[Any]:
        """Yields the records of the frames that follow, as far as they belong to a section."""
        while self._next is not None and self._next[0] is section:
            yield from _RECORDS[section].decode(self._next[1])
            self._next = next(self._frames, None)

    @property
    def exhausted(self) -> bool:
        return self._next is None


def _split(slices: Iterable[bytes]) -> Iterator[tuple[Section, msgspec.Raw]]:
    buffer = bytearray()
    start = len(MAGIC) + 1
    opened = False
    for piece in slices:
        buffer += piece
        if not opened and len(buffer) >= start:
            _require(buffer.startswith(MAGIC), "it does not begin like one")
            _require(buffer[start - 1] == FORMAT_VERSION, "its format version is not known here")
            del buffer[:start]
            opened = True
        while opened and len(buffer) >= 4:
            stop = 4 + int.from_bytes(buffer[:4], "big")
            if len(buffer) < stop:
                break
            frame = bytes(buffer[4:stop])
            del buffer[:stop]
            yield _frame_decoder.decode(frame)
    _require(opened and not buffer, "it ends too early")


class _Restoration:
    """Builds the state up, and believes nothing that could not have come about."""

    def __init__(self, head: Head) -> None:
        _require(head.revision >= FIRST_REVISION, "its revision is out of bounds")
        _require(
            0 <= head.compacted_revision <= head.revision, "its compacted revision is out of bounds"
        )
        _require(head.cluster_id >= 0 and head.leader_term >= 0, "its head is out of bounds")
        self._head = head
        self._sessions = Sessions()
        self._keyspace = Keyspace(
            max(head.compacted_revision, FIRST_REVISION), head.compacted_revision
        )

    def run(self, records: _Records) -> Prepared:
        counts = (
            self._take_sessions(records.of(Section.SESSIONS)),
            self._take_results(records.of(Section.RESULTS)),
            self._take_counters(records.of(Section.COUNTERS)),
            self._take_keys(records.of(Section.KEYS)),
            self._take_changes(records.of(Section.CHANGES)),
        )
        _require(list(records.of(Section.END)) == [End(*counts)], "its parts are not complete")
        _require(records.exhausted, "it goes on after its end")
        _require(self._keyspace.revision == self._head.revision, "its history has a gap")
        for owner in self._keyspace.owners():
            _require(owner in self._sessions, "a key's session is not there")
        return Prepared(self._head, self._keyspace, self._sessions)

    def _take_sessions(self, records: Iterator[SessionRecord]) -> int:
        count = last = 0
        for record in records:
            _require(record.session.id > last, "its sessions are out of order")
            _require(record.floor >= 0, "a session's floor is out of bounds")
            last = record.session.id
            count += 1
            self._sessions.open(record.session)
            self._sessions.acknowledge(last, record.floor)
        return count

    def _take_results(self, records: Iterator[ResultRecord]) -> int:
        count = floor = of_session = 0
        last = (0, 0)
        for record in records:
            _require(record.session in self._sessions, "a result's session is not there")
            place = (record.session, record.sequence)
            if place[0] != last[0]:
                kept = self._sessions.requests(record.session)
                floor, of_session = kept.floor if kept is not None else 0, 0
            _require(record.sequence >= floor, "a result was acknowledged")
            _require(place > last, "its results are out of order")
            last = place
            count += 1
            of_session += 1
            _require(of_session <= RESULTS_MAX, "a session has too many results")
            self._sessions.keep(*place, record.revision, record.result)
        return count

    def _take_counters(self, records: Iterator[CounterRecord]) -> int:
        counters = self._keyspace.counters
        last = b""
        for record in records:
            _require(record.parent > last or not len(counters), "its counters are out of order")
            _require(0 < record.number <= SEQUENCE_MAX + 1, "a counter is out of bounds")
            last = record.parent
            self._keyspace.count_on(last, record.number)
        return len(counters)

    def _take_keys(self, records: Iterator[KeyValue]) -> int:
        kvs = list(records)
        last: bytes | None = None
        for kv in kvs:
            _require(last is None or kv.key > last, "its keys are out of order")
            _require(
                FIRST_REVISION
                < kv.create_revision
                <= kv.mod_revision
                <= self._keyspace.base_revision
                and kv.version >= 1
                and kv.session >= 0,
                "a key is out of bounds",
            )
            last = kv.key
        self._keyspace.load(kvs)
        return len(kvs)

    def _take_changes(self, records: Iterator[list[Change]]) -> int:
        count = 0
        for changes in records:
            events = tuple(map(self._event, changes))
            _require(bool(events), "a revision has no changes")
            if len(events) > 1:
                _require(len({event.key for event in events}) == len(events), "a key changed twice")
            self._keyspace.commit(events)
            count += 1
        return count

    def _event(self, change: Change) -> Event:
        key = change.key
        prev = self._keyspace.get(key)
        if change.value is None:
            _require(prev is not None, "a key was deleted that was not there")
            return Event(key, None, prev, Cause(change.number))
        _require(change.number >= 0, "a key's session is out of bounds")
        revision = self._keyspace.revision + 1
        if prev is None:
            kv = KeyValue(key, change.value, revision, revision, 1, change.number)
        else:
            kv = KeyValue(
                key, change.value, prev.create_revision, revision, prev.version + 1, change.number
            )
        return Event(key, kv, prev)


def _damage(reason: str) -> DamageError:
    return DamageError(f"the snapshot of the state is damaged: {reason}")


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise _damage(reason)
