"""Puts that keep something, and transactions that are decided before anything is done."""

from __future__ import annotations

import pytest

from coordinator.state.commands import (
    Compare,
    DeleteRange,
    Operator,
    Put,
    Range,
    Selector,
    Target,
    Txn,
)
from coordinator.state.keyspace import Keyspace
from coordinator.state.results import Code, Failure, PutResult, TxnResult
from coordinator.state.transaction import Transaction


def test_a_put_keeps_value_or_session_of_a_key_that_exists() -> None:
    keyspace = Keyspace()
    missing = Transaction(keyspace, {7}).run(Put(b"a", b"", keep_value=True))
    assert isinstance(missing, Failure) and missing.code is Code.KEY_NOT_FOUND
    missing = Transaction(keyspace, {7}).run(Put(b"a", b"1", keep_session=True))
    assert isinstance(missing, Failure) and missing.code is Code.KEY_NOT_FOUND
    for put in (
        Put(b"a", b"1", session=7),
        Put(b"a", b"2", keep_session=True),
        Put(b"a", b"", session=8, keep_value=True),
    ):
        transaction = Transaction(keyspace, {7, 8})
        assert isinstance(transaction.run(put), PutResult)
        transaction.commit()
    kv = keyspace.get(b"a")
    assert kv is not None and (kv.value, kv.session, kv.version) == (b"2", 8, 3)


def test_decided_first_nothing_is_done_before_all_compares() -> None:
    absent = Compare(Selector(b"a"), Operator.EQUAL, Target.VERSION, 0)
    inner = Txn((absent,), (Put(b"b", b"absent"),), (Put(b"b", b"there"),))
    for decided_first, value in ((False, b"there"), (True, b"absent")):
        keyspace = Keyspace()
        transaction = Transaction(keyspace, ())
        txn = Txn((), (Put(b"a", b""), inner), decided_first=decided_first)
        assert isinstance(transaction.run(txn), TxnResult)
        transaction.commit()
        kv = keyspace.get(b"b")
        assert kv is not None and kv.value == value


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ((Range(Selector(b"a"), revision=99), Put(b"a", b"", session=5)), Code.SESSION_NOT_FOUND),
        ((Range(Selector(b"a"), revision=99), Put(b"a", b"", keep_value=True)), Code.KEY_NOT_FOUND),
        ((Put(b"b", b""), Range(Selector(b"a"), revision=99)), Code.FUTURE_REVISION),
        (
            (Txn((), (Range(Selector(b"a"), revision=99),)), Put(b"a", b"", session=5)),
            Code.SESSION_NOT_FOUND,
        ),
    ],
)
def test_decided_first_puts_are_looked_at_before_ranges(
    ops: tuple[Range | Put | DeleteRange | Txn, ...], code: Code
) -> None:
    result = Transaction(Keyspace(), ()).run(Txn((), ops, decided_first=True))
    assert isinstance(result, Failure) and result.code is code
