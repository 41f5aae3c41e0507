"""Mistakes of clients as exceptions."""

from __future__ import annotations

from coordinator.wire.http2 import Code
from coordinator.wire.http2.failures import ConnectionFailure, Failure, ListTooLarge, Malformed


def test_tree() -> None:
    failure = ConnectionFailure(Code.CANCEL, "why")
    assert (failure.code, failure.reason, str(failure)) == (8, "why", "why")
    assert all(issubclass(kind, Failure) for kind in (ConnectionFailure, Malformed, ListTooLarge))
