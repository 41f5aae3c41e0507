from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coordinator.state import transaction as module
from coordinator.state.commands import (
    Compare,
    DeleteRange,
    Op,
    Operator,
    Put,
    Range,
    Selector,
    Target,
    Txn,
)
from coordinator.state.keyspace import Keyspace
from coordinator.state.model import Batch, Cause, Event, KeyValue
from coordinator.state.results import (
    Code,
    DeleteResult,
    Failure,
    PutResult,
    RangeResult,
    TxnResult,
)
from coordinator.state.transaction import (
    SEQUENCE_MAX,
    VISITED_KEYS_MAX,
    Transaction,
    nests_too_deep,
)
from coordinator.state.view import CHILD_OVERHEAD_BYTES, KV_OVERHEAD_BYTES

ALL = Selector(b"", b"")


class Store:
    """A key space with the session 1, written to by one transaction at a time."""

    def __init__(self) -> None:
        self.keyspace = Keyspace()

    def run(self, op: Op) -> Any:
        """Returns the result of an operation, and commits it unless it failed."""
        transaction = Transaction(self.keyspace, {1})
        result = transaction.run(op)
        self.batch: Batch | None = None
        if not isinstance(result, Failure):
            self.batch = transaction.commit()
        return result

    def keys(self) -> list[bytes]:
        return [kv.key for kv in self.keyspace.scan(b"", None)]

    def refuses(self, op: Op, code: Code, value: int = 0) -> None:
        before = (self.keyspace.revision, self.keys(), dict(self.keyspace.counters._values))
        result = self.run(op)
        assert isinstance(result, Failure)
        assert (result.code, result.value) == (code, value)
        assert before == (
            self.keyspace.revision,
            self.keys(),
            dict(self.keyspace.counters._values),
        )


@pytest.fixture
def store() -> Store:
    return Store()


def do(*ops: Op) -> Txn:
    return Txn((), ops)


def test_put(store: Store) -> None:
    assert store.run(Put(b"a", b"1")) == PutResult(b"a")
    first = KeyValue(b"a", b"1", 2, 2, 1, 0)
    assert store.batch == Batch(2, (Event(b"a", first, None),))
    assert store.run(Put(b"a", b"2", 1, prev_kv=True)) == PutResult(b"a", first)
    second = KeyValue(b"a", b"2", 2, 3, 2, 1)
    assert store.batch == Batch(3, (Event(b"a", second, first),))


def test_put_binds_and_unbinds(store: Store) -> None:
    store.run(Put(b"a", b"", 1))
    assert store.keyspace.keys_of(1) == (b"a",)
    store.run(Put(b"a", b""))
    assert store.keyspace.keys_of(1) == ()


@pytest.mark.parametrize("session", [2, -1])
def test_put_needs_its_session(store: Store, session: int) -> None:
    store.refuses(Put(b"a", b"", session), Code.SESSION_NOT_FOUND, session)


def test_delete(store: Store) -> None:
    for name in (b"b", b"c", b"a"):
        store.run(Put(name, b""))
    gone = store.run(DeleteRange(Selector(b"a", b"c"), True, Cause.CHECK_FAILED))
    assert gone.deleted == 2 and [kv.key for kv in gone.prevs] == [b"a", b"b"]
    assert store.batch is not None
    assert [(e.key, e.kv, e.cause) for e in store.batch.events] == [
        (b"a", None, Cause.CHECK_FAILED),
        (b"b", None, Cause.CHECK_FAILED),
    ]
    assert [e.prev for e in store.batch.events] == list(gone.prevs)
    assert store.run(DeleteRange(Selector(b"c"))) == DeleteResult(1)


def test_what_changes_nothing_takes_no_revision(store: Store) -> None:
    store.run(Put(b"a", b""))
    for selector in (Selector(b"b"), Selector(b"b", b""), Selector(b"b", b"a")):
        assert store.run(DeleteRange(selector)) == DeleteResult(0)
    assert store.run(do(DeleteRange(Selector(b"b")), Range(ALL))).succeeded
    assert store.keyspace.revision == 2


def test_created_again_begins_anew(store: Store) -> None:
    for op in (Put(b"a", b""), Put(b"a", b""), DeleteRange(ALL), Put(b"a", b"")):
        store.run(op)
    assert store.keyspace.get(b"a") == KeyValue(b"a", b"", 5, 5, 1, 0)


