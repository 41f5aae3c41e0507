"""The state machine as its rules read, with no thought of speed: plain dicts, and a full copy of the keys per revision.

Written from the rules alone, so that it shares no mistakes with the machine. Failures carry no message.
"""

from __future__ import annotations

from typing import Any

from coordinator.state.commands import (
    Command,
    Compact,
    Compare,
    DeleteRange,
    DigestCheck,
    LeaderElected,
    Op,
    Operator,
    Put,
    Range,
    Selector,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Target,
    Txn,
    Write,
)
from coordinator.state.model import Batch, Cause, Event, KeyValue, Session
from coordinator.state.results import (
    Code,
    DeleteResult,
    Done,
    Failure,
    PutResult,
    RangeResult,
    Result,
    SessionResult,
    TxnResult,
)

Keys = dict[bytes, KeyValue]


class Refused(Exception):
    """A rule was broken: whatever was under way has no effect."""

    def __init__(self, code: Code, value: int = 0) -> None:
        self.failure = Failure(code, "", value)


def selects(selector: Selector, key: bytes) -> bool:
    if selector.end is None:
        return key == selector.key
    return key >= selector.key and (selector.end == b"" or key < selector.end)


def read(keys: Keys, query: Range) -> RangeResult:
    items: dict[bytes, KeyValue | None] = {}
    prefix = query.selector.key
    for key in keys:
        if not selects(query.selector, key):
            continue
        if query.delimiter and key.startswith(prefix) and query.delimiter in key[len(prefix) :]:
            name = prefix + key[len(prefix) :].split(query.delimiter)[0] + query.delimiter
            items[name] = None
        else:
            items[key] = keys[key]
    names = sorted(name for name in items if not query.start_after or name > query.start_after)
    if query.count_only:
        return RangeResult((), count=len(names))
    taken = names[: query.limit] if query.limit > 0 else names
    kvs = [kv for kv in (items[name] for name in taken) if kv is not None]
    if query.keys_only:
        kvs = [
            KeyValue(k.key, b"", k.create_revision, k.mod_revision, k.version, k.session)
            for k in kvs
        ]
    children = tuple(name for name in taken if items[name] is None)
    return RangeResult(tuple(kvs), children, len(taken) < len(names), len(names))


def compare_holds(keys: Keys, compare: Compare) -> bool:
    found = [kv for key, kv in keys.items() if selects(compare.selector, key)]
    if compare.target is Target.EXISTS:
        if compare.operand not in (0, 1) or compare.operator not in (
            Operator.EQUAL,
            Operator.NOT_EQUAL,
        ):
            raise Refused(Code.UNDECODABLE)
        return (bool(found) == (compare.operand == 1)) == (compare.operator == Operator.EQUAL)
    if isinstance(compare.operand, bytes) != (compare.target is Target.VALUE):
        raise Refused(Code.UNDECODABLE)
    if compare.target is Target.VALUE and not found:
        return False
    actual: list[Any] = [getattr(kv, compare.target.name.lower()) for kv in found] or [0]
    wanted: Any = compare.operand
    sign = [(a > wanted) - (a < wanted) for a in actual]
    accepted = {
        Operator.EQUAL: {0},
        Operator.NOT_EQUAL: {-1, 1},
        Operator.LESS: {-1},
        Operator.LESS_OR_EQUAL: {-1, 0},
        Operator.GREATER: {1},
        Operator.GREATER_OR_EQUAL: {0, 1},
    }[compare.operator]
    return all(s in accepted for s in sign)


