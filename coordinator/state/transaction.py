"""One write on its way: its changes gather on top of the key space, and are committed all or not at all."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterator, Sequence
from heapq import merge
from typing import NamedTuple

from coordinator.state.commands import DeleteRange, Op, Put, Range, Txn
from coordinator.state.keyspace import Keyspace, parent_of
from coordinator.state.model import Batch, Event, KeyValue
from coordinator.state.results import (
    Code,
    DeleteResult,
    Failure,
    PutResult,
    RangeResult,
    TxnResult,
)
from coordinator.state.view import Meter, Metered, View, bounds, holds, read_range, size_of

DEPTH_MAX = 16
"""Levels of nested transactions; what nests deeper is not a command."""
RANGES_SIZE_BYTES_MAX = 3 * 1024 * 1024
"""Of all range results of one transaction together, beyond one item each; further items are left out, with `more`."""
VISITED_KEYS_MAX = 100_000
"""Keys that one command may look at in ranges and in compares over ranges, and delete.

A constant and no setting: every node must refuse the same commands.
"""
SEQUENCE_MAX = 9_999_999_999

UNDECODABLE = Failure(Code.UNDECODABLE, "the command can't be decoded, or nests too deep")
"""Without a word on the details: the text must be the same on every node, whatever made its decoder give up."""
TOO_MUCH_WORK = Failure(
    Code.TOO_MUCH_WORK,
    "the command looks at or changes too many keys at once; do it in parts",
    value=VISITED_KEYS_MAX,
)


def nests_too_deep(txn: Txn, levels: int = DEPTH_MAX) -> bool:
    """Returns whether a transaction has more than `levels` levels, counting itself, on any branch."""
    if not levels:
        return True
    return any(
        type(op) is Txn and nests_too_deep(op, levels - 1) for op in (*txn.success, *txn.failure)
    )


class Transaction:
    """Runs operations in order; each sees the effects of those before. As a `View`, the keys in between.

    Every key that a scan comes by is counted, be it one that the transaction deleted. When they are too many, scans end
    early and the operation fails. What is counted follows from the state alone, not from what a node has tidied up.

    After a Failure the transaction is of no more use: the key space is untouched, and `commit` must not be called.
    """

    def __init__(self, keyspace: Keyspace, sessions: Container[int]) -> None:
        self._keyspace = keyspace
        self._sessions = sessions
        self._meter = Meter(VISITED_KEYS_MAX)
        self._before = Metered(keyspace, self._meter)
        self._revision = keyspace.revision + 1
        self._changes: dict[bytes, Event] = {}  # in the order in which they were made
        self._created: list[bytes] = []  # keys that are new with this transaction, ascending
        self._deleted: list[bytes] = []  # keys that are gone with it, ascending
        self._counters: dict[bytes, int] = {}
        self._room = RANGES_SIZE_BYTES_MAX

    @property
    def changed(self) -> bool:
        return bool(self._changes)

    def commit(self) -> Batch | None:
        """Makes the changes; None if there are none."""
        if not self._changes:
            return None
        for parent, number in self._counters.items():
            self._keyspace.count_on(parent, number)
        return self._keyspace.commit(tuple(self._changes.values()))

    # --- the view -----------------------------------------------------------------------------

    def get(self, key: bytes) -> KeyValue | None:
        event = self._changes.get(key)
        return self._keyspace.get(key) if event is None else event.kv

    def scan(self, low: bytes, high: bytes | None) -> Iterator[KeyValue]:
        if not self._changes:
            return self._before.scan(low, high)
        return self._scan_changed(low, high)

    def _scan_changed(self, low: bytes, high: bytes | None) -> Iterator[KeyValue]:
        start, stop = _span(self._created, low, high)
        before = (kv.key for kv in self._keyspace.scan(low, high))
        for key in merge(before, self._created[start:stop]):
            if not self._meter.take():
                return
            kv = self.get(key)
            if kv is not None:
                yield kv

    def count(self, low: bytes, high: bytes | None) -> int:
        created_start, created_stop = _span(self._created, low, high)
        deleted_start, deleted_stop = _span(self._deleted, low, high)
        created, deleted = created_stop - created_start, deleted_stop - deleted_start
        return self._keyspace.count(low, high) + created - deleted

    # --- operations ---------------------------------------------------------------------------

    def put(self, op: Put) -> PutResult | Failure:
        """Writes a key, under a new sequence number if that is asked for."""
        if op.session and op.session not in self._sessions:
            return _no_session(op)
        key = op.key
        if op.sequence:
            numbered = self._number(key)
            if isinstance(numbered, Failure):
                return numbered
            key = numbered
        elif key in self._changes:
            return _changed_twice(key)
        prev = self._keyspace.get(key)
        kv = _written(op, key, prev, self._revision)
        if kv is None:
            return _no_key(key)
        if prev is None:
            insort(self._created, key)
        self._changes[key] = Event(key, kv, prev)
        return PutResult(key, prev if op.prev_kv else None)

    def _number(self, stem: bytes) -> bytes | Failure:
        """Returns the key with the next free number of its parent, and counts on."""
        parent = parent_of(stem)
        number = self._counters.get(parent)
        if number is None:
            number = self._keyspace.counters.get(parent) or 0
        while number <= SEQUENCE_MAX:
            key = b"%s%010d" % (stem, number)
            number += 1
            if key not in self._changes and self._keyspace.get(key) is None:
                self._counters[parent] = number
                return key
        return Failure(
            Code.SEQUENCE_EXHAUSTED, "the parent has no sequence numbers left", value=SEQUENCE_MAX
        )

    def delete_range(self, op: DeleteRange) -> DeleteResult | Failure:
        """Deletes keys in ascending order."""
        low, high = bounds(op.selector)
        gone: list[KeyValue] = []
        if op.selector.end is None:
            kv = self.get(op.selector.key)
            if kv is not None and self._meter.take():
                gone = [kv]
        elif high is None or low < high:
            # Counting is quick: so many keys need not be walked to be refused.
            if self.count(low, high) > self._meter.left:
                return TOO_MUCH_WORK
            gone = list(self.scan(low, high))
        if self._meter.exceeded:
            return TOO_MUCH_WORK
        for kv in gone:
            if kv.key in self._changes:
                return _changed_twice(kv.key)
        for kv in gone:
            self._changes[kv.key] = Event(kv.key, None, kv, op.cause)
        # Only where the keys belong: sorting the whole would cost each small delete after a large one as much again.
        start, stop = _span(self._deleted, low, high)
        self._deleted[start:stop] = sorted((*self._deleted[start:stop], *(kv.key for kv in gone)))
        return DeleteResult(len(gone), tuple(gone) if op.prev_kv else ())

    def range(self, op: Range) -> RangeResult | Failure:
        """Reads keys as they are by now in the transaction, or as they were at an old revision."""
        if op.revision:
            view = self._at(op)
            if isinstance(view, Failure):
                return view
            result = read_range(view, op, self._room)
        else:
            result = read_range(self, op, self._room)
        if self._meter.exceeded:
            return TOO_MUCH_WORK
        used = sum(map(size_of, result.kvs)) + sum(map(size_of, result.children))
        self._room = max(self._room - used, 0)
        return result

    def _at(self, op: Range) -> View | Failure:
        """Returns the keys at the revision of a range.

        In the past, counting may take a walk over all keys within the bounds, whatever the limit: they count in full.
        """
        view = self._keyspace.at(op.revision)
        if isinstance(view, Failure):
            return view
        if view is self._keyspace:
            return self._before
        low, high = bounds(op.selector)
        if op.selector.end is not None and (high is None or low < high):
            left = self._meter.left
            if not self._meter.take(self._keyspace.count_remembered(low, high, left)):
                return TOO_MUCH_WORK
        return view

    def txn(self, op: Txn) -> TxnResult | Failure:
        """Runs the branch that the compares choose. Nested deeper than DEPTH_MAX it must not be."""
        if op.decided_first:
            decided = self._decide(op)
            if isinstance(decided, Failure):
                return decided
            return self._foresee(decided) or self._run_all(decided.succeeded, decided.ops)
        succeeded = self._succeeds(op)
        if isinstance(succeeded, Failure):
            return succeeded
        return self._run_all(succeeded, op.success if succeeded else op.failure)

    def _run_all(self, succeeded: bool, ops: Sequence[Op | Decided]) -> TxnResult | Failure:
        responses: list[RangeResult | PutResult | DeleteResult | TxnResult] = []
        for op in ops:
            response = self.run(op)
            if isinstance(response, Failure):
                return response
            responses.append(response)
        return TxnResult(succeeded, tuple(responses))

    def _decide(self, op: Txn) -> Decided | Failure:
        """Chooses the branches of a transaction and of those within, before anything is done."""
        succeeded = self._succeeds(op)
        if isinstance(succeeded, Failure):
            return succeeded
        ops: list[Op | Decided] = []
        for inner in op.success if succeeded else op.failure:
            decided = self._decide(inner) if isinstance(inner, Txn) else inner
            if isinstance(decided, Failure):
                return decided
            ops.append(decided)
        return Decided(succeeded, tuple(ops))

    def _foresee(self, decided: Decided) -> Failure | None:
        """Returns the first failure of any put, else of any range, that can be known before the first is run."""
        ops = list(_flat(decided))
        for op in ops:
            if isinstance(op, Put):
                if (op.keep_value or op.keep_session) and self.get(op.key) is None:
                    return _no_key(op.key)
                if op.session and op.session not in self._sessions:
                    return _no_session(op)
        for op in ops:
            if isinstance(op, Range) and op.revision:
                view = self._keyspace.at(op.revision)
                if isinstance(view, Failure):
                    return view
        return None

    def _succeeds(self, op: Txn) -> bool | Failure:
        """Returns whether all compares of a transaction hold by now."""
        for compare in op.compares:
            answer = holds(self, compare)
            if self._meter.exceeded:
                return TOO_MUCH_WORK
            if isinstance(answer, Failure):
                return answer
            if not answer:
                return False
        return True

    def run(self, op: Op | Decided) -> RangeResult | PutResult | DeleteResult | TxnResult | Failure:
        if isinstance(op, Put):
            return self.put(op)
        if isinstance(op, DeleteRange):
            return self.delete_range(op)
        if isinstance(op, Range):
            return self.range(op)
        if isinstance(op, Decided):
            return self._run_all(op.succeeded, op.ops)
        return self.txn(op)


def put_alone(
    keyspace: Keyspace, sessions: Container[int], op: Put
) -> tuple[PutResult | Failure, Batch | None]:
    """Makes a put, without a sequence number, that is all there is: as a `Transaction` would, for less."""
    key, session = op.key, op.session
    if session and session not in sessions:
        return _no_session(op), None
    prev = keyspace.get(key)
    kv = _written(op, key, prev, keyspace.revision + 1)
    if kv is None:
        return _no_key(key), None
    return PutResult(key, prev if op.prev_kv else None), keyspace.commit((Event(key, kv, prev),))


def _written(op: Put, key: bytes, prev: KeyValue | None, revision: int) -> KeyValue | None:
    """Returns a key as a put leaves it; None if the put keeps something of a key that does not exist."""
    if prev is None:
        if op.keep_value or op.keep_session:
            return None
        return KeyValue(key, op.value, revision, revision, 1, op.session)
    return KeyValue(
        key,
        prev.value if op.keep_value else op.value,
        prev.create_revision,
        revision,
        prev.version + 1,
        prev.session if op.keep_session else op.session,
    )


class Decided(NamedTuple):
    """A transaction of which it is known which branch runs."""

    succeeded: bool
    ops: tuple[Op | Decided, ...]


def _flat(decided: Decided) -> Iterator[Op]:
    """Yields the operations that will run, without the transactions around them, in order."""
    for op in decided.ops:
        if isinstance(op, Decided):
            yield from _flat(op)
        else:
            yield op


def _no_session(op: Put) -> Failure:
    return Failure(Code.SESSION_NOT_FOUND, "the owning session does not exist", value=op.session)


def _no_key(key: bytes) -> Failure:
    return Failure(
        Code.KEY_NOT_FOUND, f"the key {key!r}, of which a put keeps something, does not exist"
    )


def _changed_twice(key: bytes) -> Failure:
    return Failure(Code.DUPLICATE_KEY, f"the transaction changes the key {key!r} twice")


def _span(keys: list[bytes], low: bytes, high: bytes | None) -> tuple[int, int]:
    start = bisect_left(keys, low)
    return start, len(keys) if high is None else max(bisect_left(keys, high), start)