# --- sequence numbers ---------------------------------------------------------------------------


def test_sequence_counts_per_parent(store: Store) -> None:
    def put(key: bytes) -> bytes:
        written: bytes = store.run(Put(key, b"", sequence=True)).key
        return written

    assert put(b"/q/x-") == b"/q/x-0000000000"
    assert put(b"/q/y-") == b"/q/y-0000000001"
    assert put(b"/q/") == b"/q/0000000002"
    assert put(b"/q/r/") == b"/q/r/0000000000"
    assert put(b"x") == b"x0000000000"
    assert store.keyspace.counters._values == {b"/q/": 3, b"/q/r/": 1, b"": 1}


def test_sequence_is_never_used_twice(store: Store) -> None:
    store.run(Put(b"q/", b"", sequence=True))
    store.run(DeleteRange(ALL))
    assert store.run(Put(b"q/", b"", sequence=True)).key == b"q/0000000001"


def test_sequence_skips_keys_that_exist(store: Store) -> None:
    store.run(Put(b"q/0000000000", b""))
    store.run(Put(b"q/0000000001", b""))
    assert store.run(Put(b"q/", b"", sequence=True)).key == b"q/0000000002"


def test_sequence_in_a_transaction(store: Store) -> None:
    put = Put(b"q/", b"", sequence=True)
    result = store.run(do(Put(b"q/0000000001", b""), put, put))
    assert [r.key[-1:] for r in result.responses] == [b"1", b"0", b"2"]
    # A number of a key that this same transaction deletes is passed over as well.
    result = store.run(do(Put(b"r/0000000000", b"")))
    result = store.run(do(DeleteRange(Selector(b"r/", b"s")), Put(b"r/", b"", sequence=True)))
    assert result.responses[1].key == b"r/0000000001"
    store.refuses(do(put, Put(b"a", b""), Put(b"a", b"")), Code.DUPLICATE_KEY)


def test_sequence_ends(store: Store) -> None:
    store.keyspace.counters.set(b"q/", SEQUENCE_MAX)
    assert store.run(Put(b"q/", b"", sequence=True)).key == b"q/9999999999"
    store.refuses(Put(b"q/", b"", sequence=True), Code.SEQUENCE_EXHAUSTED, SEQUENCE_MAX)


# --- transactions -------------------------------------------------------------------------------


def test_operations_see_those_before(store: Store) -> None:
    store.run(Put(b"b", b"old"))
    result = store.run(
        do(
            Put(b"a", b"1"),
            Range(ALL),
            Put(b"b", b"new"),
            Range(Selector(b"b")),
            DeleteRange(Selector(b"0", b"1")),
            Put(b"c", b""),
            Range(ALL, count_only=True),
        )
    )
    a, b = KeyValue(b"a", b"1", 3, 3, 1, 0), KeyValue(b"b", b"new", 2, 3, 2, 0)
    old = KeyValue(b"b", b"old", 2, 2, 1, 0)
    assert result.responses[1] == RangeResult((a, old), count=2)
    assert result.responses[3] == RangeResult((b,), count=1)
    assert result.responses[6] == RangeResult((), count=3)
    assert store.keyspace.revision == 3
    assert store.batch is not None
    assert [e.key for e in store.batch.events] == [b"a", b"b", b"c"]


def test_deleted_keys_are_not_seen(store: Store) -> None:
    for name in (b"a", b"b", b"c"):
        store.run(Put(name, b""))
    result = store.run(do(DeleteRange(Selector(b"b")), Range(ALL), DeleteRange(ALL)))
    assert [kv.key for kv in result.responses[1].kvs] == [b"a", b"c"]
    assert (result.responses[1].count, result.responses[2].deleted) == (2, 2)
    assert store.keys() == []


def test_counts_after_deletes_in_any_order(store: Store) -> None:
    for name in (b"a", b"b", b"c", b"d"):
        store.run(Put(name, b""))
    deletes = (DeleteRange(Selector(name)) for name in (b"c", b"a"))
    counts = (
        Range(Selector(low, high), count_only=True) for low, high in ((b"b", b"z"), (b"", b"b"))
    )
    result = store.run(do(*deletes, *counts))
    assert [r.count for r in result.responses[2:]] == [2, 0]


