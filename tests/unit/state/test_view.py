from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.state.commands import Compare, Operator, Order, Range, Selector, Target
from coordinator.state.keyspace import Keyspace
from coordinator.state.model import Event, KeyValue
from coordinator.state.results import Code, Failure, RangeResult
from coordinator.state.view import (
    CHILD_OVERHEAD_BYTES,
    KV_OVERHEAD_BYTES,
    Meter,
    Metered,
    bounds,
    child_of,
    holds,
    prefix_end,
    read_range,
    size_of,
    with_prefix,
)
from coordinator_client.pb import common_pb2, kv_pb2

ALL = Selector(b"", b"")


@pytest.fixture
def keyspace() -> Keyspace:
    keyspace = Keyspace()
    for name in (b"", b"/a", b"/a/1", b"/a/2", b"/a/2/x", b"/a/2/y", b"/a/3", b"/b/1", b"c"):
        revision = keyspace.revision + 1
        keyspace.commit((Event(name, KeyValue(name, b"12", revision, revision, 1, 0), None),))
    return keyspace


def names(result: RangeResult) -> list[bytes]:
    return [kv.key for kv in result.kvs]


@pytest.mark.parametrize(
    ("selector", "low", "high"),
    [
        (Selector(b"a"), b"a", b"a\0"),
        (Selector(b"a", b"b"), b"a", b"b"),
        (Selector(b"a", b""), b"a", None),
    ],
)
def test_bounds(selector: Selector, low: bytes, high: bytes | None) -> None:
    assert bounds(selector) == (low, high)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"a/", b"a0"), (b"\xff\xff", None), (b"", None)],
)
def test_prefix_end(prefix: bytes, end: bytes | None) -> None:
    assert prefix_end(prefix) == end


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_with_prefix_bounds_exactly_the_keys_with_the_prefix(prefix: bytes, key: bytes) -> None:
    selector = with_prefix(prefix)
    assert selector.key == prefix and selector.end is not None
    inside = key >= prefix and (not selector.end or key < selector.end)
    assert inside == key.startswith(prefix)


@pytest.mark.parametrize(
    ("key", "child"),
    [(b"/a/b", None), (b"/a/b/", b"/a/b/"), (b"/a/b/c/d", b"/a/b/"), (b"/b/c/d", None)],
)
def test_child_of(key: bytes, child: bytes | None) -> None:
    assert child_of(key, b"/a/", b"/") == child


def test_one_key(keyspace: Keyspace) -> None:
    assert names(read_range(keyspace, Range(Selector(b"/a")))) == [b"/a"]
    assert read_range(keyspace, Range(Selector(b"/a"))).count == 1
    assert read_range(keyspace, Range(Selector(b"/none"))) == RangeResult(())
    assert read_range(keyspace, Range(Selector(b"/a"), start_after=b"/a")) == RangeResult(())
    assert read_range(keyspace, Range(Selector(b"/a"), count_only=True)) == RangeResult((), count=1)


def test_range_is_half_open_and_ascending(keyspace: Keyspace) -> None:
    result = read_range(keyspace, Range(Selector(b"/a/2", b"/b/1")))
    assert names(result) == [b"/a/2", b"/a/2/x", b"/a/2/y", b"/a/3"]
    assert (result.count, result.more) == (4, False)
    assert read_range(keyspace, Range(Selector(b"b", b"a"))) == RangeResult(())
    assert names(read_range(keyspace, Range(Selector(b"/b/1", b"")))) == [b"/b/1", b"c"]


def test_all_keys_include_the_empty_one(keyspace: Keyspace) -> None:
    assert names(read_range(keyspace, Range(ALL)))[0] == b""


def test_limit_leaves_the_count_whole(keyspace: Keyspace) -> None:
    result = read_range(keyspace, Range(ALL, limit=2))
    assert (names(result), result.more, result.count) == ([b"", b"/a"], True, 9)
    result = read_range(keyspace, Range(ALL, limit=9))
    assert (len(result.kvs), result.more) == (9, False)


def test_start_after_is_not_counted(keyspace: Keyspace) -> None:
    result = read_range(keyspace, Range(ALL, limit=1, start_after=b"/a/3"))
    assert (names(result), result.more, result.count) == ([b"/b/1"], True, 2)


def test_keys_only_and_count_only(keyspace: Keyspace) -> None:
    (kv,) = read_range(keyspace, Range(Selector(b"c"), keys_only=True)).kvs
    assert kv == KeyValue(b"c", b"", 10, 10, 1, 0)
    (kv,) = read_range(keyspace, Range(Selector(b"c", b"d"), keys_only=True)).kvs
    assert kv.value == b""
    assert read_range(keyspace, Range(ALL, count_only=True)) == RangeResult((), count=9)


