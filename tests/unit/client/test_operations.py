from __future__ import annotations

import pytest

from coordinator_client import Delete, Get, InvalidArgument, Key, Nested, Put, Range
from coordinator_client.operations import only_reads, owner_id


class Owner:
    id = 9


def test_operations_travel_as_they_read() -> None:
    put = Put("/a", "1", Owner(), sequence=True, prev=True).message()
    assert (put.key, put.value, put.session, put.sequence, put.prev_kv) == (
        b"/a",
        b"1",
        9,
        True,
        True,
    )
    assert Get("/a").message().selector.key == b"/a"
    many = Range("/a", prefix=True, limit=5, keys_only=True).message()
    assert (many.selector.prefix, many.limit, many.keys_only, many.count_only) == (
        True,
        5,
        True,
        False,
    )
    gone = Delete("/a", range_end="/b", prev=True).message()
    assert (gone.selector.range_end, gone.prev_kv) == (b"/b", True)


def test_transactions_nest() -> None:
    inner = Nested((Key("/b").exists(),), (Delete("/b"),), (Get("/c"),))
    message = Nested((), (Put("/a"), inner)).message()
    assert [op.WhichOneof("request") for op in message.success] == ["put", "txn"]
    nested = message.success[1].txn
    assert (len(nested.compares), len(nested.success), len(nested.failure)) == (1, 1, 1)


def test_only_reads() -> None:
    assert only_reads([Get("/a"), Range("/a", prefix=True), Nested(then=(Get("/a"),))])
    assert not only_reads([Get("/a"), Nested(otherwise=(Put("/a"),))])
    assert not only_reads([Delete("/a")])


def test_mistakes_are_refused_at_once() -> None:
    with pytest.raises(InvalidArgument):
        Put("").message()
    with pytest.raises(InvalidArgument):
        owner_id(-1)
    with pytest.raises(InvalidArgument):
        Nested(then=("put /a",)).message()  # type: ignore[arg-type]  # the mistake under test


def test_owner_id() -> None:
    assert [owner_id(None), owner_id(7), owner_id(Owner())] == [0, 7, 9]


def test_a_session_that_is_not_open_owns_nothing() -> None:
    class Unopened:
        id = 0

    with pytest.raises(InvalidArgument, match="not open"):
        owner_id(Unopened())
