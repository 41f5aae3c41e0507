from __future__ import annotations

import json
from typing import Any

import pytest

from coordinator_client import Instance, InstanceState, InvalidArgument, KeyValue
from coordinator_client import instances as layout

PLAIN: dict[str, Any] = {"service": "pay", "id": "i-1", "address": "127.0.0.1", "port": 80}


def stored(value: bytes, key: bytes = b"/services/pay/instances/i-1") -> KeyValue:
    return KeyValue(key, value, 5, 7, 2, 99)


def test_a_definition_is_the_json_of_the_specification() -> None:
    plain = Instance(**PLAIN, metadata={"team": "blue"})
    assert json.loads(plain.to_json()) == PLAIN | {"metadata": {"team": "blue"}}
    full = Instance(**PLAIN, ports={"admin": 81}, tags=("a",), weight=0, zone="z1", version="1.2")
    more = {"ports": {"admin": 81}, "tags": ["a"], "weight": 0, "zone": "z1", "version": "1.2"}
    assert json.loads(full.to_json()) == PLAIN | {"metadata": {}} | more


def test_a_definition_comes_back_as_it_went() -> None:
    state = InstanceState("warning", "slow")
    full = Instance(**PLAIN, metadata={"k": "wörd"}, ports={"admin": 81}, tags=("a", "b"), weight=3)
    back = Instance.from_json("pay", "i-1", stored(full.to_json()), state)
    assert (back.create_revision, back.mod_revision, back.session) == (5, 7, 99)
    assert back.to_json() == full.to_json()
    assert (back.state, back.passing, back.endpoint) == (state, False, "127.0.0.1:80")


def test_ports_have_protocols() -> None:
    mine = Instance(**PLAIN, ports={"admin": 81, "log": 514}, protocols={"log": "udp"})
    written = {"admin": 81, "log": {"port": 514, "protocol": "udp"}}
    assert json.loads(mine.to_json())["ports"] == written
    assert (mine.protocol_of("log"), mine.protocol_of("admin")) == ("udp", "tcp")
    back = Instance.from_json("pay", "i-1", stored(mine.to_json()), InstanceState())
    assert (back.ports, back.protocols) == (mine.ports, mine.protocols)
    # Plain TCP is not worth a word.
    plain = Instance(**PLAIN, ports={"admin": 81}, protocols={"admin": "tcp"})
    assert json.loads(plain.to_json())["ports"] == {"admin": 81}


def test_service_and_id_are_those_of_the_key() -> None:
    value = json.dumps(PLAIN | {"service": "other", "id": "x", "new_field": [1]}).encode()
    back = Instance.from_json("pay", "i-1", stored(value), InstanceState())
    assert (back.service, back.id, back.metadata) == ("pay", "i-1", {})


@pytest.mark.parametrize(
    "value",
    [
        b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b'{"address": "a"}',
        b'{"address": "a", "port": "80"}', b'{"address": "a", "port": 0}',
        b'{"address": "a", "port": true}', b'{"address": "a b", "port": 80}',
        b'{"address": "a", "port": 80, "metadata": {"a": 1}}',
        b'{"address": "a", "port": 80, "metadata": 3}',
        b'{"address": "a", "port": 80, "metadata": []}',
        b'{"address": "a", "port": 80, "metadata": [["a", "b"]]}',
        b'{"address": "a", "port": 80, "tags": "ab"}',
        b'{"address": "a", "port": 80, "ports": false}',
        b'{"address": "a", "port": 80, "tags": [3]}',
        b'{"address": "a", "port": 80, "ports": {"x": 70000}}',
        b'{"address": "a", "port": 80, "weight": 1.5}',
    ],
)  # fmt: skip
def test_what_is_no_definition_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidArgument):
        Instance.from_json("pay", "i-1", stored(value), InstanceState())


