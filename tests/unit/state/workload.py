"""Random commands, dense enough to get deep: most do something, and they aim near the present revision.

Two ways to draw them: as Hypothesis strategies, which shrink well but stay shallow, and from a seed, fast.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from coordinator.state.commands import (
    Command,
    Compact,
    Compare,
    DeleteRange,
    DigestCheck,
    Heir,
    Keep,
    LeaderElected,
    Op,
    Operator,
    Put,
    Range,
    RequestId,
    Selector,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Target,
    Txn,
    Write,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause

NAMES = [
    *(b"", b"/", b"a", b"a/", b"a/b", b"a/b/c", b"a/b/d", b"a/c", b"a//", b"a0", b"b/x", b"c"),
    *(b"a/b\xff", b"a/\xff", b"a\xff", b"\xfe", b"\xff", b"\xff/", b"\xff\xff", b"\xff\xff/a"),
    *(b"a/0000000000", b"0000000001", b"a/b0000000000"),
]
VALUES = [b"", b"1", b"22"]
SESSIONS = [1, 2, 3]
PROLOGUE: list[Command] = [LeaderElected(1, 5), *(SessionOpen(id, 1000) for id in SESSIONS)]
"""Without it, most of what is drawn would only find that there is no session."""


def bundle(commands: Iterable[Command]) -> bytes:
    return encode_bundle(
        encode_proposal(7, number, encode_command(command))
        for number, command in enumerate(commands)
    )


def examples(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


# --- strategies ---------------------------------------------------------------------------------

seeds = st.integers(0, 2**32)
lengths = st.integers(15, 80)
keys = st.sampled_from(NAMES)
selectors = st.builds(Selector, keys, st.none() | keys)
ranges = st.builds(
    Range,
    selectors,
    revision=st.just(0) | st.integers(-1, 25),
    limit=st.integers(-1, 4),
    keys_only=st.booleans(),
    count_only=st.sampled_from([False, False, True]),
    delimiter=st.sampled_from([b"", b"", b"/", b"b", b"/b"]),
    start_after=st.just(b"") | keys,
)
_puts = st.builds(
    Put,
    keys,
    st.sampled_from(VALUES),
    session=st.sampled_from([0, 0, 0, *SESSIONS]),
    prev_kv=st.booleans(),
    sequence=st.sampled_from([False, False, True]),
)
_deletes = st.builds(DeleteRange, selectors, prev_kv=st.booleans(), cause=st.sampled_from(Cause))
_compares = st.builds(
    Compare,
    selectors,
    st.sampled_from(Operator),
    st.sampled_from(Target),
    st.sampled_from(VALUES) | st.integers(0, 3),
)
_ops = st.recursive(
    _puts | _deletes | ranges,
    lambda inner: st.builds(
        Txn,
        st.lists(_compares, max_size=2).map(tuple),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(tuple),
    ),
    max_leaves=5,
)
_requests = st.none() | st.builds(
    RequestId, st.sampled_from(SESSIONS), st.integers(0, 5), st.sampled_from([0, 0, 0, 1, 2, 4])
)
_heirs = st.builds(Heir, st.integers(0, 3), st.just(500), st.sampled_from([(), (("a", "1"),)]))
_keeps = st.builds(
    Keep,
    st.sampled_from(SESSIONS),
    keys,
    st.integers(0, 3),
    keys,
    st.sampled_from(VALUES),
    st.integers(0, 9),
)
any_command: st.SearchStrategy[Command] = (
    st.builds(
        Write, _puts | _deletes | _ops.filter(lambda op: not isinstance(op, Range)), _requests
    )
    | st.builds(
        SessionOpen,
        st.integers(0, 3),
        st.just(1000),
        st.none() | st.just(5),
        st.sampled_from([(), (("b", "1"), ("a", "2"))]),
    )
    | st.builds(Compact, st.integers(0, 9), _requests)
    | st.builds(SessionClose, st.sampled_from(SESSIONS), _requests)
    | st.builds(
        SessionExpire,
        st.integers(0, 2),
        st.lists(st.sampled_from(SESSIONS), max_size=3).map(tuple),
        st.sampled_from(Cause),
        st.lists(_heirs, max_size=2).map(tuple),
        st.lists(_keeps, max_size=4).map(tuple),
    )
    | st.builds(LeaderElected, st.integers(1, 2), st.integers(0, 9))
    | st.builds(DigestCheck, st.integers(0, 2))
)
command_lists = st.lists(any_command, min_size=1, max_size=4)


# --- from a seed --------------------------------------------------------------------------------


class Workload:
    """Draws from a seed what a machine is to be asked; `revision` is that of the machine."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.chance = self._random.random
        self.choice = self._random.choice
        self.number = self._random.randint
        self._sequences = dict.fromkeys(SESSIONS, 0)

    def commands(self, revision: int) -> list[Command]:
        return [self.command(revision) for _ in range(self.number(1, 4))]

    def command(self, revision: int) -> Command:
        dice = self.chance()
        session = self.choice(SESSIONS)
        if dice < 0.80:
            return Write(self._writing(revision), self._request())
        if dice < 0.90:
            return SessionOpen(session, 1000, self.choice([None, 5]), (("b", "1"), ("a", "2")))
        if dice < 0.93:
            return Compact(revision - self.number(-1, 9), self._request())
        if dice < 0.96:
            return SessionClose(session, self._request())
        if dice < 0.99:
            return self._expiry(session, revision)
        return LeaderElected(self.number(1, 2), self.number(1, 9))

    def _expiry(self, session: int, revision: int) -> SessionExpire:
        heir = Heir(self.choice(SESSIONS), 500, (("b", "1"), ("a", "2")))
        kept = tuple(
            Keep(
                session,
                self.choice(NAMES),
                heir.id,
                self.choice(NAMES),
                self.choice(VALUES),
                self.choice([0, max(revision - self.number(0, 9), 0)]),
            )
            for _ in range(self.choice([0, 0, 3, 6]))
        )
        ids = (session, self.choice(SESSIONS))
        cause = self.choice(list(Cause))
        return SessionExpire(self.number(1, 2), ids, cause, (heir,) if kept else (), kept)

    def query(self, revision: int) -> Range:
        return Range(
            self._selector(),
            self.choice([0, 0, max(revision - self.number(-1, 12), -1)]),
            self.choice([0, 0, 1, 2, 5]),
            keys_only=self.chance() < 0.2,
            count_only=self.chance() < 0.1,
            delimiter=self.choice([b"", b"", b"/", b"b", b"/b", b"\xff"]),
            start_after=self.choice([b"", self.choice(NAMES)]),
        )

    def _selector(self) -> Selector:
        key = self.choice(NAMES)
        return Selector(key, self.choice([None, b"", self.choice(NAMES), key + b"\xff"]))

    def _writing(self, revision: int) -> Put | DeleteRange | Txn:
        dice = self.chance()
        if dice < 0.6:
            return self._put()
        if dice < 0.75:
            return self._delete()
        return self._txn(revision, 3)

    def _put(self) -> Put:
        return Put(
            self.choice(NAMES),
            self.choice(VALUES),
            self.choice([0, 0, 0, self.choice(SESSIONS)]),
            self.chance() < 0.5,
            self.chance() < 0.2,
        )

    def _delete(self) -> DeleteRange:
        single = Selector(self.choice(NAMES))
        return DeleteRange(
            self.choice([single, single, self._selector()]),
            self.chance() < 0.5,
            self.choice(list(Cause)),
        )

    def _txn(self, revision: int, depth: int) -> Txn:
        def branch() -> tuple[Op, ...]:
            return tuple(self._op(revision, depth - 1) for _ in range(self.number(0, 4)))

        compares = tuple(self._compare(revision) for _ in range(self.choice([0, 1, 1, 2])))
        return Txn(compares, branch(), branch())

    def _op(self, revision: int, depth: int) -> Op:
        dice = self.chance()
        if dice < 0.4:
            return self._put()
        if dice < 0.55:
            return self._delete()
        if dice < 0.8 or not depth:
            query = self.query(revision)
            return (
                query if self.chance() < 0.1 else Range(query.selector, delimiter=query.delimiter)
            )
        return self._txn(revision, depth)

    def _compare(self, revision: int) -> Compare:
        target = self.choice(list(Target))
        operator = self.choice(list(Operator))
        operand: bytes | int = self.choice([0, 1, 2, revision, max(revision - 3, 0)])
        if target is Target.VALUE:
            operand = self.choice(VALUES)
        elif target is Target.EXISTS and self.chance() < 0.9:
            operator, operand = self.choice([Operator.EQUAL, Operator.NOT_EQUAL]), self.number(0, 1)
        return Compare(self._selector(), operator, target, operand)

    def _request(self) -> RequestId | None:
        """Mostly none; else the next number of a session, or a recent one once more."""
        if self.chance() < 0.7:
            return None
        session = self.choice(SESSIONS)
        last = self._sequences[session]
        sequence = max(last - self.number(-2, 3), 0)
        self._sequences[session] = max(last, sequence)
        return RequestId(session, sequence, max(last - self.number(1, 8), 0))


def entries(seed: int, length: int) -> Iterator[bytes]:
    """Entries that fit a machine which applies each before the next is drawn."""
    workload, machine = Workload(seed), StateMachine()
    yield bundle(PROLOGUE)
    machine.apply(bundle(PROLOGUE))
    for _ in range(length):
        entry = bundle(workload.commands(machine.revision))
        machine.apply(entry)
        yield entry
