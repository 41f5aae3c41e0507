"""Between the health checks in messages of `coordinator.v1.Registry` and those in definitions (docs/health.md).

The fields of the messages have the names that they have in a definition. What is not set there is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from coordinator.api.registry_states import STATES, STATUSES
from coordinator.catalog.definitions import FieldError
from coordinator.catalog.instances import is_label
from coordinator.checks.definitions import WrongCheck, parse_check
from coordinator.config import Limits
from coordinator_client.pb import registry_pb2

TTL = "ttl"
"""The kind of check that nobody runs."""

_OF_TTL = frozenset({"kind", "ttl_ms", "deregister_critical_after_ms"})
_KINDS = {
    field.name: frozenset(
        f.name for f in getattr(registry_pb2.Check(), field.name).DESCRIPTOR.fields
    )
    for field in registry_pb2.Check.DESCRIPTOR.oneofs_by_name["kind"].fields
}
"""By kind: the fields that only its message has."""


def path_of(name: str, field: str = "") -> str:
    """Returns how a field of a check is called in an error: by its place in the instance."""
    return f"checks[{name}].{field}" if field else f"checks[{name}]"


def check_fields(name: str, check: registry_pb2.Check) -> dict[str, Any]:
    """Returns a check as it stands in a definition. Raises FieldError for one of no kind, and for a wrong name."""
    if not is_label(name):
        # It would stand in the place of every other error, however long it is.
        raise FieldError(
            "checks", f"the name {name[:140]!r} is not 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-'"
        )
    kind = check.WhichOneof("kind")
    if kind is None:
        raise FieldError(path_of(name), f"has no kind, which is one of {', '.join(_KINDS)}")
    fields: dict[str, Any] = {"kind": kind}
    for message in (getattr(check, kind), check):
        for field, value in message.ListFields():
            if field.name not in _KINDS:
                fields[field.name] = _plain(field, value)
    return fields


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        # What has no word is none of those that are allowed.
        return STATUSES.get(value, str(value))
    return dict(value) if field.message_type is not None else value


def judge_checks(
    checks: Mapping[str, registry_pb2.Check], address: str, port: int, limits: Limits
) -> None:
    """Raises FieldError if a check of an instance at an address breaks a rule."""
    for name, check in checks.items():
        fields = check_fields(name, check)
        if fields["kind"] == TTL and (odd := min(fields.keys() - _OF_TTL, default="")):
            raise FieldError(path_of(name, odd), "is not for checks of the kind ttl")
        try:
            parse_check(fields, address, port, limits)
        except WrongCheck as error:
            # Its message begins with the field.
            field, _, message = str(error).partition(" ")
            field = field.rstrip(":")
            path = f"{fields['kind']}.{field}" if field in _KINDS[fields["kind"]] else field
            raise FieldError(path_of(name, path), message) from None


def check_message(fields: Mapping[str, Any]) -> registry_pb2.Check:
    """Returns the message of a check in a definition, which may hold anything: what fits no field is left out."""
    message = registry_pb2.Check()
    kind = fields.get("kind")
    if isinstance(kind, str) and kind in _KINDS:
        target = getattr(message, kind)
        target.SetInParent()
        _fill(target, fields)
    _fill(message, fields)
    return message


def _fill(message: Message, fields: Mapping[str, Any]) -> None:
    for field in message.DESCRIPTOR.fields:
        value = fields.get(field.name)
        if value is None or field.name in _KINDS:
            continue
        if field.enum_type is not None:
            if isinstance(value, str) and value in STATES:
                setattr(message, field.name, STATES[value])
        elif field.message_type is not None:
            texts = value.items() if isinstance(value, dict) else ()
            getattr(message, field.name).update({k: v for k, v in texts if isinstance(v, str)})
        elif _fits(field.type, value):
            setattr(message, field.name, value)


def _fits(type: int, value: object) -> bool:
    if type == FieldDescriptor.TYPE_STRING:
        return isinstance(value, str)
    if type == FieldDescriptor.TYPE_BOOL:
        return isinstance(value, bool)
    most = 2**32 - 1 if type == FieldDescriptor.TYPE_UINT32 else 2**63 - 1
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