class Oracle:
    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.states: dict[int, Keys] = {1: {}}
        self.history: dict[int, Batch] = {}
        self.sessions: dict[int, Session] = {}
        self.counters: dict[bytes, int] = {}
        self.floors: dict[int, int] = {}
        self.results: dict[int, dict[int, tuple[int, Result]]] = {}
        self.term = 0
        self.cluster_id = 0
        self.opened: list[Session] = []
        self.ended: list[int] = []

    @property
    def keys(self) -> Keys:
        return self.states[self.revision]

    def keys_at(self, revision: int) -> Keys:
        if revision == 0:
            return self.keys
        if revision > self.revision:
            raise Refused(Code.FUTURE_REVISION, self.revision)
        if revision < max(self.compacted, 1):
            raise Refused(Code.COMPACTED, self.compacted)
        return self.states[revision]

    def range(self, query: Range) -> Result:
        try:
            return read(self.keys_at(query.revision), query)
        except Refused as refused:
            return refused.failure

    def execute(self, command: Command) -> tuple[int, Result]:
        request = None
        if isinstance(command, Write | Compact | SessionClose):
            request = command.request
        if isinstance(command, SessionClose) and request and request.session == command.id:
            request = None
        if request is None:
            result = self.change(command)
            return self.revision, result
        session = request.session
        if session not in self.sessions:
            return self.revision, Failure(Code.REQUEST_FORGOTTEN, "", session)
        self.floors[session] = max(self.floors[session], request.acknowledged_below)
        stored = self.results[session]
        for sequence in [s for s in stored if s < self.floors[session]]:
            del stored[sequence]
        if request.sequence < self.floors[session]:
            return self.revision, Failure(Code.REQUEST_FORGOTTEN, "", session)
        if request.sequence in stored:
            return stored[request.sequence]
        if len(stored) >= 1024:
            return self.revision, Failure(Code.REQUEST_WINDOW, "", session)
        result = self.change(command)
        stored[request.sequence] = (self.revision, result)
        return self.revision, result

    def change(self, command: Command) -> Result:
        try:
            match command:
                case Write(op):
                    attempt = Attempt(self)
                    result: Result = attempt.run(op)
                    self.counters = attempt.counters
                    self.commit(attempt.keys, attempt.events)
                    return result
                case Compact(revision):
                    if revision > self.revision:
                        raise Refused(Code.FUTURE_REVISION, self.revision)
                    if revision <= self.compacted:
                        raise Refused(Code.COMPACTED, self.compacted)
                    self.compacted = revision
                    return Done()
                case SessionOpen(id, ttl_ms, grace, metadata):
                    return self.open(id, ttl_ms, grace, metadata)
                case SessionClose(id):
                    if id not in self.sessions:
                        raise Refused(Code.SESSION_NOT_FOUND, id)
                    return self.end(id, Cause.SESSION_CLOSED)
                case SessionExpire(term, ids):
                    for id in ids:
                        if term == self.term and self.term and id in self.sessions:
                            self.expire(id, command)
                    return Done()
                case DigestCheck():
                    return Done()
                case LeaderElected(term, cluster_id):
                    self.term = max(self.term, term)
                    self.cluster_id = self.cluster_id or cluster_id
                    return Done()
        except Refused as refused:
            return refused.failure

    def open(
        self, id: int, ttl_ms: int, grace: int | None, metadata: tuple[tuple[str, str], ...]
    ) -> Result:
        if id < 1:
            raise Refused(Code.UNDECODABLE)
        if id in self.sessions:
            raise Refused(Code.SESSION_EXISTS, id)
        session = Session(id, ttl_ms, grace, tuple(sorted(metadata)), self.revision)
        self.sessions[id] = session
        self.floors[id] = 0
        self.results[id] = {}
        self.opened.append(session)
        return SessionResult(session)

    def end(self, id: int, cause: Cause) -> Result:
        owned = sorted(key for key, kv in self.keys.items() if kv.session == id)
        events = [Event(key, None, self.keys[key], cause) for key in owned]
        self.commit({k: kv for k, kv in self.keys.items() if k not in owned}, events)
        self.ended.append(id)
        del self.floors[id], self.results[id]
        return SessionResult(self.sessions.pop(id), len(owned))

    def expire(self, id: int, command: SessionExpire) -> None:
        """Ends a session; what the command names goes to its heirs, with what marks it."""
        heirs = {heir.id: heir for heir in reversed(command.heirs)}
        keeps = {
            keep.key: keep
            for keep in command.kept
            if keep.session == id and keep.heir in heirs and keep.heir not in command.ids
            if keep.heir > 0
        }
        owned = {key: kv for key, kv in self.keys.items() if kv.session == id}
        puts: dict[bytes, tuple[bytes, int]] = {}
        for key in sorted(owned.keys() & keeps.keys()):
            keep = keeps[key]
            puts[key] = (owned[key].value, keep.heir)
        for key in sorted(owned.keys() & keeps.keys()):
            keep = keeps[key]
            mark = self.keys.get(keep.mark)
            if keep.mark in keeps or keep.mark in puts:
                continue
            if keep.mark_revision == (mark.mod_revision if mark else 0):
                if mark is None or mark.session in (0, id):
                    puts[keep.mark] = (keep.mark_value, keep.heir)
            elif mark is not None and mark.session == id:
                puts[keep.mark] = (mark.value, keep.heir)
        for _, number in (puts[key] for key in sorted(owned.keys() & keeps.keys())):
            if number not in self.sessions:
                heir = heirs[number]
                self.open(number, heir.ttl_ms, None, heir.metadata)
        now, keys, events = self.revision + 1, dict(self.keys), []
        for key in sorted(owned.keys() | puts.keys()):
            prev = self.keys.get(key)
            if key in puts:
                value, session = puts[key]
                created, version = (prev.create_revision, prev.version + 1) if prev else (now, 1)
                keys[key] = KeyValue(key, value, created, now, version, session)
                events.append(Event(key, keys[key], prev))
            else:
                events.append(Event(key, None, keys.pop(key), command.cause))
        self.commit(keys, events)
        self.ended.append(id)
        del self.floors[id], self.results[id], self.sessions[id]

    def commit(self, keys: Keys, events: list[Event]) -> None:
        if events:
            self.revision += 1
            self.states[self.revision] = keys
            self.history[self.revision] = Batch(self.revision, tuple(events))


