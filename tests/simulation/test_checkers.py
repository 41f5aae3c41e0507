"""The checkers: they pass what is right, and flag what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coordinator.state.model import Batch, Cause, Event, KeyValue
from tests.simulation.checkers import (
    check_counters,
    check_heirs,
    check_keys_of_sessions,
    check_order,
    check_reads,
    check_sessions,
    check_watches,
    check_writes,
)
from tests.simulation.history import (
    Fate,
    ReadRecord,
    SessionRecord,
    SessionStory,
    Truth,
    WatchRecord,
    WriteRecord,
)


def kv(key: bytes, value: bytes, revision: int, session: int = 0) -> KeyValue:
    return KeyValue(key, value, revision, revision, 1, session)


def put(key: bytes, value: bytes, revision: int, session: int = 0) -> Batch:
    return Batch(revision, (Event(key, kv(key, value, revision, session), None),))


def truth(*batches: Batch, **sessions: SessionStory) -> Truth:
    return Truth(list(batches), {int(name[1:]): story for name, story in sessions.items()})


TRUTH = truth(put(b"r/1", b"a", 2), put(b"r/2", b"b", 3), put(b"r/1", b"c", 4))


def written(value: bytes, revision: int, begun: float, ended: float) -> WriteRecord:
    return WriteRecord(b"r/1", value, begun, ended, Fate.APPLIED, revision, 1)


def read(revision: int, begun: float, ended: float, *kvs: KeyValue) -> ReadRecord:
    return ReadRecord(1, 1, False, 0, begun, ended, revision, b"r/", kvs)


# Writes.


def test_acknowledged_writes_that_stand_are_fine() -> None:
    assert not check_writes([written(b"a", 2, 1, 2), written(b"c", 4, 3, 4)], TRUTH)


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (written(b"lost", 2, 1, 2), "lost"),
        (written(b"a", 3, 1, 2), "acknowledged at 3"),
        (replace(written(b"a", 2, 1, 2), key=b"r/9"), "acknowledged at 2"),
        (replace(written(b"a", 2, 1, 2), fate=Fate.REFUSED), "was refused and stands"),
        (replace(written(b"a", 2, 1, 2), fate=Fate.UNMET), "was unmet and stands"),
        (replace(written(b"a", 9, 1, 2), value=None), "is lost"),
    ],
)
def test_a_write_that_is_not_where_it_was_said_to_be(write: WriteRecord, complaint: str) -> None:
    assert complaint in check_writes([write], TRUTH)[0]


def test_a_write_that_was_applied_twice() -> None:
    twice = truth(put(b"r/1", b"a", 2), put(b"r/1", b"a", 3))
    unknown = WriteRecord(b"r/1", b"a", 1)
    assert "applied 2 times" in check_writes([unknown], twice)[0]


def test_writes_nobody_knows_about_may_be_there_or_not() -> None:
    assert not check_writes([WriteRecord(b"r/1", b"a", 1), WriteRecord(b"r/1", b"z", 1)], TRUTH)


def test_a_counter_that_lost_an_update() -> None:
    assert not check_counters(truth(put(b"c/1", b"1 x", 2), put(b"c/1", b"2 y", 3)))
    assert check_counters(truth(put(b"c/1", b"1 x", 2), put(b"c/1", b"1 y", 3)))


# Order.


def test_operations_at_the_same_time_may_come_in_any_order() -> None:
    assert not check_order([written(b"a", 3, 1, 5), written(b"b", 2, 2, 6)], [read(2, 2, 4)])


def test_a_write_that_is_older_than_one_before_it() -> None:
    assert check_order([written(b"a", 3, 1, 2), written(b"b", 2, 3, 4)], [])


def test_a_write_at_a_revision_that_was_read_before_it_began() -> None:
    assert check_order([written(b"a", 3, 3, 4)], [read(3, 1, 2)])


def test_a_stale_read() -> None:
    assert check_order([written(b"a", 3, 1, 2)], [read(2, 3, 4)])
    assert check_order([], [read(3, 1, 2), read(2, 3, 4)])
    local = replace(read(2, 3, 4), local=True)
    assert not check_order([written(b"a", 3, 1, 2)], [local])


# Reads.


def test_reads_that_show_their_revision_are_fine() -> None:
    assert not check_reads(
        [
            read(3, 1, 2, kv(b"r/1", b"a", 2), kv(b"r/2", b"b", 3)),
            read(4, 2, 3, kv(b"r/1", b"c", 4), kv(b"r/2", b"b", 3)),
        ],
        TRUTH,
    )


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (read(3, 1, 2, kv(b"r/1", b"c", 4), kv(b"r/2", b"b", 3)), "saw"),
        (read(3, 1, 2, kv(b"r/1", b"a", 2)), "saw"),
        (read(9, 1, 2), "does not exist"),
        (replace(read(2, 1, 2, kv(b"r/1", b"a", 2)), min_revision=3), "was to be at 3"),
    ],
)
def test_a_read_that_shows_something_else(wrong: ReadRecord, complaint: str) -> None:
    assert complaint in check_reads([wrong], TRUTH)[0]


def test_a_process_that_goes_back() -> None:
    newer = read(3, 1, 2, kv(b"r/1", b"a", 2), kv(b"r/2", b"b", 3))
    older = replace(read(2, 3, 4, kv(b"r/1", b"a", 2)), local=True)
    assert "went back" in check_reads([newer, older], TRUTH)[0]
    assert not check_reads([newer, replace(older, run=2)], TRUTH)


# Watches.


def watch(*told: Batch) -> WatchRecord:
    return WatchRecord(b"r/1", 1, [(batch.revision, batch.events) for batch in told])


FIRST, SECOND, THIRD = TRUTH.batches


@pytest.mark.parametrize("complete", [True, False])
def test_a_watch_that_tells_all_is_fine(complete: bool) -> None:
    assert not check_watches([watch(FIRST, THIRD)], TRUTH, complete=complete)


@pytest.mark.parametrize(
    "wrong",
    [
        watch(THIRD),
        watch(THIRD, FIRST),
        watch(FIRST, FIRST, THIRD),
        watch(FIRST, SECOND, THIRD),
        watch(put(b"r/1", b"other", 2), THIRD),
    ],
    ids=["gap", "order", "twice", "foreign", "other"],
)
def test_a_watch_that_lies(wrong: WatchRecord) -> None:
    assert check_watches([wrong], TRUTH, complete=False)


def test_a_watch_that_is_behind() -> None:
    assert not check_watches([watch(FIRST)], TRUTH, complete=False)
    assert check_watches([watch(FIRST)], TRUTH, complete=True)


def test_a_watch_that_begins_with_a_snapshot() -> None:
    right = WatchRecord(b"r/", 4, [(4, THIRD.events)])
    right.snapshot = (3, (kv(b"r/1", b"a", 2), kv(b"r/2", b"b", 3)))
    assert not check_watches([right], TRUTH, complete=True)
    wrong = replace(right, snapshot=(3, (kv(b"r/1", b"a", 2),)))
    assert check_watches([wrong], TRUTH, complete=True)


# Sessions.


def session(**fields: Any) -> SessionRecord:
    record = SessionRecord(7, 2.0, 1.0, opened=True, confirmed_at=10.0, touched_at=10.0)
    return replace(record, **fields)


def complaints(record: SessionRecord, story: SessionStory | None, now: float = 20.0) -> list[str]:
    known = truth() if story is None else truth(s7=story)
    return check_sessions([record], known, now=now, calm_since=15.0, slack_s=1.0, drift=0.0)


def test_sessions_that_live_as_long_as_they_should_are_fine() -> None:
    assert not complaints(session(abandoned=True), SessionStory(1.0, 12.5, True))
    assert not complaints(session(), SessionStory(1.0))
    assert not complaints(session(closing=True), SessionStory(1.0, 10.5))
    assert not complaints(session(abandoned=True), SessionStory(1.0), now=17.5)
    assert not complaints(session(opened=False), None)


@pytest.mark.parametrize(
    ("record", "story", "complaint"),
    [
        (session(), SessionStory(1.0, 11.9, True), "expired at"),
        (session(abandoned=True), SessionStory(1.0), "lingers"),
        (session(), None, "is lost"),
        (session(), SessionStory(1.0, 11.0), "closed by nobody"),
        (session(gone_at=11.0), SessionStory(1.0), "said to be gone"),
        (session(gone_at=11.0), SessionStory(1.0, 12.5, True), "said to be gone"),
        (
            session(grace_s=0.5, broken_at=10.5),
            SessionStory(1.0, 10.9, True),
            "expired at",
        ),
    ],
)
def test_a_session_that_ends_early_or_lingers(
    record: SessionRecord, story: SessionStory | None, complaint: str
) -> None:
    assert complaint in complaints(record, story)[0]


def test_a_session_that_a_late_request_opened_once_more() -> None:
    first = SessionStory(1.0, 12.5, True)
    again = SessionStory(13.0, 15.5, True, (first,))
    gone = session(abandoned=True, gone_at=12.7)
    assert not complaints(gone, again)
    assert complaints(replace(gone, gone_at=12.4), again)
    assert complaints(gone, replace(again, earlier=(replace(first, ended_at=11.0),)))
    assert complaints(gone, replace(again, ended_at=None), now=19.0)
    assert not complaints(gone, replace(again, opened_at=18.0, ended_at=None), now=20.5)
    # The answer came when that life was over: it may have been about the next one.
    between = replace(gone, answered_at=12.0)
    assert not complaints(between, replace(again, earlier=(replace(first, ended_at=11.0),)))
    # Nobody knows which of its lives was confirmed last.
    late = replace(gone, confirmed_at=13.5)
    assert not complaints(late, replace(again, earlier=(replace(first, ended_at=11.0),)))


def test_a_broken_stream_shortens_a_session_to_its_grace() -> None:
    broken = session(grace_s=0.5, broken_at=10.5)
    assert not complaints(broken, SessionStory(1.0, 11.1, True))
    back_again = replace(broken, confirmed_at=10.6)
    assert complaints(back_again, SessionStory(1.0, 11.1, True))


def test_an_heir_that_lives_too_short_or_too_long() -> None:
    def complaints(story: SessionStory, now: float = 20.0, drift: float | None = 0.0) -> list[str]:
        return check_heirs(
            {7: 2.0}, truth(s7=story), now=now, calm_since=12.0, slack_s=1.0, drift=drift
        )

    assert not complaints(SessionStory(10.0, 12.0, True))
    assert "was to live to" in complaints(SessionStory(10.0, 11.9, True))[0]
    assert not complaints(SessionStory(10.0, 11.9, True), drift=0.05)
    assert not complaints(SessionStory(10.0, 11.0, True), drift=None)
    assert not complaints(SessionStory(10.0), now=15.0)
    assert "lingers" in complaints(SessionStory(10.0), now=15.1)[0]
    again = SessionStory(10.0, 12.0, True, (SessionStory(5.0, 7.0, True),))
    assert "twice" in complaints(again)[0]


def test_a_key_whose_session_is_over() -> None:
    held = put(b"e/1", b"x", 2, session=7)
    assert not check_keys_of_sessions(truth(held, s7=SessionStory(1.0)))
    assert check_keys_of_sessions(truth(held, s7=SessionStory(1.0, 2.0)))
    deleted = Batch(3, (Event(b"e/1", None, None, Cause.SESSION_EXPIRED),))
    assert not check_keys_of_sessions(truth(held, deleted, s7=SessionStory(1.0, 2.0)))
