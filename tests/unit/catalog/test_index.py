"""The index holds what a look at all keys would find, whatever came and went before."""

from __future__ import annotations

import gc
import time

from hypothesis import given
from hypothesis import strategies as st

from coordinator.catalog.index import Index
from coordinator.catalog.instances import (
    PASSING,
    Instance,
    pack_address,
    parse_instance,
    parse_state,
)
from coordinator.catalog.service_settings import parse_settings
from coordinator.state.model import KeyValue

NAMES = ["a", "b"]
IDS = ["1", "2", "3"]
KEYS = [
    f"/services/{s}/{kind}/{i}".encode()
    for s in NAMES
    for kind in ("instances", "state", "odd")
    for i in IDS
] + [f"/services/{s}/settings".encode() for s in NAMES]
VALUES = [
    b'{"address": "10.0.0.1", "port": 1}',
    b'{"address": "10.0.0.2", "port": 2}',
    b'{"address": "host", "port": 2}',
    b'{"state": "critical"}',
    b'{"proxies": [{"address": "10.0.0.3", "port": 3}, {"address": ""}]}',
    b'{"guard": {}}',
    b"junk",
]
ADDRESSES = [pack_address(f"10.0.0.{n}") for n in (1, 2, 3)]

Keys = dict[bytes, KeyValue]


def instances_in(keys: Keys, service: str) -> tuple[Instance, ...]:
    """What the page says, without any index."""
    found = []
    for id in IDS:
        kv = keys.get(f"/services/{service}/instances/{id}".encode())
        state = keys.get(f"/services/{service}/state/{id}".encode())
        if kv is not None:
            known = PASSING if state is None else parse_state(state.value)
            found.append(parse_instance(service, id, kv, known))
    return tuple(sorted(filter(None, found), key=lambda instance: instance.place))


def proxies_in(keys: Keys, service: str) -> tuple[Instance, ...]:
    kv = keys.get(f"/services/{service}/settings".encode())
    return () if kv is None else parse_settings(service, kv).proxies


def check(index: Index, keys: Keys) -> None:
    expected = {name: instances_in(keys, name) for name in NAMES}
    proxies = {name: proxies_in(keys, name) for name in NAMES}
    assert index.services() == tuple(n for n in NAMES if expected[n] or proxies[n])
    for name in NAMES:
        assert index.settings(name).proxies == proxies[name]
        assert index.endpoints(name) == (proxies[name] or expected[name])
        assert index.service(name) == expected[name]
        assert index.service(name) is index.service(name)
        assert (index.revision_of(name) > 0) == bool(expected[name] or proxies[name])
        for id in IDS:
            assert index.instance(name, id) == {i.id: i for i in expected[name]}.get(id)
    for packed in ADDRESSES:
        everywhere = [i for found in expected.values() for i in found if i.packed == packed]
        assert sorted(index.at(packed), key=repr) == sorted(everywhere, key=repr)


@given(
    st.lists(
        st.tuples(st.sampled_from(KEYS), st.sampled_from([None, *VALUES]), st.booleans()),
        max_size=30,
    )
)
def test_it_holds_what_the_keys_say(steps: list[tuple[bytes, bytes | None, bool]]) -> None:
    index = Index()
    keys: Keys = {}
    for revision, (key, value, look) in enumerate(steps, 2):
        before = {
            name: (instances_in(keys, name), proxies_in(keys, name), index.revision_of(name))
            for name in NAMES
        }
        if value is None:
            keys.pop(key, None)
            index.delete(key, revision)
        else:
            old = keys.get(key)
            created = revision if old is None else old.create_revision
            keys[key] = KeyValue(key, value, created, revision, 1, 0)
            index.put(keys[key], revision)
        if look:
            check(index, keys)
        for name, (instances, proxies, old_revision) in before.items():
            if (instances_in(keys, name), proxies_in(keys, name)) != (instances, proxies):
                assert index.revision_of(name) in (0, revision)
                assert index.revision_of(name) != old_revision
    check(index, keys)


def test_what_was_listed_is_listed_anew_after_a_state_or_a_result() -> None:
    index = Index()
    checked = b'{"address": "a", "port": 1, "checks": {"c": {"kind": "tcp"}}}'
    index.put(KeyValue(b"/services/a/instances/1", checked, 2, 2, 1, 0), 2)
    seen = [index.service("a")[0].state.status]
    for key, value in (
        (b"/services/a/checks/1/c", b'{"state": "passing"}'),
        (b"/services/a/state/1", b'{"state": "draining"}'),
    ):
        index.put(KeyValue(key, value, 3, 3, 1, 0), 3)
        seen.append(index.service("a")[0].state.status)
    index.delete(b"/services/a/state/1", 4)
    seen.append(index.service("a")[0].state.status)
    index.delete(b"/services/a/checks/1/c", 5)
    seen.append(index.service("a")[0].state.status)
    assert seen == ["starting", "passing", "draining", "passing", "starting"]
    assert index.checked() == [("a", "1")]
    index.put(KeyValue(b"/services/a/instances/1", VALUES[0], 2, 6, 2, 0), 6)
    assert index.checked() == []
    index.put(KeyValue(b"/services/a/instances/1", checked, 2, 7, 3, 0), 7)
    index.put(KeyValue(b"/services/a/instances/2", VALUES[0], 8, 8, 1, 0), 8)
    assert index.checked() == [("a", "1")]
    index.delete(b"/services/a/instances/1", 9)
    assert index.checked() == [] and index.instance("a", "1") is None


def test_callers_find_proxies_in_place_of_instances_while_there_are_some() -> None:
    index = Index()
    index.put(KeyValue(b"/services/a/instances/1", VALUES[0], 2, 2, 1, 0), 2)
    settings = b"/services/a/settings"
    index.put(KeyValue(settings, VALUES[4], 3, 3, 1, 0), 3)
    assert [i.address for i in index.endpoints("a")] == ["10.0.0.3"]
    assert [i.address for i in index.service("a")] == ["10.0.0.1"]
    index.delete(settings, 4)
    assert [i.address for i in index.endpoints("a")] == ["10.0.0.1"]


def test_ten_thousand_instances_cost_as_much_as_they_are_many() -> None:
    def fill(count: int) -> float:
        index = Index()
        began = time.process_time()
        for n in range(count):
            key = b"/services/a/instances/%d" % n
            index.put(KeyValue(key, VALUES[0], n, n, 1, 0), n)
        assert len(index.service("a")) == count
        for n in range(count):
            index.put(KeyValue(b"/services/a/state/%d" % n, VALUES[3], n, n, 1, 0), count)
        for n in range(0, count, 2):
            index.delete(b"/services/a/instances/%d" % n, count)
        assert len(index.service("a")) == count // 2
        return time.process_time() - began

    # Without a walk over everything that other tests left behind, ten times as many take about ten times as long;
    # were it quadratic, a hundred times.
    gc.disable()
    try:
        assert min(fill(10_000) for _ in range(3)) < 40 * min(fill(1_000) for _ in range(3))
    finally:
        gc.enable()
