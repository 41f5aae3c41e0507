from __future__ import annotations

import msgspec
import pytest

from coordinator.state.model import KeyValue, Session
from coordinator.state.results import (
    Code,
    DeleteResult,
    Done,
    Failure,
    Outcome,
    PutResult,
    RangeResult,
    Result,
    SessionResult,
    TxnResult,
)

KV = KeyValue(b"a", b"1", 2, 2, 1, 0)
RESULTS: list[Result] = [
    RangeResult((KV,), (b"a/",), True, 7),
    PutResult(b"a", KV),
    DeleteResult(1, (KV,)),
    TxnResult(True, (PutResult(b"a"), TxnResult(False, (RangeResult(()),)))),
    SessionResult(Session(1, 1000, None, (("a", "b"),), 1), 3),
    Done(),
    Failure(Code.COMPACTED, "gone", 5),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_results_come_back(result: Result) -> None:
    """Results are kept in snapshots, and travel to the member that asked."""
    outcome = Outcome(1, 2, 3, result)
    encoded = msgspec.msgpack.encode(outcome)
    assert msgspec.msgpack.decode(encoded, type=Outcome) == outcome


def test_codes_keep_their_numbers() -> None:
    # Failures of numbered requests are part of the state.
    assert [code.name for code in sorted(Code)][:10] == [
        "UNDECODABLE",
        "COMPACTED",
        "FUTURE_REVISION",
        "SESSION_NOT_FOUND",
        "SESSION_EXISTS",
        "DUPLICATE_KEY",
        "SEQUENCE_EXHAUSTED",
        "REQUEST_FORGOTTEN",
        "REQUEST_WINDOW",
        "TOO_MUCH_WORK",
    ]
    assert sorted(Code) == list(range(1, len(Code) + 1))
