"""What is written is read as it was meant, and what is wrong has a name."""

from __future__ import annotations

import json

import pytest

from coordinator.catalog import definitions
from coordinator.catalog.definitions import FieldError, encode_definition, encode_state, state_kept
from coordinator.catalog.instances import parse_state, split_key


def test_keys_are_those_that_are_read() -> None:
    assert split_key(definitions.definition_key("pay", "a.1")) == ("pay", "instances", "a.1")
    assert split_key(definitions.state_key("pay", "a.1")) == ("pay", "state", "a.1")
    assert definitions.checks_prefix("pay", "a.1") == b"/services/pay/checks/a.1/"
    for make in (definitions.definition_key, definitions.state_key, definitions.checks_prefix):
        with pytest.raises(FieldError, match="service: 'pay/x'"):
            make("pay/x", "a")
        with pytest.raises(FieldError, match="id: ''"):
            make("pay", "")


def test_what_is_left_out_is_not_written() -> None:
    value = encode_definition("pay", "a", {"address": "h", "port": 1, "zone": None, "tags": ["x"]})
    assert json.loads(value) == {
        "id": "a",
        "service": "pay",
        "address": "h",
        "port": 1,
        "tags": ["x"],
    }


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "address"),
        ({"address": "h"}, "port"),
        ({"address": "", "port": 1}, "address"),
        ({"address": "h", "port": 0, "zone": "/"}, "port"),
        ({"address": "h", "port": 1, "tags": ["/"], "weight": 1}, "tags"),
        ({"address": "h", "port": 1, "ports": {"a": "b"}}, "ports"),
    ],
)
def test_the_first_wrong_field_is_named(fields: dict[str, object], wrong: str) -> None:
    with pytest.raises(FieldError) as caught:
        encode_definition("pay", "a", fields)
    assert caught.value.field == wrong


def test_states_are_read_as_they_were_written() -> None:
    state = parse_state(encode_state("warning", "slow", guarded=True))
    assert (state.status, state.note, state.guarded) == ("warning", "slow", True)
    assert json.loads(encode_state("passing", "")) == {"state": "passing"}
    for status, note, field in (("busy", "", "state"), ("passing", "x" * 4097, "note")):
        with pytest.raises(FieldError) as caught:
            encode_state(status, note)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (b'{"state": "critical"}', b'{"state": "critical"}'),
        (b"junk", b"junk"),
        (b'{"state": "critical", "guarded": true}', b"own"),
        (b'{"state": "draining", "guarded": true}', b'{"state":"draining"}'),
    ],
)
def test_an_operators_word_is_kept(found: bytes, kept: bytes) -> None:
    assert state_kept(found, b"own") == kept
