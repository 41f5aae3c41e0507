"""What is written into the keys of services, checked by the very rules by which it is read: `instances`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coordinator.catalog.instances import (
    CHECKS,
    DEFINITIONS,
    OPERATORS_WORDS,
    ROOT,
    STATES,
    UNKNOWN,
    parse_instance,
    parse_state,
    split_key,
)
from coordinator.state.model import KeyValue

_PROBE = {"address": "probe", "port": 1}
"""The least that a definition holds."""


class FieldError(Exception):
    """What is to be written would not be read as it is meant; `field` says where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def definition_key(service: str, id: str) -> bytes:
    """Returns the key of an instance's definition. Raises FieldError."""
    return _key(service, DEFINITIONS, id)


def state_key(service: str, id: str) -> bytes:
    """Returns the key of an instance's state. Raises FieldError."""
    return _key(service, STATES, id)


def checks_prefix(service: str, id: str) -> bytes:
    """Returns what all further keys of an instance begin with. Raises FieldError."""
    check_service(service)
    _check_id(id)
    return ROOT + f"{service}/{CHECKS}/{id}/".encode()


def encode_definition(service: str, id: str, fields: Mapping[str, object]) -> bytes:
    """Returns the value of a definition; fields that are None are left out. Raises FieldError."""
    check_service(service)
    _check_id(id)
    said = {name: value for name, value in fields.items() if value is not None}
    value = _encode({"id": id, "service": service, **said})
    if not _is_instance(value):
        raise FieldError(_wrong_field(said), "is not what docs/registration.md allows")
    return value


def encode_state(status: str, note: str, *, guarded: bool = False) -> bytes:
    """Returns the value of a state key. Raises FieldError."""
    fields: dict[str, object] = {"state": status}
    fields |= {"note": note} if note else {}
    fields |= {"guarded": True} if guarded else {}
    value = _encode(fields)
    read = parse_state(value)
    if read.status != status:
        raise FieldError("state", f"{status!r} is no state")
    if read.note != note:
        raise FieldError("note", f"is longer than {len(read.note)} characters")
    return value


def state_kept(found: bytes, own: bytes) -> bytes:
    """Returns the state of an instance that registers again and finds one, as a key's value.

    It may be an operator's word. What the cluster said of an instance that it kept for a lost one is not.
    """
    state = parse_state(found)
    if not state.guarded:
        return found
    return encode_state(state.status, state.note) if state.status in OPERATORS_WORDS else own


def check_service(service: str) -> None:
    """Raises FieldError if this is not the name of a service."""
    if split_key(_join(service, DEFINITIONS, "x")) is None:
        raise FieldError(
            "service",
            f"{service[:80]!r} is not 1 to 63 of a-z, 0-9 and '-', with no '-' at either end",
        )


def _check_id(id: str) -> None:
    if split_key(_join("x", DEFINITIONS, id)) is None:
        raise FieldError(
            "id",
            f"{id[:140]!r} is not 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', "
            "the first neither '.' nor '-'",
        )


def _key(service: str, kind: str, id: str) -> bytes:
    check_service(service)
    _check_id(id)
    return _join(service, kind, id)


def _join(service: str, kind: str, id: str) -> bytes:
    return ROOT + f"{service}/{kind}/{id}".encode()


def _encode(fields: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(fields)


def _is_instance(value: bytes) -> bool:
    return parse_instance("x", "x", KeyValue(b"", value, 1, 1, 1, 0), UNKNOWN) is not None


def _wrong_field(fields: Mapping[str, object]) -> str:
    """Returns the name of the first field that makes a definition none."""
    for name in _PROBE:
        if name not in fields:
            return name
    for name, value in fields.items():
        if not _is_instance(_encode({**_PROBE, name: value})):
            return name
    raise AssertionError("each field is fine by itself, and all of them are not")
