"""Settings of services mean the same here and for clients; junk sets nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.catalog.service_settings import NO_SETTINGS, PROXIES_MAX, parse_settings
from coordinator.state.model import KeyValue
from coordinator_client import Instance as ClientInstance
from coordinator_client import KeyValue as ClientKeyValue
from coordinator_client import service_settings as layout

KEY = b"/services/pay/settings"
PLAIN: dict[str, Any] = {"address": "10.0.0.9", "port": 443}


def both(value: bytes) -> list[str]:
    """The ids of the proxies, after a look whether the client library reads the same."""
    here = parse_settings("pay", KeyValue(KEY, value, 5, 7, 2, 0)).proxies
    there = layout.read_proxies("pay", ClientKeyValue(KEY, value, 5, 7, 2, 0))
    there = tuple(sorted(there, key=lambda proxy: proxy.id))
    assert all(proxy.proxy and proxy.healthy for proxy in here)
    assert all(proxy.proxy and proxy.healthy for proxy in there)
    for ours, theirs in zip(here, there, strict=True):
        for name in set(ClientInstance.__dataclass_fields__) - {"state"}:
            assert getattr(ours, name) == getattr(theirs, name), name
    return [proxy.id for proxy in here]


def test_proxies_are_described_as_instances_are() -> None:
    full = PLAIN | {"id": "edge", "tags": ["a"], "weight": 3, "zone": "z", "metadata": {"k": "v"}}
    full["ports"] = {"log": {"port": 514, "protocol": "udp"}}
    entries = [full, {"address": "2001:db8::1", "port": 80}, PLAIN | {"state": "critical"}]
    ids = ["edge", "proxy-10.0.0.9-443", "proxy-2001-db8--1-80"]
    assert both(json.dumps({"proxies": entries, "later": 1}).encode()) == ids


@pytest.mark.parametrize(
    "entry",
    [
        {}, None, 7, [], "10.0.0.9:443", PLAIN | {"port": 0}, PLAIN | {"address": "a b"},
        PLAIN | {"port": {"port": 1}}, {"port": 80}, PLAIN | {"id": "-x"}, PLAIN | {"id": 7},
        PLAIN | {"tags": "abc"}, PLAIN | {"weight": -1}, {"address": "a" * 254, "port": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_breaks_a_rule_is_no_proxy(entry: object) -> None:
    assert both(json.dumps({"proxies": [entry]}).encode()) == []
    assert both(json.dumps({"proxies": [entry, PLAIN]}).encode()) == ["proxy-10.0.0.9-443"]


def test_of_the_same_id_the_first_counts_and_there_are_so_many_at_most() -> None:
    twice = [PLAIN | {"id": "a"}, PLAIN | {"id": "a", "port": 1}]
    value = json.dumps({"proxies": twice}).encode()
    assert both(value) == ["a"]
    (proxy,) = parse_settings("pay", KeyValue(KEY, value, 5, 7, 2, 0)).proxies
    assert proxy.port == 443
    many = [{"address": "10.0.0.9", "port": port} for port in range(1, PROXIES_MAX + 10)]
    assert len(both(json.dumps({"proxies": many}).encode())) == PROXIES_MAX
    assert PROXIES_MAX == layout.PROXIES_MAX
    long = "a" * 253
    (id,) = both(json.dumps({"proxies": [{"address": long, "port": 65535}]}).encode())
    assert len(id) <= 128 and id.endswith("-65535")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["proxies", "address", "port", "id", "ports"]), inner)
    ),
    max_leaves=8,
)


@given(JSON | st.binary(max_size=30))
def test_nothing_that_stands_in_the_key_raises(written: object) -> None:
    value = written if isinstance(written, bytes) else json.dumps(written).encode()
    found = parse_settings("pay", KeyValue(KEY, value, 5, 7, 2, 0))
    assert found == NO_SETTINGS or found.proxies
    layout.read_proxies("pay", ClientKeyValue(KEY, value, 5, 7, 2, 0))
