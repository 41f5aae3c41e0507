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


def numbering() -> Sessions:
    """The session 1 alone."""
    sessions = Sessions()
    sessions.open(session(1))
    return sessions


def of(sessions: Sessions, id: int = 1) -> Requests:
    return sessions.requests(id) or Requests()


def test_request_is_admitted_once() -> None:
    sessions = numbering()
    assert sessions.admit(RequestId(1, 1)) is None
    sessions.keep(1, 1, 7, Done())
    assert sessions.admit(RequestId(1, 1)) == (7, Done())
    assert sessions.admit(RequestId(1, 2)) is None


def test_acknowledged_results_are_forgotten() -> None:
    sessions = numbering()
    for sequence in (3, 1, 2, 900):
        sessions.keep(1, sequence, sequence, Done())
    assert sessions.admit(RequestId(1, 3, 3)) == (3, Done())
    assert sorted(of(sessions).results) == [3, 900]
    assert refused(sessions.admit(RequestId(1, 2, 0))) is Code.REQUEST_FORGOTTEN
    assert of(sessions).floor == 3
    assert refused(sessions.admit(RequestId(1, 3, 500))) is Code.REQUEST_FORGOTTEN
    assert sorted(of(sessions).results) == [900]
    assert sessions.admit(RequestId(1, 500, 0)) is None


def test_acknowledging_far_ahead_takes_no_time() -> None:
    sessions = numbering()
    sessions.keep(1, 1, 1, Done())
    assert sessions.admit(RequestId(1, 2**63, 2**63)) is None
    assert (of(sessions).floor, of(sessions).results) == (2**63, {})


def test_window_is_bounded() -> None:
    sessions = numbering()
    for sequence in range(1, RESULTS_MAX + 1):
        assert sessions.admit(RequestId(1, sequence)) is None
        sessions.keep(1, sequence, 1, Done())
    assert refused(sessions.admit(RequestId(1, RESULTS_MAX + 1))) is Code.REQUEST_WINDOW
    assert sessions.admit(RequestId(1, 5)) == (1, Done())
    assert sessions.admit(RequestId(1, RESULTS_MAX + 1, 2)) is None


def test_size_of_results_is_bounded() -> None:
    half = PutResult(b"a", KeyValue(b"a", b"x" * (RESULTS_SIZE_BYTES_MAX // 2), 2, 2, 1, 0))
    sessions = numbering()
    for sequence in (1, 2):
        assert sessions.admit(RequestId(1, sequence)) is None
        sessions.keep(1, sequence, 2, half)
    assert of(sessions).size_bytes > RESULTS_SIZE_BYTES_MAX
    assert refused(sessions.admit(RequestId(1, 3))) is Code.REQUEST_WINDOW
    assert sessions.admit(RequestId(1, 2)) == (2, half)
    assert sessions.admit(RequestId(1, 3, 2)) is None


def test_size_of_results_is_counted_down() -> None:
    sessions = numbering()
    for sequence in (1, 2, 3, 4, 900):
        sessions.keep(1, sequence, 1, Done())
    assert of(sessions).size_bytes % 5 == 0 < of(sessions).size_bytes
    one = of(sessions).size_bytes // 5
    for acknowledged_below, left in ((3, 3), (4, 2), (500, 1), (901, 0)):
        sessions.admit(RequestId(1, 901, acknowledged_below))
        assert (len(of(sessions).results), of(sessions).size_bytes) == (left, left * one)


@pytest.mark.parametrize("limit", ["count", "size"])
def test_a_full_window_is_foreseen_and_left_as_it_is(limit: str) -> None:
    sessions = Sessions()
    sessions.open(session(1))
    assert sessions.foresee(RequestId(1, 1)) is None
    value = b"x" * (RESULTS_SIZE_BYTES_MAX // 2 if limit == "size" else 1)
    last = 2 if limit == "size" else RESULTS_MAX
    for sequence in range(1, last + 1):
        assert sessions.foresee(RequestId(1, sequence)) is None
        sessions.keep(1, sequence, 2, PutResult(b"a", KeyValue(b"a", value, 2, 2, 1, 0)))
    requests = sessions.requests(1)
    assert requests is not None
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
    sessions = numbering()
    sessions.keep(1, 1, 1, Done())
    sessions.end(1)
    sessions.open(session(1))
    assert sessions.admit(RequestId(1, 1)) is None


def test_hold_is_left_alone() -> None:
    sessions = Sessions()
    for id in (2, 1):
        sessions.open(session(id))
        sessions.keep(id, 1, 1, Done())
    first = sessions.hold(1)
    sessions.admit(RequestId(1, 9, 9))
    second = sessions.hold(1)
    sessions.keep(1, 9, 9, Done())
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
    assert (of(sessions).floor, list(of(sessions).results)) == (9, [9])


def test_requests_are_copied_once_for_a_hold() -> None:
    sessions = numbering()
    sessions.keep(1, 1, 1, Done())
    before = of(sessions)
    sessions.hold(1)
    sessions.keep(1, 2, 1, Done())
    after = of(sessions)
    assert after is not before and list(before.results) == [1]
    sessions.keep(1, 3, 1, Done())
    assert of(sessions) is after


def tally(sessions: Sessions) -> tuple[int, int, int]:
    return (sessions.hash_of_sessions, sessions.hash_of_results, sessions.size_bytes)


def test_tally_follows_from_the_content() -> None:
    sessions, seen = Sessions(), [(0, 0, 0)]

    def new() -> bool:
        seen.append(tally(sessions))
        return seen[-1] not in seen[:-1]

    sessions.open(session(1))
    sessions.open(session(2))
    assert new()
    sessions.keep(1, 1, 7, Done())
    assert new()
    sessions.keep(1, 2, 7, Done())
    assert new()
    sessions.admit(RequestId(1, 3, 3))
    assert new(), "what was acknowledged is state"
    assert seen[-1][2] == seen[1][2]
    sessions.end(1)
    sessions.open(session(1))
    assert tally(sessions) == seen[1]
    sessions.end(1)
    sessions.end(2)
    assert tally(sessions) == seen[0]


def test_hash_tells_results_apart() -> None:
    hashes = set()
    for id, sequence, revision, result in (
        (1, 1, 7, Done()),
        (2, 1, 7, Done()),
        (1, 2, 7, Done()),
        (1, 1, 8, Done()),
        (1, 1, 7, PutResult(b"")),
    ):
        sessions = numbering()
        sessions.open(session(2))
        sessions.keep(id, sequence, revision, result)
        hashes.add(sessions.hash_of_results)
    assert len(hashes) == 5
