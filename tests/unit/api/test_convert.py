"""Requests become commands."""

from __future__ import annotations

import pytest

from coordinator.api.convert import Converter, writes
from coordinator.config import Limits
from coordinator.errors import RequestError
from coordinator.state.commands import Put, Range, Selector, Txn
from coordinator_client.pb.common_pb2 import Selector as PbSelector

convert = Converter(Limits())


def test_selectors() -> None:
    assert convert.selector("s", PbSelector(key=b"a")) == Selector(b"a")
    assert convert.selector("s", PbSelector(key=b"a", prefix=True)) == Selector(b"a", b"b")
    assert convert.selector("s", PbSelector(prefix=True)) == Selector(b"", b"")
    assert convert.selector("s", PbSelector(key=b"a", range_end=b"c")) == Selector(b"a", b"c")
    assert convert.selector("s", PbSelector(key=b"a", range_end=b"\0")) == Selector(b"a", b"")
    with pytest.raises(RequestError):
        convert.selector("s", PbSelector())


def test_a_transaction_that_only_reads_is_told_from_one_that_writes() -> None:
    read, write = Range(Selector(b"a")), Put(b"a", b"")
    assert not writes(Txn((), (read,), (Txn((), (read,)),)))
    assert writes(Txn((), (read,), (Txn((), (), (write,)),)))