def test_size_ends_a_page_early_but_not_empty(keyspace: Keyspace) -> None:
    query = Range(Selector(b"/a", b""))
    assert names(read_range(keyspace, query, 0)) == [b"/a"]
    # /a with its value takes 4 bytes, /a/1 takes 6.
    size = 4 + 6 + 2 * KV_OVERHEAD_BYTES
    assert names(read_range(keyspace, query, size - 1)) == [b"/a"]
    result = read_range(keyspace, query, size)
    assert (names(result), result.more, result.count) == ([b"/a", b"/a/1"], True, 8)
    query = Range(Selector(b"/a", b""), keys_only=True)
    assert len(read_range(keyspace, query, size - 4).kvs) == 2
    assert len(read_range(keyspace, query, size - 5).kvs) == 1


def test_sizes_are_those_of_messages() -> None:
    """What fits by its size fits on the wire: as many short keys as large numbers make them."""
    number = 2**40
    kv = KeyValue(b"a", b"", number, number, number, 2**63 - 1)
    message = kv_pb2.RangeResponse(
        kvs=[
            common_pb2.KeyValue(
                key=kv.key,
                create_revision=number,
                mod_revision=number,
                version=number,
                session=kv.session,
            )
        ]
        * 1000
    )
    assert message.ByteSize() <= 1000 * size_of(kv)
    message = kv_pb2.RangeResponse(children=[b"a/"] * 1000)
    assert message.ByteSize() <= 1000 * size_of(b"a/")


def test_children_of_a_path(keyspace: Keyspace) -> None:
    result = read_range(keyspace, Range(Selector(b"/a/", b"/a0"), delimiter=b"/"))
    assert names(result) == [b"/a/1", b"/a/2", b"/a/3"]
    assert (result.children, result.count, result.more) == ((b"/a/2/",), 4, False)
    result = read_range(keyspace, Range(Selector(b"/", b"0"), delimiter=b"/", count_only=True))
    assert result == RangeResult((), count=3)


def test_pages_of_children(keyspace: Keyspace) -> None:
    def page(start_after: bytes, limit: int) -> RangeResult:
        selector = Selector(b"/a/", b"/a0")
        return read_range(
            keyspace, Range(selector, 0, limit, delimiter=b"/", start_after=start_after)
        )

    first = page(b"", 3)
    assert (names(first), first.children, first.more, first.count) == (
        [b"/a/1", b"/a/2"],
        (b"/a/2/",),
        True,
        4,
    )
    second = page(b"/a/2/", 3)
    assert (names(second), second.children, second.more, second.count) == ([b"/a/3"], (), False, 1)
    # A start within a child is after that child.
    assert page(b"/a/2/x", 3) == second


def test_children_count_towards_the_size(keyspace: Keyspace) -> None:
    query = Range(Selector(b"/", b"0"), delimiter=b"/")
    size = 4 + 3 + KV_OVERHEAD_BYTES + CHILD_OVERHEAD_BYTES
    result = read_range(keyspace, query, size)
    assert (names(result), result.children, result.more) == ([b"/a"], (b"/a/",), True)
    result = read_range(keyspace, query, size - 1)
    assert (names(result), result.children, result.more) == ([b"/a"], (), True)


@pytest.mark.parametrize("count_only", [False, True])
def test_keys_below_a_child_are_leapt_over(count_only: bool) -> None:
    keyspace = Keyspace()
    for child in (b"/p/a/", b"/p/b/", b"/p/c/"):
        revision = keyspace.revision + 1
        kvs = [KeyValue(b"%s%03d" % (child, n), b"", revision, revision, 1, 0) for n in range(200)]
        keyspace.commit(tuple(Event(kv.key, kv, None) for kv in kvs))
    meter = Meter(1000)
    query = Range(Selector(b"/p/", b"/p0"), delimiter=b"/", count_only=count_only, limit=1)
    assert read_range(Metered(keyspace, meter), query).count == 3
    assert meter.left == 1000 - 3


# --- compares ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "holds_for"),
    [
        (Operator.EQUAL, {10}),
        (Operator.NOT_EQUAL, {9, 11}),
        (Operator.LESS, {11}),
        (Operator.LESS_OR_EQUAL, {10, 11}),
        (Operator.GREATER, {9}),
        (Operator.GREATER_OR_EQUAL, {9, 10}),
    ],
)
def test_operators(keyspace: Keyspace, operator: Operator, holds_for: set[int]) -> None:
    for operand in (9, 10, 11):
        for target in (Target.MOD_REVISION, Target.CREATE_REVISION):
            compare = Compare(Selector(b"c"), operator, target, operand)
            assert holds(keyspace, compare) is (operand in holds_for)


def test_compare_of_a_range_asks_every_key(keyspace: Keyspace) -> None:
    selector = Selector(b"/a/1", b"/a/2/")
    assert holds(keyspace, Compare(selector, Operator.GREATER, Target.MOD_REVISION, 3)) is True
    assert holds(keyspace, Compare(selector, Operator.GREATER, Target.MOD_REVISION, 4)) is False
    assert holds(keyspace, Compare(selector, Operator.EQUAL, Target.VALUE, b"12")) is True
    assert holds(keyspace, Compare(ALL, Operator.EQUAL, Target.VALUE, b"1")) is False


