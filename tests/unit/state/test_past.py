from __future__ import annotations

import pytest

from coordinator.state.keyspace import Keyspace
from coordinator.state.model import KeyValue
from coordinator.state.past import Past
from tests.unit.state.test_keyspace import change


def test_versions_and_create_revisions() -> None:
    example = Keyspace()
    change(example, (b"a", b"1"))
    change(example, (b"a", b"2"))
    change(example, (b"a", None))
    change(example, (b"a", b"3"), (b"b", b"1"))
    past = example.at(3)
    assert isinstance(past, Past)
    assert past.get(b"a") == KeyValue(b"a", b"2", 2, 3, 2, 0)
    assert example.get(b"a") == KeyValue(b"a", b"3", 5, 5, 1, 0)
    assert past.get(b"b") is None


def test_past_is_counted_the_same_both_ways() -> None:
    keyspace = Keyspace()
    for number in range(50):
        change(keyspace, (b"%02d" % (number * 7 % 50), b""))
    for number in range(0, 50, 3):
        change(keyspace, (b"%02d" % number, None))
    for revision in range(1, keyspace.revision):
        view = keyspace.at(revision)
        assert isinstance(view, Past)
        for low, high in ((b"", None), (b"1", b"3"), (b"48", None), (b"3", b"1")):
            expected = len(list(view.scan(low, high))) if high is None or low < high else 0
            assert view.count(low, high) == expected


def test_counting_in_the_past_leaves_large_revisions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few keys are looked at one by one, however many others changed since."""
    keyspace = Keyspace()
    change(keyspace, (b"a", b""), (b"b", b""))
    change(keyspace, *((b"x%d" % number, b"") for number in range(1000)))
    past = keyspace.at(2)
    assert isinstance(past, Past)
    seen: list[bytes] = []
    get = Past.get

    def watched(self: Past, key: bytes) -> KeyValue | None:
        seen.append(key)
        return get(self, key)

    monkeypatch.setattr(Past, "get", watched)
    assert past.count(b"a", b"c") == 2
    assert seen == [b"a", b"b"]
