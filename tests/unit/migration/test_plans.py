"""What is written, and where stores differ."""

from __future__ import annotations

import pytest

from coordinator.gateways.etcd.pb import mvcc_pb2
from coordinator.migration.plans import bounds, compare, key_of, op_of, put_of, transactions


def kv(key: bytes, value: bytes = b"", lease: int = 0) -> mvcc_pb2.KeyValue:
    return mvcc_pb2.KeyValue(key=key, value=value, lease=lease)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"", (b"\0", b"\0")),
        (b"a/", (b"a/", b"a0")),
        (b"a\xff", (b"a\xff", b"b")),
        (b"\xff", (b"\xff", b"\0")),
    ],
)
def test_bounds(prefix: bytes, expected: tuple[bytes, bytes]) -> None:
    assert bounds(prefix) == expected


def test_transactions_are_small_and_change_no_key_twice() -> None:
    many = [put_of(kv(b"%d" % n)) for n in range(250)]
    assert [len(group) for group in transactions(many)] == [100, 100, 50]
    large = [put_of(kv(b"%d" % n, b"x" * 500_000)) for n in range(5)]
    assert [len(group) for group in transactions(large)] == [2, 2, 1]
    twice = [put_of(kv(b"a")), put_of(kv(b"b")), put_of(kv(b"a", b"2"))]
    assert [[key_of(op) for op in group] for group in transactions(twice)] == [
        [b"a", b"b"],
        [b"a"],
    ]
    assert list(transactions([])) == []


def test_events_as_operations() -> None:
    put = op_of(mvcc_pb2.Event(kv=kv(b"a", b"1", 7)))
    assert put.request_put.value == b"1" and put.request_put.lease == 7
    gone = op_of(mvcc_pb2.Event(type=mvcc_pb2.Event.DELETE, kv=kv(b"a")))
    assert gone.request_delete_range.key == b"a" and key_of(gone) == b"a"


def test_differences() -> None:
    assert compare(kv(b"a", b"1", 5), kv(b"a", b"1", 6)) is None
    found = [
        compare(kv(b"a"), None),
        compare(None, kv(b"a")),
        compare(kv(b"a", b"1"), kv(b"a", b"2")),
        compare(kv(b"a", b"1", 5), kv(b"a", b"1")),
    ]
    assert [str(difference) for difference in found] == [
        "b'a' is missing",
        "b'a' should not be there",
        "b'a' has another value",
        "b'a' has a lease in one of them only",
    ]
