"""Keys and values become instances and states, by the same rules as in the client library; junk becomes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.catalog.instances import (
    STATUSES,
    UNKNOWN,
    Instance,
    InstanceState,
    pack_address,
    parse_instance,
    parse_state,
    split_check_key,
    split_key,
)
from coordinator.state.model import KeyValue
from coordinator_client import Instance as ClientInstance
from coordinator_client import InstanceState as ClientState
from coordinator_client import InvalidArgument
from coordinator_client import KeyValue as ClientKeyValue
from coordinator_client import instances as layout

PLAIN: dict[str, Any] = {"address": "10.0.0.7", "port": 80}


def parse(value: bytes) -> Instance | None:
    kv = KeyValue(b"/services/pay/instances/i-1", value, 5, 7, 2, 99)
    return parse_instance("pay", "i-1", kv, InstanceState("warning", "slow"))


def test_a_definition_says_all_that_the_page_lists() -> None:
    more = {
        "metadata": {"team": "blå"},
        "ports": {
            "admin": 81,
            "log": {"port": 514, "protocol": "udp", "later": 1},
            "web": {"port": 443, "protocol": "TCP"},
            "old": {"port": 70, "protocol": None},
        },
        "tags": ["a", "b"],
        "weight": 0,
        "zone": "z",
        "version": "1.2",
        "id": "other",
        "later": [1],
    }
    found = parse(json.dumps(PLAIN | more).encode())
    assert found == Instance(
        service="pay",
        id="i-1",
        address="10.0.0.7",
        port=80,
        metadata={"team": "blå"},
        ports={"admin": 81, "log": 514, "web": 443, "old": 70},
        protocols={"log": "udp"},
        tags=("a", "b"),
        weight=0,
        zone="z",
        version="1.2",
        state=InstanceState("warning", "slow"),
        create_revision=5,
        mod_revision=7,
        session=99,
        packed=bytes([10, 0, 0, 7]),
    )
    assert found.healthy and found.place == (5, "i-1")


def test_what_may_be_left_out_may_be_null() -> None:
    nothing = dict.fromkeys(("metadata", "ports", "tags", "weight", "zone", "version", "checks"))
    assert parse(json.dumps(PLAIN | nothing).encode()) == parse(json.dumps(PLAIN).encode())


WRONG: list[dict[str, Any]] = [
    {"port": 0}, {"port": 65536}, {"port": "80"}, {"port": True}, {"port": 80.0}, {"port": None},
    {"address": None}, {"address": ""}, {"address": "[::1]"}, {"address": "a" * 254}, {"address": 1},
    {"weight": -1}, {"weight": 65536}, {"weight": 1.5}, {"weight": False}, {"zone": ""}, {"zone": 1},
    {"version": "a b"}, {"tags": [""]}, {"tags": ["a"] * 65}, {"tags": "abc"}, {"tags": {}},
    {"tags": [3]}, {"ports": {"": 1}}, {"ports": {"a": 0}}, {"ports": []}, {"ports": False},
    {"ports": {f"p{n}": 1 for n in range(33)}}, {"ports": {"a": {}}}, {"ports": {"a": [1]}},
    {"ports": {"a": {"port": 0, "protocol": "udp"}}}, {"ports": {"a": {"port": 1, "protocol": ""}}},
    {"ports": {"a": {"port": 1, "protocol": 17}}}, {"ports": {"a": {"port": {"port": 1}}}},
    {"metadata": {"": "x"}}, {"metadata": {"k": 3}},
    {"metadata": {"k" * 129: ""}}, {"metadata": {"k": "x" * 513}}, {"metadata": [["a", "b"]]},
    {"metadata": {f"k{n}": "" for n in range(65)}}, {"metadata": 0},
    {"checks": []}, {"checks": 0}, {"checks": ""}, {"checks": {"a": 1}}, {"checks": {"a b": {}}},
    {"checks": {"": {}}}, {"checks": {f"c{n}": {} for n in range(33)}},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_breaks_a_rule_is_no_instance_here_and_for_clients(wrong: dict[str, Any]) -> None:
    value = json.dumps(PLAIN | wrong).encode()
    assert parse(value) is None
    with pytest.raises(InvalidArgument):
        kv = ClientKeyValue(b"/services/pay/instances/i-1", value, 5, 7, 2, 99)
        ClientInstance.from_json("pay", "i-1", kv, ClientState())


@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"[]", b"7", b"{", b"[" * 100_000, b'{"a":"\xff"}']
)
def test_what_is_no_object_is_no_instance(value: bytes) -> None:
    assert parse(value) is None
    assert parse_state(value) == UNKNOWN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = [
    "address",
    "port",
    "metadata",
    "ports",
    "tags",
    "weight",
    "zone",
    "version",
    "state",
    "note",
]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON) | st.binary(max_size=30))
def test_nothing_that_stands_in_a_key_raises(written: dict[str, Any] | bytes) -> None:
    value = written if isinstance(written, bytes) else json.dumps(PLAIN | written).encode()
    found = parse(value)
    assert found is None or 0 < found.port < 65536
    assert parse_state(value).status in STATUSES


@pytest.mark.parametrize("status", layout.STATUSES)
def test_states_are_those_of_the_client_library(status: str) -> None:
    assert set(layout.STATUSES) == STATUSES
    value = ClientState(status, "why").to_json()
    assert parse_state(value) == InstanceState(status, "why")
    found = parse_instance(
        "a", "b", KeyValue(b"", b'{"address":"a","port":1}', 1, 1, 1, 0), parse_state(value)
    )
    assert found is not None and found.healthy == (status in ("passing", "warning"))


def test_a_guarded_instance_is_a_spare() -> None:
    for status, guarded, spare in (
        ("critical", b"true", True), ("critical", b"1", False), ("maintenance", b"true", False),
    ):  # fmt: skip
        value = b'{"state": "%s", "guarded": %s}' % (status.encode(), guarded)
        kv = KeyValue(b"", b'{"address":"a","port":1}', 1, 1, 1, 0)
        found = parse_instance("a", "b", kv, parse_state(value))
        ours = ClientInstance("a", "b", "a", 1, state=ClientState.from_json(value))
        assert found is not None and (found.spare, found.healthy) == (spare, False)
        assert (ours.spare, ours.healthy) == (spare, False)


def test_a_state_that_makes_no_sense_is_unknown() -> None:
    for odd in (b'{"state": "splendid"}', b'{"state": 3, "note": 4}', b"{}", b'{"state": null}'):
        assert parse_state(odd) == UNKNOWN
    assert len(parse_state(b'{"state": "critical", "note": "%s"}' % (b"x" * 5000)).note) == 4096


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (b"/services/pay/instances/i-1", ("pay", "instances", "i-1")),
        (b"/services/pay/state/A.b_c", ("pay", "state", "A.b_c")),
        (b"/services/pay/settings", ("pay", "settings", "")),
        *((key, None) for key in (
            b"/services/", b"/services/pay", b"/services/pay/instances", b"/services/pay/instances/",
            b"/services/Pay/settings", b"/services/pay/settings/", b"/services/pay/settings/a",
            b"/services/Pay/instances/a", b"/services/pay-/state/a", b"/services/pay/other/a",
            b"/services/pay/instances/a/b", b"/services/pay/instances/.a", b"/other/pay/state/a",
            b"/services/pay/instances/\xff", b"/services//instances/a", b"/services/pay/state/a\n",
        )),
    ],
)  # fmt: skip
def test_keys(key: bytes, parts: tuple[str, str, str] | None) -> None:
    assert split_key(key) == parts


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (b"/services/pay/checks/i-1/web", ("pay", "i-1", "web")),
        (b"/services/pay/checks/i-1/a.b_c-", ("pay", "i-1", "a.b_c-")),
        *((key, None) for key in (
            b"/services/pay/checks/i-1", b"/services/pay/checks/i-1/", b"/services/pay/checks/i-1/a/b",
            b"/services/pay/checks/.i/a", b"/services/Pay/checks/i/a", b"/services/pay/state/i/a",
            b"/services/pay/checks/i/\xff", b"/other/pay/checks/i/a", b"/services/pay/checks//a",
        )),
    ],
)  # fmt: skip
def test_keys_of_results(key: bytes, parts: tuple[str, str, str] | None) -> None:
    assert split_check_key(key) == parts
    client_parts = layout.split_check_key("pay", key)
    assert client_parts == (parts[1:] if parts is not None else None)
    if parts is not None:
        assert layout.check_key(*parts).encode() == key and split_key(key) is None


def test_addresses_are_packed() -> None:
    assert pack_address("127.0.0.1") == b"\x7f\0\0\1"
    assert pack_address("::1") == bytes(15) + b"\1"
    for name in ("localhost", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "::ffff:1.2.3.4.5", "%", ""):
        assert pack_address(name) == b""