@pytest.mark.parametrize(
    ("operator", "target", "operand", "visited"),
    [
        (Operator.EQUAL, Target.EXISTS, 1, 1),
        (Operator.EQUAL, Target.VALUE, b"other", 1),
        (Operator.LESS, Target.MOD_REVISION, 2, 1),
        (Operator.LESS, Target.MOD_REVISION, 5, 4),
        (Operator.EQUAL, Target.VERSION, 1, 9),
    ],
)
def test_first_key_that_decides_is_the_last(
    keyspace: Keyspace, operator: Operator, target: Target, operand: bytes | int, visited: int
) -> None:
    meter = Meter(100)
    holds(Metered(keyspace, meter), Compare(ALL, operator, target, operand))
    assert 100 - meter.left == visited


def test_meter_stays_exceeded(keyspace: Keyspace) -> None:
    meter = Meter(9)
    view = Metered(keyspace, meter)
    assert len(list(view.scan(b"", None))) == 9
    assert not meter.exceeded and meter.take(0)
    assert list(view.scan(b"", None)) == []
    assert meter.exceeded and not meter.take(0)


@pytest.mark.parametrize("selector", [Selector(b"x"), Selector(b"x", b"z"), Selector(b"z", b"x")])
def test_compare_without_keys(keyspace: Keyspace, selector: Selector) -> None:
    assert holds(keyspace, Compare(selector, Operator.EQUAL, Target.VERSION, 0)) is True
    assert holds(keyspace, Compare(selector, Operator.GREATER, Target.VERSION, 0)) is False
    assert holds(keyspace, Compare(selector, Operator.EQUAL, Target.VALUE, b"")) is False
    assert holds(keyspace, Compare(selector, Operator.NOT_EQUAL, Target.VALUE, b"x")) is False


def test_existence(keyspace: Keyspace) -> None:
    for selector, exists in ((Selector(b"c"), True), (Selector(b"x", b"z"), False)):
        for operator in (Operator.EQUAL, Operator.NOT_EQUAL):
            for operand in (0, 1):
                expected = (exists == bool(operand)) == (operator is Operator.EQUAL)
                compare = Compare(selector, operator, Target.EXISTS, operand)
                assert holds(keyspace, compare) is expected


@pytest.mark.parametrize(
    ("operator", "target", "operand"),
    [
        (Operator.EQUAL, Target.VALUE, 1),
        (Operator.LESS, Target.VERSION, b"1"),
        (Operator.LESS, Target.EXISTS, 1),
        (Operator.EQUAL, Target.EXISTS, 2),
        (Operator.EQUAL, Target.EXISTS, b"1"),
    ],
)
def test_compare_without_meaning(
    keyspace: Keyspace, operator: Operator, target: Target, operand: bytes | int
) -> None:
    answer = holds(keyspace, Compare(Selector(b"c"), operator, target, operand))
    assert isinstance(answer, Failure) and answer.code is Code.UNDECODABLE


def test_a_range_is_sorted_and_sifted_before_its_limit() -> None:
    keyspace = Keyspace()
    for key, value in ((b"a", b"2"), (b"b", b"1"), (b"c", b"3"), (b"b", b"2"), (b"d", b"0")):
        prev = keyspace.get(key)
        revision = keyspace.revision + 1
        created, version = (prev.create_revision, prev.version + 1) if prev else (revision, 1)
        kv = KeyValue(key, value, created, revision, version, 0)
        keyspace.commit((Event(key, kv, prev),))

    def read(**fields: Any) -> tuple[bytes, bool, int]:
        result = read_range(keyspace, Range(ALL, **fields))
        return b"".join(names(result)), result.more, result.count

    assert read(descending=True, limit=2) == (b"dc", True, 4)
    # Keys that are equal stand in ascending order, backwards too.
    assert read(order=Order.VALUE) == (b"dabc", False, 4)
    assert read(order=Order.VALUE, descending=True) == (b"cabd", False, 4)
    assert read(order=Order.VERSION, descending=True, limit=1) == (b"b", True, 4)
    assert read(order=Order.MOD_REVISION) == (b"acbd", False, 4)
    assert read(order=Order.CREATE_REVISION, descending=True) == (b"dcba", False, 4)
    # What is sifted out is counted.
    assert read(min_mod_revision=5) == (b"bd", False, 4)
    assert read(max_mod_revision=4, limit=1) == (b"a", True, 4)
    assert read(min_create_revision=3, max_create_revision=4) == (b"bc", False, 4)
    one = Range(Selector(b"a"), min_mod_revision=9)
    assert read_range(keyspace, one) == RangeResult((), count=1)
    small = Range(ALL, order=Order.VALUE, keys_only=True)
    result = read_range(keyspace, small, size_bytes_max=110)
    assert names(result) == [b"d", b"a"] and result.more
    assert read(order=Order.VALUE, count_only=True) == (b"", False, 4)
