from __future__ import annotations

import json
import random

import pytest

from coordinator_client import (
    Cause,
    Change,
    ChangeType,
    Event,
    EventBatch,
    EventType,
    Instance,
    InstanceState,
    KeyValue,
)
from coordinator_client.instances import definition_key, state_key
from coordinator_client.views import ChangeBuffer, ServiceTable, read_instances, usable


def instance(id: str, port: int = 80) -> Instance:
    return Instance("pay", id, "127.0.0.1", port)


def definition(id: str, created: int, port: int = 80, modified: int = 0) -> KeyValue:
    value = instance(id, port).to_json()
    return KeyValue(definition_key("pay", id).encode(), value, created, modified or created, 1, 9)


def state(id: str, status: str) -> KeyValue:
    return KeyValue(state_key("pay", id).encode(), InstanceState(status).to_json(), 1, 1, 1, 9)


def put(kv: KeyValue) -> Event:
    return Event(EventType.PUT, kv)


def delete(key: str, cause: Cause = Cause.SESSION_EXPIRED) -> Event:
    return Event(EventType.DELETE, KeyValue(key.encode(), b"", 0, 9, 0), cause=cause)


def brief(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.type.value, change.instance.id) for change in changes]


def test_instances_are_in_order_of_registration_whatever_the_order_of_keys() -> None:
    kvs = [definition("a", 30), definition("b", 10), definition("c", 20), definition("d", 10)]
    for _ in range(5):
        random.shuffle(kvs)
        assert [i.id for i in read_instances("pay", kvs)] == ["b", "d", "c", "a"]


def test_a_revision_is_one_step() -> None:
    table = ServiceTable("pay")
    assert table.apply(EventBatch(5, snapshot=True, kvs=(definition("a", 4),)))[0].revision == 5
    changes = table.apply(EventBatch(6, (put(definition("b", 6)), put(state("b", "warning")))))
    assert brief(changes) == [("added", "b")]
    assert changes[0].instance.state.status == "warning"
    gone = (delete(definition_key("pay", "b")), delete(state_key("pay", "b")))
    changes = table.apply(EventBatch(7, gone))
    assert brief(changes) == [("removed", "b")]
    assert (changes[0].cause, changes[0].revision) == (Cause.SESSION_EXPIRED, 7)
    assert [i.id for i in table.instances] == ["a"]


def test_definition_and_state_are_merged() -> None:
    table = ServiceTable("pay")
    assert table.apply(EventBatch(1, (put(state("a", "critical")),))) == []
    assert not table.instances
    assert brief(table.apply(EventBatch(2, (put(definition("a", 2)),)))) == [("added", "a")]
    assert table.instances[0].state.status == "critical"
    assert brief(table.apply(EventBatch(3, (put(state("a", "passing")),)))) == [("changed", "a")]
    assert table.apply(EventBatch(4, (put(state("a", "passing")),))) == []
    # Without a state key an instance is passing.
    table.apply(EventBatch(5, (put(state("a", "critical")),)))
    assert brief(table.apply(EventBatch(6, (delete(state_key("pay", "a")),)))) == [("changed", "a")]
    assert table.instances[0].passing


def test_a_second_snapshot_says_what_was_missed() -> None:
    table = ServiceTable("pay")
    table.apply(EventBatch(5, snapshot=True, kvs=(definition("a", 1), definition("b", 2))))
    later = (definition("b", 2, port=81, modified=8), definition("c", 9))
    changes = table.apply(EventBatch(9, snapshot=True, kvs=later))
    assert brief(changes) == [("removed", "a"), ("changed", "b"), ("added", "c")]
    assert changes[0].cause is Cause.UNSPECIFIED


def test_a_view_of_the_usable_shows_what_the_guard_keeps_only_when_nothing_else_is_left() -> None:
    table = ServiceTable("pay", usable_only=True)
    kept = KeyValue(state_key("pay", "b").encode(), b'{"state":"critical","guarded":true}', 1, 1, 1)
    kvs = (definition("a", 1), definition("b", 2), kept, definition("c", 3), state("c", "critical"))
    assert brief(table.apply(EventBatch(5, snapshot=True, kvs=kvs))) == [("added", "a")]
    changes = table.apply(EventBatch(6, (put(state("a", "draining")),)))
    assert brief(changes) == [("removed", "a"), ("added", "b")]
    assert [i.id for i in table.instances] == ["b"] and table.instances[0].spare
    assert brief(table.apply(EventBatch(7, (put(state("c", "passing")),)))) == [
        ("removed", "b"), ("added", "c"),
    ]  # fmt: skip
    gone = (delete(definition_key("pay", "c")), delete(definition_key("pay", "b")))
    assert brief(table.apply(EventBatch(8, gone))) == [("removed", "c")]
    assert table.instances == ()