@pytest.mark.parametrize(
    "ops",
    [
        (Put(b"a", b"1"), Put(b"a", b"2")),
        (Put(b"a", b"1"), DeleteRange(ALL)),
        (DeleteRange(Selector(b"old")), Put(b"old", b"")),
        (Put(b"a", b"1"), do(Put(b"a", b"2"))),
    ],
)
def test_no_key_changes_twice(store: Store, ops: tuple[Op, ...]) -> None:
    store.run(Put(b"old", b""))
    store.refuses(do(*ops), Code.DUPLICATE_KEY)


def test_deleting_nothing_is_no_change(store: Store) -> None:
    assert store.run(do(DeleteRange(ALL), Put(b"a", b""), Put(b"b", b""))).succeeded
    result = store.run(do(DeleteRange(Selector(b"a")), DeleteRange(ALL)))
    assert [r.deleted for r in result.responses] == [1, 1]


def test_compares_choose_a_branch(store: Store) -> None:
    def guarded(version: int) -> Txn:
        compare = Compare(Selector(b"a"), Operator.EQUAL, Target.VERSION, version)
        return Txn((compare,), (Put(b"a", b""),), (Range(ALL),))

    assert store.run(guarded(0)) == TxnResult(True, (PutResult(b"a"),))
    assert not store.run(guarded(0)).succeeded
    assert store.run(guarded(1)).succeeded


def test_nested_transaction_compares_what_is_there_by_then(store: Store) -> None:
    compare = Compare(Selector(b"a"), Operator.EQUAL, Target.MOD_REVISION, 2)
    inner = Txn((compare,), (Put(b"b", b""),), (Put(b"c", b""),))
    result = store.run(do(Put(b"a", b""), inner))
    assert result.responses[1] == TxnResult(True, (PutResult(b"b"),))
    assert store.keys() == [b"a", b"b"]


def test_one_failure_fails_the_whole(store: Store) -> None:
    store.run(Put(b"a", b""))
    store.refuses(do(Put(b"b", b""), Put(b"c", b"", 9)), Code.SESSION_NOT_FOUND, 9)
    store.refuses(do(Put(b"b", b""), do(Put(b"c", b"", 9))), Code.SESSION_NOT_FOUND, 9)
    store.refuses(do(Put(b"b", b""), Range(ALL, revision=3)), Code.FUTURE_REVISION, 2)
    bad = Compare(ALL, Operator.EQUAL, Target.VALUE, 1)
    store.refuses(do(Put(b"b", b""), Txn((bad,))), Code.UNDECODABLE)
    store.keyspace.compact(2)
    store.refuses(do(Put(b"b", b""), Range(ALL, revision=1)), Code.COMPACTED, 2)


def test_history_can_be_read_on_the_way(store: Store) -> None:
    store.run(Put(b"a", b"1"))
    store.run(Put(b"a", b"2"))
    result = store.run(do(Put(b"b", b""), Range(ALL, revision=2), Range(ALL, revision=3)))
    assert [[kv.value for kv in r.kvs] for r in result.responses[1:]] == [[b"1"], [b"2"]]


