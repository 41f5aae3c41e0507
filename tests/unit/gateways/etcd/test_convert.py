"""Requests of etcd's API as operations of the state machine."""

from __future__ import annotations

import pytest

from coordinator.config import Limits
from coordinator.gateways.etcd import convert
from coordinator.gateways.etcd.convert import Converter
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import kv_pb2 as pb
from coordinator.state.commands import Compare, Operator, Order, Selector, Target


def test_selectors() -> None:
    assert convert.selector(b"a", b"") == Selector(b"a")
    assert convert.selector(b"a", b"\0") == Selector(b"a", b"")
    assert convert.selector(b"a", b"b") == Selector(b"a", b"b")


def test_ranges() -> None:
    plain = convert.range_query(pb.RangeRequest(key=b"a", limit=-1, revision=-5))
    assert (plain.limit, plain.revision, plain.order, plain.descending) == (0, 0, Order.KEY, False)
    request = pb.RangeRequest(key=b"a", sort_target="MOD", sort_order="DESCEND", max_mod_revision=3)
    query = convert.range_query(request)
    assert (query.order, query.descending, query.max_mod_revision) == (
        Order.MOD_REVISION,
        True,
        3,
    )
    # Without an order it is ascending, by whatever is named; what is unknown is nothing.
    assert convert.range_query(pb.RangeRequest(key=b"a", sort_target="VALUE")).order is Order.VALUE
    unknown = pb.RangeRequest.FromString(b"\x0a\x01a\x30\x63")
    assert unknown.sort_target == 99 and convert.range_query(unknown).order is Order.KEY


def test_compares() -> None:
    request = pb.Compare(key=b"a", range_end=b"b", result="GREATER", target="MOD", mod_revision=7)
    assert convert.compare(request) == Compare(
        Selector(b"a", b"b"), Operator.GREATER, Target.MOD_REVISION, 7
    )
    # What is given for another target counts as nothing.
    other = convert.compare(pb.Compare(key=b"a", target="LEASE", version=3))
    assert other == Compare(Selector(b"a"), Operator.EQUAL, Target.SESSION, 0)


def test_unknown_compares_hold_or_not_as_an_etcd_takes_them() -> None:
    unknown_result = pb.Compare.FromString(b"\x08\x63\x1a\x01a")
    assert unknown_result.result == 99 and convert.compare(unknown_result) is None
    unknown_target = pb.Compare.FromString(b"\x10\x63\x1a\x01a")
    assert unknown_target.target == 99 and convert.compare(unknown_target) is None
    unknown_target.result = pb.Compare.GREATER
    never = convert.compare(unknown_target)
    assert never is not None and (never.operator, never.operand) == (Operator.LESS, 0)


def nested(depth: int) -> pb.TxnRequest:
    request = pb.TxnRequest()
    for _ in range(depth - 1):
        request = pb.TxnRequest(success=[pb.RequestOp(request_txn=request)])
    return request


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (pb.TxnRequest(success=[pb.RequestOp()]), "key not found"),
        (pb.TxnRequest(compare=[pb.Compare()]), "key is not provided"),
        (
            pb.TxnRequest(failure=[pb.RequestOp(request_put=pb.PutRequest())]),
            "key is not provided",
        ),
        (
            pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))] * 129),
            "too many operations in txn request",
        ),
        (pb.TxnRequest(compare=[pb.Compare(key=b"a")] * 129), "too many operations in txn request"),
        (nested(9), "too many operations in txn request"),
        (
            pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=b"k" * 9_000))]),
            "request is too large",
        ),
    ],
)
def test_transactions_that_are_refused(request_: pb.TxnRequest, text: str) -> None:
    with pytest.raises(EtcdError, match=text):
        Converter(Limits()).txn(request_)


def test_transactions_are_decided_first() -> None:
    txn = Converter(Limits()).txn(nested(8))
    assert txn.decided_first and not txn.success[0].decided_first  # type: ignore[union-attr]  # a Txn