def test_proxies_hide_what_happens_to_instances() -> None:
    key = b"/services/pay/settings"
    proxies = KeyValue(key, b'{"proxies":[{"id":"a","address":"e","port":1}]}', 4, 4, 1)
    table = ServiceTable("pay")
    kvs = (definition("a", 1), definition("b", 2))
    table.apply(EventBatch(3, snapshot=True, kvs=kvs))
    assert brief(table.apply(EventBatch(4, (put(proxies),)))) == [
        ("removed", "b"),
        ("changed", "a"),
    ]
    assert table.apply(EventBatch(5, (delete(definition_key("pay", "b")),))) == []
    back = table.apply(EventBatch(6, (delete("/services/pay/settings"),)))
    assert brief(back) == [("changed", "a")]
    table.apply(EventBatch(7, (put(proxies),)))
    assert brief(table.apply(EventBatch(9, snapshot=True, kvs=kvs))) == [
        ("changed", "a"), ("added", "b"),
    ]  # fmt: skip


def test_what_is_no_instance_does_not_count() -> None:
    broken = KeyValue(b"/services/pay/instances/x", b"?", 1, 1, 1)
    other = KeyValue(b"/services/pay/notes", b"?", 1, 1, 1)
    table = ServiceTable("pay")
    assert table.apply(EventBatch(1, snapshot=True, kvs=(broken, other))) == []
    table.apply(EventBatch(2, (put(definition("a", 2)),)))
    # A definition that breaks takes its instance away.
    damaged = KeyValue(definition_key("pay", "a").encode(), b"?", 2, 3, 2)
    assert brief(table.apply(EventBatch(3, (put(damaged),)))) == [("removed", "a")]
    assert table.apply(EventBatch(4, (delete("/services/pay/notes"),))) == []


def merged(*kinds: str) -> list[str]:
    buffer = ChangeBuffer()
    for kind in kinds:
        buffer.add(Change(ChangeType(kind), instance("a")))
    found = []
    while (change := buffer.take()) is not None:
        found.append(change.type.value)
    return found


def test_a_reader_that_falls_behind_gets_what_changes_come_to() -> None:
    assert merged("added", "changed") == ["added"]
    assert merged("added", "removed") == []
    assert merged("removed", "added") == ["changed"]
    assert merged("changed", "changed") == ["changed"]
    assert merged("changed", "removed") == ["removed"]
    assert merged("added", "removed", "added") == ["added"]


def test_a_buffer_is_bounded_by_the_instances() -> None:
    buffer = ChangeBuffer([instance("a")])
    for number in range(1000):
        buffer.add(Change(ChangeType.ADDED, instance(f"n{number}")))
        buffer.add(Change(ChangeType.REMOVED, instance(f"n{number}")))
    first = buffer.take()
    assert first is not None
    assert (first.type, first.instance.id) == (ChangeType.ADDED, "a")
    assert buffer.take() is None


@pytest.mark.parametrize("usable_only", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_shown_is_what_the_keys_say_and_what_the_changes_come_to(
    seed: int, usable_only: bool
) -> None:
    chance = random.Random(seed)
    table = ServiceTable("pay", usable_only=usable_only)
    kvs: dict[bytes, KeyValue] = {}
    told: dict[str, Instance] = {}
    words = ["passing", "critical", "critical"]
    for revision in range(1, 120):
        key = (
            f"/services/pay/{chance.choice(['instances', 'state'])}/i{chance.randrange(4)}".encode()
        )
        if chance.random() < 0.02:
            key = b"/services/pay/settings"
        old = kvs.pop(key, None)
        if old is not None and chance.random() < 0.3:
            gone = KeyValue(key, b"", 0, revision, 0, 0)
            event = Event(EventType.DELETE, gone)
        else:
            value: dict[str, object] = {"state": chance.choice(words), "guarded": revision % 2 == 0}
            if b"instances" in key:
                value = {"address": "10.0.0.1", "port": 1 + revision % 3}
            elif b"settings" in key:
                value = {"proxies": [{"address": "10.0.0.9", "port": 443}]}
            created = revision if old is None else old.create_revision
            kvs[key] = KeyValue(key, json.dumps(value).encode(), created, revision, 1, 7)
            event = Event(EventType.PUT, kvs[key])
        for change in table.apply(EventBatch(revision, (event,))):
            if change.type is ChangeType.REMOVED:
                del told[change.instance.id]
            else:
                assert (change.instance.id in told) == (change.type is ChangeType.CHANGED)
                told[change.instance.id] = change.instance
        fresh = ServiceTable("pay", usable_only=usable_only)
        fresh.apply(EventBatch(revision, snapshot=True, kvs=tuple(kvs.values())))
        assert table.instances == fresh.instances
        assert {i.id: i for i in table.instances} == told
        every = read_instances("pay", kvs.values())
        assert table.instances == (usable(every) if usable_only else every)
