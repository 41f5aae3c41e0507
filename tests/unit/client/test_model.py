from __future__ import annotations

import dataclasses

import pytest

from coordinator_client import Cause, Event, EventType, KeyValue


def test_key_value_as_text() -> None:
    kv = KeyValue("/ä".encode(), "grün".encode(), 1, 2, 3)
    assert (kv.text, kv.name) == ("grün", "/ä")
    assert KeyValue(b"/\xff", b"", 1, 1, 1).name == r"/\xff"
    with pytest.raises(UnicodeDecodeError):
        _ = KeyValue(b"/a", b"\xff", 1, 1, 1).text


def test_values_can_not_be_changed() -> None:
    kv = KeyValue(b"/a", b"", 1, 1, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        kv.version = 2  # type: ignore[misc]  # the assertion is that this fails


def test_an_event_names_its_key() -> None:
    kv = KeyValue(b"/a", b"", 1, 1, 1)
    assert Event(EventType.PUT, kv).is_put
    gone = Event(EventType.DELETE, kv, cause=Cause.SESSION_EXPIRED)
    assert (gone.key, gone.is_put) == (b"/a", False)