class Attempt:
    """One write, on copies."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.keys = dict(oracle.keys)
        self.counters = dict(oracle.counters)
        self.events: list[Event] = []

    def run(self, op: Op) -> Any:
        match op:
            case Range():
                return read(self.oracle.keys_at(op.revision) if op.revision else self.keys, op)
            case Put():
                return self.put(op)
            case DeleteRange():
                gone = [self.keys[key] for key in sorted(self.keys) if selects(op.selector, key)]
                for kv in gone:
                    self.change(Event(kv.key, None, kv, op.cause))
                return DeleteResult(len(gone), tuple(gone) if op.prev_kv else ())
            case Txn():
                succeeded = True
                for compare in op.compares:
                    if not compare_holds(self.keys, compare):
                        succeeded = False
                        break
                branch = op.success if succeeded else op.failure
                return TxnResult(succeeded, tuple(self.run(each) for each in branch))

    def put(self, op: Put) -> PutResult:
        if op.session and op.session not in self.oracle.sessions:
            raise Refused(Code.SESSION_NOT_FOUND, op.session)
        key = op.key
        if op.sequence:
            slash = key.rfind(b"/")
            parent = key[: slash + 1] if slash >= 0 else b""
            number = self.counters.get(parent, 0)
            changed = {event.key for event in self.events}
            while key + str(number).zfill(10).encode() in self.keys.keys() | changed:
                number += 1
            if number > 9_999_999_999:
                raise Refused(Code.SEQUENCE_EXHAUSTED, 9_999_999_999)
            key += str(number).zfill(10).encode()
            self.counters[parent] = number + 1
        prev = self.keys.get(key)
        now = self.oracle.revision + 1
        created, version = (prev.create_revision, prev.version + 1) if prev else (now, 1)
        self.change(Event(key, KeyValue(key, op.value, created, now, version, op.session), prev))
        return PutResult(key, prev if op.prev_kv else None)

    def change(self, event: Event) -> None:
        if event.key in {earlier.key for earlier in self.events}:
            raise Refused(Code.DUPLICATE_KEY)
        self.events.append(event)
        if event.kv is None:
            del self.keys[event.key]
        else:
            self.keys[event.key] = event.kv
