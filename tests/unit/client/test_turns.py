from __future__ import annotations

import pytest

from coordinator_client import (
    Event,
    EventBatch,
    EventType,
    InvalidArgument,
    KeyValue,
    Prefix,
    turns,
)
from coordinator_client.turns import Exclusive, LeaderTable, Permits, Shared

PREFIX = b"/locks/a/"


def kv(name: str, revision: int, value: bytes = b"") -> KeyValue:
    return KeyValue(PREFIX + name.encode(), value, revision, revision, 1)


@pytest.mark.parametrize("name", ["a", "A-1_x.y:z", "_", "9", "x" * 128])
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    assert turns.prefix_of(turns.LOCKS, name) == f"/locks/{name}/".encode()


@pytest.mark.parametrize("name", ["", "a/b", "-a", ".", "a b", "é", "x" * 129, "a\n", None, 1])
def test_a_bad_name_is_named(name: str) -> None:
    with pytest.raises(InvalidArgument, match="name is"):
        turns.prefix_of(turns.LOCKS, name)


def test_a_key_is_nobody_elses() -> None:
    keys = {turns.make_key(PREFIX, Exclusive()) for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith(b"/locks/a/write-") for key in keys)


def test_the_first_one_waits_for_nobody() -> None:
    for rule in (Exclusive(), Shared(), Permits(1), Permits(3)):
        assert rule.wait_for(PREFIX, []) is None


def test_an_exclusive_one_waits_for_its_predecessor_alone() -> None:
    wait = Exclusive().wait_for(PREFIX, [kv("write-z", 3), kv("read-a", 5)])
    assert wait is not None
    assert (wait.key, wait.prefix, wait.keys, wait.rest) == (
        PREFIX + b"read-a",
        False,
        frozenset([PREFIX + b"read-a"]),
        0,
    )


def test_one_condition_tells_an_exclusive_one_that_it_is_its_turn() -> None:
    assert Exclusive().turn(PREFIX, 7) == (Prefix(PREFIX).create_revision >= 7)
    assert Shared().turn(PREFIX, 7) is None and Permits(2).turn(PREFIX, 7) is None


def test_a_reader_waits_for_the_last_writer() -> None:
    ahead = [kv("read-1", 1), kv("write-2", 2), kv("write-3", 3), kv("read-4", 4)]
    wait = Shared().wait_for(PREFIX, ahead)
    assert wait is not None and wait.key == PREFIX + b"write-3"
    assert Shared().wait_for(PREFIX, [kv("read-1", 1), kv("read-2", 2)]) is None


def test_a_permit_is_had_when_few_are_ahead() -> None:
    ahead = [kv("2-a", 1), kv("2-b", 2), kv("2-c", 3)]
    assert Permits(2).wait_for(PREFIX, ahead[:1]) is None
    wait = Permits(2).wait_for(PREFIX, ahead)
    assert wait is not None
    assert (wait.key, wait.prefix, wait.rest) == (PREFIX, True, 1)
    assert wait.keys == {each.key for each in ahead}


def test_all_must_speak_of_the_same_number_of_permits() -> None:
    with pytest.raises(InvalidArgument, match="permits is 3, but another program says 2"):
        Permits(3).wait_for(PREFIX, [kv("2-a", 1)])


@pytest.mark.parametrize("permits", [0, -1, 1_000_001, True, "2", 1.5])
def test_permits_are_a_number(permits: int) -> None:
    with pytest.raises(InvalidArgument, match="permits is"):
        turns.check_permits(permits)


def test_who_created_its_key_first_leads() -> None:
    assert turns.leader_of([]) is None
    leader = turns.leader_of([kv("candidate-a", 7), kv("candidate-b", 4, b"me")])
    assert leader is not None
    assert (leader.key, leader.text, leader.fence) == (PREFIX + b"candidate-b", "me", 4)


def test_a_table_tells_when_the_leader_changes() -> None:
    def put(name: str, revision: int, value: bytes = b"") -> EventBatch:
        return EventBatch(revision, (Event(EventType.PUT, kv(name, revision, value)),))

    def delete(name: str, revision: int) -> EventBatch:
        return EventBatch(revision, (Event(EventType.DELETE, kv(name, revision)),))

    def leads() -> int | None:
        return None if table.leader is None else table.leader.fence

    table = LeaderTable()
    assert not table.apply(EventBatch(1, snapshot=True))
    assert table.apply(put("a", 2)) and leads() == 2
    assert not table.apply(put("b", 3))
    assert table.apply(delete("a", 4)) and leads() == 3
    assert not table.apply(delete("a", 5))
    assert table.apply(delete("b", 6)) and leads() is None
    # After compaction another snapshot comes; what it lacks is gone.
    assert table.apply(put("c", 7)) and leads() == 7
    assert table.apply(EventBatch(9, snapshot=True, kvs=(kv("d", 8),))) and leads() == 8
    said = KeyValue(PREFIX + b"d", b"news", 8, 10, 2)
    assert table.apply(EventBatch(10, (Event(EventType.PUT, said),)))
    assert table.leader is not None and table.leader.value == b"news"
