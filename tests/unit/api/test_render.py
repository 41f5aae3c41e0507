"""Results become messages."""

from __future__ import annotations

import pytest

from coordinator.api import render
from coordinator.errors import OutcomeUnknown, Status
from coordinator.state.model import Cause, Event, KeyValue, Session
from coordinator.state.results import Code, Failure
from coordinator_client.pb import common_pb2


def kv(key: bytes, size: int = 1) -> KeyValue:
    return KeyValue(key, b"x" * size, 1, 2, 3, 4)


@pytest.mark.parametrize("code", list(Code))
def test_every_failure_has_a_status(code: Code) -> None:
    error = render.error(Failure(code, "why", 7))
    assert error.message == "why"
    if code is Code.REQUEST_FORGOTTEN:
        assert isinstance(error, OutcomeUnknown)
        assert error.details == {"session": "7"}
    else:
        assert error.reason == code.name and isinstance(error.status, Status)


def test_causes_have_the_numbers_of_the_api() -> None:
    for cause in Cause:
        name = "CAUSE_UNSPECIFIED" if cause is Cause.NONE else f"CAUSE_{cause.name}"
        assert common_pb2.Cause.Value(name) == cause


def test_events_are_split_by_size_and_marked_partial() -> None:
    events = [Event(b"%d" % i, kv(b"%d" % i, 100), None) for i in range(10)]
    parts = render.event_batches(events, 2, False, 300)
    assert [p.partial for p in parts] == [True] * (len(parts) - 1) + [False]
    assert len(parts) > 2
    assert [e.kv.key for p in parts for e in p.events] == [e.key for e in events]


def test_a_delete_carries_key_revision_cause_and_what_was() -> None:
    event = Event(b"k", None, kv(b"k"), Cause.SESSION_EXPIRED)
    message = render.event(event, 9, True)
    assert message.type == common_pb2.Event.DELETE
    assert (message.kv.key, message.kv.mod_revision, message.kv.version) == (b"k", 9, 0)
    assert message.prev_kv.version == 3
    assert message.cause == common_pb2.CAUSE_SESSION_EXPIRED
    assert not render.event(event, 9, False).HasField("prev_kv")


def test_a_session_without_grace_has_none() -> None:
    assert not render.session(Session(1, 2, None, (), 3), 4).HasField("disconnect_grace_ms")
    record = render.session(Session(1, 2, 0, (("a", "b"),), 3), 4)
    assert record.HasField("disconnect_grace_ms") and record.metadata["a"] == "b"
    assert (record.id, record.ttl_ms, record.key_count, record.open_revision) == (1, 2, 4, 3)
