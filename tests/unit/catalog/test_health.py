"""An instance's state is that of its state key and its checks, by one rule here and in the client library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.catalog.health import CheckResult, counts, parse_result, worst
from coordinator.catalog.index import Index
from coordinator.catalog.instances import STATUSES, Instance, InstanceState
from coordinator.state.model import KeyValue
from coordinator_client import EventBatch
from coordinator_client import Instance as ClientInstance
from coordinator_client import KeyValue as ClientKeyValue
from coordinator_client.views import ServiceTable

DEFINITION = {"address": "10.0.0.1", "port": 1}
CHECKS: list[Any] = [
    {"kind": "http", "url": "/"}, {"kind": "ttl", "ttl_ms": 500}, {"kind": "tcp", "initial": "passing"},
    {"kind": "grpc", "initial": "critical"}, {"initial": "splendid"}, {"initial": 3, "kind": []}, {},
]  # fmt: skip
BROKEN: list[Any] = [None, [], 0, "", "x", {"a b": {}}, {"x": 1}, {str(n): {} for n in range(33)}]
RESULTS = [
    b'{"state": "passing"}', b'{"state": "warning", "note": "slow"}', b'{"state": "critical", "note": "no"}',
    b'{"state": "unknown"}', b'{"state": ["passing"]}', b'{"note": 3, "state": "critical"}', b"junk", b"[]",
]  # fmt: skip
STATES = [
    json.dumps({"state": word, "note": "own", "guarded": guarded}).encode()
    for word in sorted(STATUSES)
    for guarded in (True, False)
]

Step = tuple[bytes, bytes | None, int]


def definitions() -> st.SearchStrategy[bytes]:
    fine = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(CHECKS))
    checks: st.SearchStrategy[Any] = fine | st.sampled_from(BROKEN)
    return checks.map(lambda found: json.dumps(DEFINITION | {"checks": found}).encode())


def steps() -> st.SearchStrategy[list[Step]]:
    ids = st.sampled_from(["1", "2"])
    key_and_value = st.one_of(
        st.tuples(ids.map(lambda id: f"/services/s/instances/{id}"), definitions()),
        st.tuples(ids.map(lambda id: f"/services/s/state/{id}"), st.sampled_from(STATES)),
        st.tuples(
            st.tuples(ids, st.sampled_from(["a", "b", "c", "d/e", ""])).map(
                lambda pair: f"/services/s/checks/{pair[0]}/{pair[1]}"
            ),
            st.sampled_from(RESULTS),
        ),
    )
    return st.lists(
        st.tuples(key_and_value, st.booleans(), st.sampled_from([0, 7, 8])).map(
            lambda step: (step[0][0].encode(), step[0][1] if step[1] else None, step[2])
        ),
        max_size=25,
    )


def shown(instance: Instance | ClientInstance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "state": (instance.state.status, instance.state.note, instance.state.guarded),
        "healthy": instance.healthy,
        "declared": dict(instance.check_definitions),
        "checks": {
            name: (
                result.status,
                result.note,
            )
            for name, result in instance.checks.items()
        },
    }


@given(steps())
def test_the_server_and_the_client_library_come_to_the_same(steps: list[Step]) -> None:
    index, table = Index(), ServiceTable("s")
    keys: dict[bytes, KeyValue] = {}
    for revision, (key, value, session) in enumerate(steps, 2):
        if value is None:
            keys.pop(key, None)
            index.delete(key, revision)
        else:
            created = keys[key].create_revision if key in keys else revision
            keys[key] = KeyValue(key, value, created, revision, 1, session)
            index.put(keys[key], revision)
    kvs = (
        ClientKeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, 1, kv.session)
        for kv in keys.values()
    )
    table.apply(EventBatch(99, snapshot=True, kvs=tuple(kvs)))
    assert [shown(i) for i in index.service("s")] == [shown(i) for i in table.instances]
    fresh = Index()
    for kv in keys.values():
        fresh.put(kv, 99)
    assert fresh.service("s") == index.service("s")


@pytest.mark.parametrize(
    ("own", "checks", "expected"),
    [
        ("passing", {}, ("passing", "own")),
        ("passing", {"a": "passing"}, ("passing", "own")),
        ("passing", {"a": "warning", "b": "passing"}, ("warning", "a: why")),
        ("warning", {"a": "warning"}, ("warning", "own")),
        ("passing", {"b": "starting", "a": "warning"}, ("starting", "b: why")),
        ("passing", {"b": "critical", "a": "critical", "c": "starting"}, ("critical", "a: why")),
        ("critical", {"a": "passing"}, ("critical", "own")),
        *(
            (word, {"a": "critical"}, (word, "own"))
            for word in ("maintenance", "draining", "starting", "unknown")
        ),
    ],
)
def test_the_worst_counts_unless_somebody_said_otherwise(
    own: str, checks: dict[str, str], expected: tuple[str, str]
) -> None:
    states = {name: InstanceState(status, "why") for name, status in checks.items()}
    found = worst(InstanceState(own, "own"), states)
    assert (found.status, found.note) == expected


def test_a_result_of_another_session_or_of_an_instance_before_does_not_count() -> None:
    index = Index()
    value = json.dumps(DEFINITION | {"checks": {"a": {"kind": "tcp"}}}).encode()
    index.put(KeyValue(b"/services/s/instances/1", value, 5, 6, 1, 7), 6)
    instance = index.instance("s", "1")
    assert instance is not None and instance.state.status == "starting"
    passing = InstanceState()
    for session, revision, expected in ((7, 6, True), (8, 6, False), (7, 4, False), (7, 5, True)):
        result = CheckResult(passing, session, revision)
        assert counts(instance.check_definitions["a"], instance, result) == expected


def test_a_long_note_is_cut() -> None:
    kv = KeyValue(b"k", b'{"state": "critical", "note": "%s"}' % (b"x" * 5000), 1, 1, 1, 0)
    assert len(worst(InstanceState(), {"a": parse_result(kv).state}).note) == 4096