@pytest.mark.parametrize("name", ["a", "0", "pay-ments", "a" * 63])
def test_names_of_services(name: str) -> None:
    assert layout.service_prefix(name) == f"/services/{name}/"


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "ä", "a" * 64, "a\n"])
def test_no_names_of_services(name: str) -> None:
    with pytest.raises(InvalidArgument, match="service"):
        layout.service_prefix(name)


@pytest.mark.parametrize("id", ["a", "I-1", "_x", "10.0.0.1", "a" * 128])
def test_ids(id: str) -> None:
    assert layout.definition_key("pay", id) == f"/services/pay/instances/{id}"
    assert layout.state_key("pay", id) == f"/services/pay/state/{id}"
    assert layout.split_key("pay", layout.state_key("pay", id).encode()) == ("state", id)


@pytest.mark.parametrize("id", ["", ".", "..", "-a", "a/b", "a b", "ä", "a" * 129, "a\n"])
def test_no_ids(id: str) -> None:
    with pytest.raises(InvalidArgument, match="id"):
        layout.definition_key("pay", id)


def test_the_settings_are_of_no_instance() -> None:
    assert layout.split_key("pay", b"/services/pay/settings") == ("settings", "")
    assert layout.split_key("pay", b"/services/pay/settings/a") is None


@pytest.mark.parametrize(
    "key",
    [b"/services/pay/instances", b"/services/pay/instances/", b"/services/pay/other/i-1",
     b"/services/pays/instances/i-1", b"/services/pay/instances/a/b", b"/services/pay/instances/\xff"],
)  # fmt: skip
def test_other_keys_are_none_of_an_instance(key: bytes) -> None:
    assert layout.split_key("pay", key) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0}, {"port": 65536}, {"port": "80"}, {"port": True}, {"address": ""},
        {"address": "[::1]"}, {"address": "a" * 254}, {"weight": -1}, {"weight": 70_000},
        {"zone": ""}, {"version": "a b"}, {"tags": ("",)}, {"tags": ("a",) * 65},
        {"ports": {"": 1}}, {"ports": {f"p{n}": 1 for n in range(33)}}, {"protocols": {"log": "udp"}},
        {"ports": {"a": 1}, "protocols": {"a": ""}}, {"ports": {"a": 1}, "protocols": "udp"},
        {"metadata": {"": "x"}},
        {"metadata": {"k": "x" * 513}}, {"metadata": {f"k{n}": "" for n in range(65)}},
        {"metadata": {"k": 3}},
    ],
)  # fmt: skip
def test_instances_keep_to_the_grammar(wrong: dict[str, Any]) -> None:
    Instance(**PLAIN)
    with pytest.raises(InvalidArgument):
        Instance(**(PLAIN | wrong))


def test_an_ipv6_endpoint_has_brackets() -> None:
    assert Instance(**(PLAIN | {"address": "::1"})).endpoint == "[::1]:80"


def test_states() -> None:
    state = InstanceState("critical", "no disk")
    assert json.loads(state.to_json()) == {"state": "critical", "note": "no disk"}
    assert InstanceState.from_json(state.to_json()) == state
    assert json.loads(InstanceState().to_json()) == {"state": "passing"}
    for status in ("starting", "draining"):
        fresh = InstanceState(status)
        assert json.loads(fresh.to_json()) == {"state": status}
        assert InstanceState.from_json(fresh.to_json()) == fresh
    for odd in (b"", b"[]", b'{"state": "splendid"}', b'{"state": 3, "note": 4}'):
        assert InstanceState.from_json(odd) == InstanceState("unknown")
    for written in (b'{"state": "critical", "guarded": 1}', b'{"state": "critical"}'):
        assert InstanceState.from_json(written) == InstanceState("critical")
    kept = InstanceState("critical", guarded=True)
    assert InstanceState.from_json(b'{"state":"critical","guarded":true}') == kept
    assert InstanceState.from_json(kept.to_json()) == kept
    with pytest.raises(InvalidArgument):
        InstanceState("splendid")
    with pytest.raises(InvalidArgument):
        InstanceState("passing", "x" * 5000)
