from __future__ import annotations

import pytest

from coordinator.state.commands import RequestId
from coordinator.state.model import KeyValue, Session
from coordinator.state.results import Code, Done, Failure, PutResult
from coordinator.state.sessions import (
    RESULTS_MAX,
    RESULTS_SIZE_BYTES_MAX,
    Requests,
    Sessions,
)


def session(id: int) -> Session:
    return Session(id, 1000, None, (), 1)


def refused(answer: object) -> Code | None:
    return answer.code if isinstance(answer, Failure) else None


def test_sessions_are_listed_in_order() -> None:
    sessions = Sessions()
    for id in (5, 2, 9):
        sessions.open(session(id))
    assert [s.id for s in sessions.above(0)] == [2, 5, 9]
    assert [s.id for s in sessions.above(2)] == [5, 9]
    assert 5 in sessions and len(sessions) == 3
    assert sessions.end(5) == session(5)
    assert 5 not in sessions and sessions.get(5) is None
    assert [s.id for s in sessions.above(0)] == [2, 9]


def test_request_is_admitted_once() -> None:
    requests = Requests()
    assert requests.admit(RequestId(1, 1)) is None
    requests.keep(1, 7, Done())
    assert requests.admit(RequestId(1, 1)) == (7, Done())
    assert requests.admit(RequestId(1, 2)) is None


def test_acknowledged_results_are_forgotten() -> None:
    requests = Requests()
    for sequence in (3, 1, 2, 900):
        requests.keep(sequence, sequence, Done())
    assert requests.admit(RequestId(1, 3, 3)) == (3, Done())
    assert sorted(requests.results) == [3, 900]
    assert refused(requests.admit(RequestId(1, 2, 0))) is Code.REQUEST_FORGOTTEN
    assert requests.floor == 3
    assert refused(requests.admit(RequestId(1, 3, 500))) is Code.REQUEST_FORGOTTEN
    assert sorted(requests.results) == [900]
    assert requests.admit(RequestId(1, 500, 0)) is None


def test_acknowledging_far_ahead_takes_no_time() -> None:
    requests = Requests()
    requests.keep(1, 1, Done())
    assert requests.admit(RequestId(1, 2**63, 2**63)) is None
    assert (requests.floor, requests.results) == (2**63, {})


def test_window_is_bounded() -> None:
    requests = Requests()
    for sequence in range(1, RESULTS_MAX + 1):
        assert requests.admit(RequestId(1, sequence)) is None
        requests.keep(sequence, 1, Done())
    assert refused(requests.admit(RequestId(1, RESULTS_MAX + 1))) is Code.REQUEST_WINDOW
    assert requests.admit(RequestId(1, 5)) == (1, Done())
    assert requests.admit(RequestId(1, RESULTS_MAX + 1, 2)) is None


def test_size_of_results_is_bounded() -> None:
    half = PutResult(b"a", KeyValue(b"a", b"x" * (RESULTS_SIZE_BYTES_MAX // 2), 2, 2, 1, 0))
    requests = Requests()
    for sequence in (1, 2):
        assert requests.admit(RequestId(1, sequence)) is None
        requests.keep(sequence, 2, half)
    assert requests.size_bytes > RESULTS_SIZE_BYTES_MAX
    assert refused(requests.admit(RequestId(1, 3))) is Code.REQUEST_WINDOW
    assert requests.admit(RequestId(1, 2)) == (2, half)
    assert requests.admit(RequestId(1, 3, 2)) is None


def test_size_of_results_is_counted_down() -> None:
    requests = Requests()
    for sequence in (1, 2, 3, 4, 900):
        requests.keep(sequence, 1, Done())
    assert requests.size_bytes % 5 == 0 < requests.size_bytes
    one = requests.size_bytes // 5
    for acknowledged_below, left in ((3, 3), (4, 2), (500, 1), (901, 0)):
        requests.admit(RequestId(1, 901, acknowledged_below))
        assert (len(requests.results), requests.size_bytes) == (left, left * one)


@pytest.mark.parametrize("limit", ["count", "size"])
def test_a_full_window_is_foreseen_and_left_as_it_is(limit: str) -> None:
    sessions = Sessions()
    sessions.open(session(1))
    assert sessions.foresee(RequestId(1, 1)) is None
    requests = sessions.requests(1)
    value = b"x" * (RESULTS_SIZE_BYTES_MAX // 2 if limit == "size" else 1)
    last = 2 if limit == "size" else RESULTS_MAX
    for sequence in range(1, last + 1):
        assert sessions.foresee(RequestId(1, sequence)) is None
        requests.keep(sequence, 2, PutResult(b"a", KeyValue(b"a", value, 2, 2, 1, 0)))
    before = (requests.floor, dict(requests.results), requests.size_bytes)
    assert refused(sessions.foresee(RequestId(1, last + 1))) is Code.REQUEST_WINDOW
    assert refused(sessions.foresee(RequestId(1, last + 1, 1))) is Code.REQUEST_WINDOW
    # One that is kept, one that makes room by what it acknowledges, one that is too late, one of another session.
    assert sessions.foresee(RequestId(1, last)) is None
    assert sessions.foresee(RequestId(1, last + 1, 2)) is None
    assert sessions.foresee(RequestId(1, 1, 2)) is None
    assert sessions.foresee(RequestId(2, last + 1)) is None
    assert (requests.floor, requests.results, requests.size_bytes) == before


def test_requests_end_with_their_session() -> None:
    sessions = Sessions()
    sessions.open(session(1))
    sessions.requests(1).keep(1, 1, Done())
    sessions.end(1)
    sessions.open(session(1))
    assert sessions.requests(1).admit(RequestId(1, 1)) is None


def test_hold_is_left_alone() -> None:
    sessions = Sessions()
    for id in (2, 1):
        sessions.open(session(id))
        sessions.requests(id).keep(1, 1, Done())
    first = sessions.hold(1)
    sessions.requests(1).admit(RequestId(1, 9, 9))
    second = sessions.hold(1)
    sessions.requests(1).keep(9, 9, Done())
    sessions.end(2)
    sessions.open(session(3))
    for held, floor, results in ((first, 0, [1]), (second, 9, [])):
        pages = list(held.sessions())
        assert [entry for page in pages for entry in page] == [(session(1), floor), (session(2), 0)]
        kept = dict(entry for page in held.requests() for entry in page)
        assert list(kept) == [1, 2]
        assert (kept[1].floor, list(kept[1].results)) == (floor, results)
        assert bool(kept[1].size_bytes) is bool(results)
        assert list(kept[2].results) == [1]
        held.release()
    assert (sessions.requests(1).floor, list(sessions.requests(1).results)) == (9, [9])


def test_requests_are_copied_once_for_a_hold() -> None:
    sessions = Sessions()
    sessions.open(session(1))
    before = sessions.requests(1)
    sessions.hold(1)
    after = sessions.requests(1)
    assert after is not before
    assert sessions.requests(1) is after