def test_ranges_of_a_transaction_share_a_size(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RANGES_SIZE_BYTES_MAX", 2 * (10 + KV_OVERHEAD_BYTES) + 5)
    for name in (b"a", b"b", b"c"):
        store.run(Put(name, b"123456789"))
    result = store.run(do(Range(ALL), Range(ALL), Range(ALL, count_only=True)))
    assert [(len(r.kvs), r.more, r.count) for r in result.responses] == [
        (2, True, 3),
        (1, True, 3),
        (0, False, 3),
    ]


def test_children_share_the_size_as_well(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANGES_SIZE_BYTES_MAX", 2 * (2 + CHILD_OVERHEAD_BYTES) + 5)
    for name in (b"a/", b"b/", b"c/"):
        store.run(Put(name, b""))
    query = Range(ALL, delimiter=b"/")
    result = store.run(do(query, query))
    assert [len(r.children) for r in result.responses] == [2, 1]


# --- how much one command may look at -----------------------------------------------------------


@pytest.fixture
def ten(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of ten keys, the last of them new in revision 11, where one command may visit twelve."""
    monkeypatch.setattr(module, "VISITED_KEYS_MAX", 12)
    for number in range(10):
        store.run(Put(b"%d" % number, b"", 1))
    return store


NONE = Compare(ALL, Operator.GREATER, Target.VERSION, 0)  # holds, after a look at every key
TEN = Selector(b"0", b":")
THREE = Selector(b"0", b"3")


@pytest.mark.parametrize(
    "op",
    [
        Txn((NONE, NONE)),
        Txn((NONE, Compare(THREE, Operator.GREATER, Target.VERSION, 0))),
        do(Range(ALL), Range(THREE)),
        do(Txn((NONE,)), Range(THREE)),
        Txn((NONE,), (DeleteRange(THREE),)),
        do(DeleteRange(Selector(b"0", b"9")), Range(ALL, limit=1)),
        do(DeleteRange(TEN), Txn((Compare(TEN, Operator.EQUAL, Target.EXISTS, 0),))),
        do(Range(ALL), *(DeleteRange(Selector(b"%d" % number)) for number in range(3))),
        do(Range(ALL), Range(THREE, delimiter=b"/", count_only=True)),
        do(Range(ALL), Range(THREE, revision=11)),
        do(Range(ALL), Range(THREE, revision=5)),
        do(Range(ALL, revision=5, limit=1), Range(THREE)),
    ],
)
def test_too_much_work(ten: Store, op: Op) -> None:
    ten.refuses(op, Code.TOO_MUCH_WORK, VISITED_KEYS_MAX)
    ten.refuses(do(Put(b"x", b""), op), Code.TOO_MUCH_WORK, VISITED_KEYS_MAX)


@pytest.mark.parametrize(
    "op",
    [
        Txn((NONE, Compare(Selector(b"0", b"2"), Operator.GREATER, Target.VERSION, 0))),
        Txn((*[Compare(ALL, Operator.EQUAL, Target.EXISTS, 1)] * 12,)),
        do(*[Range(ALL, limit=3)] * 4),
        do(*[Range(ALL, count_only=True)] * 50),
        do(*[Range(Selector(b"1"))] * 50, *[Range(Selector(b"1"), revision=5)] * 50),
        do(Range(ALL), DeleteRange(Selector(b"0", b"2"))),
        do(Range(ALL, revision=5), Range(Selector(b"0", b"2"))),
        do(Range(ALL, revision=11), Range(Selector(b"0", b"2"))),
        DeleteRange(ALL, prev_kv=True),
    ],
)
def test_just_as_much_work_as_may_be(ten: Store, op: Op) -> None:
    assert not isinstance(ten.run(op), Failure)


def test_delete_of_too_many_keys_is_refused_without_a_walk(
    ten: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        ten.run(Put(b"x%d" % number, b""))

    def walk(*_: object) -> Iterator[KeyValue]:
        raise AssertionError("the keys are walked")

    monkeypatch.setattr(Keyspace, "scan", walk)
    result = ten.run(DeleteRange(ALL))
    assert isinstance(result, Failure) and result.code is Code.TOO_MUCH_WORK
    result = ten.run(do(Range(Selector(b"0")), DeleteRange(ALL)))
    assert isinstance(result, Failure) and result.code is Code.TOO_MUCH_WORK


def test_keys_gone_count_the_same_whatever_was_tidied(ten: Store) -> None:
    """Keys that are gone, but not from history, count in the past; those that wait for tidy don't."""
    ten.run(DeleteRange(Selector(b"0", b"5")))
    ten.run(DeleteRange(Selector(b"5", b"8")))
    assert ten.keyspace.revision == 13
    for number in range(4):
        ten.run(Put(b"a%d" % number, b""))
    ten.refuses(do(Range(ALL, revision=12)), Code.TOO_MUCH_WORK, VISITED_KEYS_MAX)
    ten.keyspace.compact(12)
    for _ in range(2):
        result = ten.run(do(Range(ALL, revision=12), Range(THREE)))
        assert len(result.responses[0].kvs) == 5
        ten.refuses(do(Range(ALL, revision=12), Range(ALL)), Code.TOO_MUCH_WORK, VISITED_KEYS_MAX)
        while ten.keyspace.tidy(1):
            pass


def test_depth() -> None:
    def nest(levels: int) -> Txn:
        txn = Txn(())
        for level in range(levels - 1):
            txn = Txn((), (Put(b"a", b""), txn)) if level % 2 else Txn((), (), (txn,))
        return txn

    assert not nests_too_deep(nest(1))
    assert not nests_too_deep(nest(16))
    assert nests_too_deep(nest(17))
