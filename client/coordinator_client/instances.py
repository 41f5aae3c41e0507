"""The layout of registrations: which keys and JSON describe an instance (docs/registration.md specifies it).

    /services/<service>/instances/<id>   the definition, written by the instance's owner
    /services/<service>/state/<id>       the state, written by the owner and by operators
    /services/<service>/checks/<id>/<check>   the result of a check; see `checks`
    /services/<service>/settings         what is set for the service as a whole (service_settings.py)

All but the last belong to one session. An instance counts as long as its definition exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from coordinator_client import validation
from coordinator_client.checks import CHECKS_MAX, CheckResult
from coordinator_client.errors import InvalidArgument
from coordinator_client.model import KeyValue
from coordinator_client.ports import PROTOCOL, join_ports, split_ports

__all__ = ["ROOT", "STATUSES", "Instance", "InstanceState"]

T = TypeVar("T")

ROOT = "/services/"
STATUSES = (
    "passing",
    "warning",
    "critical",
    "maintenance",
    "starting",
    "draining",
    "unknown",
)

HEALTHY = ("passing", "warning")
"""Instances in these states should get calls."""

SERVICE_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ID_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
ADDRESS_PATTERN = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
LABEL_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,128}")
WEIGHT_MAX = 65_535
TAGS_MAX = 64
PORTS_MAX = 32
METADATA_PAIRS_MAX = 64
METADATA_KEY_SIZE_MAX = 128
METADATA_VALUE_SIZE_MAX = 512
NOTE_SIZE_MAX = 4096


@dataclass(frozen=True)
class InstanceState:
    """How an instance is doing."""

    status: str = "passing"
    """One of STATUSES; a status that this version does not know reads as `unknown`."""
    note: str = ""
    """A sentence for people."""
    guarded: bool = False
    """Whether its session is over, and the cluster keeps it listed for a while as most of the service vanished at once.
    """

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise InvalidArgument(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        if not isinstance(self.note, str):
            raise InvalidArgument(f"note is {validation.shown(self.note)}, not text")
        if len(self.note) > NOTE_SIZE_MAX:
            raise InvalidArgument(f"the note is longer than {NOTE_SIZE_MAX} characters")
        if not isinstance(self.guarded, bool):
            raise InvalidArgument(f"guarded is {validation.shown(self.guarded)}, not true or false")

    def to_json(self) -> bytes:
        """Returns the value of the state key; raises InvalidArgument if UTF-8 can't express the note."""
        fields: dict[str, object] = {"state": self.status}
        fields |= {"note": self.note} if self.note else {}
        fields |= {"guarded": True} if self.guarded else {}
        validation.text(self.note, "note")
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, value: bytes) -> InstanceState:
        """Returns the state in the value of a state key; `unknown` if it can't be read."""
        fields = validation.json_object(value) or {}
        status, note = fields.get("state"), fields.get("note", "")
        return cls(
            status if isinstance(status, str) and status in STATUSES else "unknown",
            note[:NOTE_SIZE_MAX] if isinstance(note, str) else "",
            fields.get("guarded") is True,
        )


@dataclass(frozen=True)
class Instance:
    """One endpoint of a service. Creating one raises InvalidArgument if a field breaks the grammar."""

    service: str
    """1 to 63 of a-z, 0-9 and "-", neither first nor last a "-" (a DNS label, RFC 1123)."""
    id: str
    """1 to 128 of A-Z, a-z, 0-9, ".", "_" and "-", the first neither "." nor "-"; unique in its service."""
    address: str
    """An IP address or host name, without port or brackets."""
    port: int
    """1 to 65535."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    """Further ports by name."""
    tags: tuple[str, ...] = ()
    weight: int | None = None
    """Relative share of the load, 0 to 65535; None leaves it to the reader."""
    zone: str | None = None
    version: str | None = None
    state: InstanceState = field(default_factory=InstanceState)
    create_revision: int = 0
    """Of the definition; 0 for an instance that was not read from a cluster."""
    mod_revision: int = 0
    session: int = 0
    protocols: Mapping[str, str] = field(default_factory=dict)
    """Of those of `ports` that are not TCP, such as `udp`, by the name of the port."""
    proxy: bool = False
    """Whether it is no instance, but a proxy that is published in place of the service's instances."""
    check_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the definition declares under `checks`, by name, as it stands there."""
    checks: Mapping[str, CheckResult] = field(default_factory=dict)
    """How each of them is doing, by name, for an instance that was read from a cluster."""

    def __post_init__(self) -> None:
        validate_service(self.service)
        validate_id(self.id)
        if not isinstance(self.address, str) or not ADDRESS_PATTERN.fullmatch(self.address):
            raise InvalidArgument(f"address {self.address!r} is not an IP address or host name")
        _validate_port(self.port, "port")
        for name in ("metadata", "ports", "protocols"):
            if not isinstance(value := getattr(self, name), Mapping):
                raise InvalidArgument(f"{name} is {validation.shown(value)}, not a mapping")
        if len(self.ports) > PORTS_MAX:
            raise InvalidArgument(f"more than {PORTS_MAX} ports")
        for name, port in self.ports.items():
            _validate_label(name, "the name of a port")
            _validate_port(port, f"port {name}")
        for name, protocol in self.protocols.items():
            if name not in self.ports:
                raise InvalidArgument(f"protocols names {name!r}, which is none of the ports")
            _validate_label(protocol, f"the protocol of port {name}")
        if len(self.tags) > TAGS_MAX:
            raise InvalidArgument(f"more than {TAGS_MAX} tags")
        for tag in self.tags:
            _validate_label(tag, "a tag")
        if self.weight is not None and not (
            _is_int(self.weight) and 0 <= self.weight <= WEIGHT_MAX
        ):
            raise InvalidArgument(f"weight {self.weight!r} is not between 0 and {WEIGHT_MAX}")
        for label, what in ((self.zone, "the zone"), (self.version, "the version")):
            if label is not None:
                _validate_label(label, what)
        _validate_metadata(self.metadata)
        _validate_checks(self.check_definitions)

    @property
    def endpoint(self) -> str:
        """`address:port`, an IPv6 address in brackets."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    def protocol_of(self, port: str) -> str:
        """Returns the protocol of the port of that name: `tcp` unless another one was registered."""
        return self.protocols.get(port, PROTOCOL)

    @property
    def passing(self) -> bool:
        """Whether its state is `passing`."""
        return self.state.status == "passing"

    @property
    def healthy(self) -> bool:
        """Whether it should get calls: its state is `passing` or `warning`."""
        return self.state.status in HEALTHY

    @property
    def spare(self) -> bool:
        """Whether it may get calls when no instance is healthy: the cluster only lost sight of it."""
        return self.state.guarded and self.state.status == "critical"

    def to_json(self) -> bytes:
        """Returns the value of the definition key; raises InvalidArgument if UTF-8 can't express the metadata."""
        metadata = validation.pairs(self.metadata, "metadata")
        fields: dict[str, object] = {
            "id": self.id,
            "service": self.service,
            "address": self.address,
            "port": self.port,
            "metadata": metadata,
        }
        optional = {
            "ports": join_ports(self.ports, self.protocols) or None,
            "tags": list(self.tags) or None,
            "weight": self.weight,
            "zone": self.zone,
            "version": self.version,
            "checks": {name: dict(check) for name, check in self.check_definitions.items()} or None,
        }
        fields |= {name: value for name, value in optional.items() if value is not None}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, service: str, id: str, kv: KeyValue, state: InstanceState) -> Instance:
        """Returns the instance whose definition is `kv`; service and id come from the key.

        Raises InvalidArgument if the value is not a definition. Fields it does not know are passed over.
        """
        fields = validation.json_object(kv.value)
        if fields is None:
            raise InvalidArgument(f"{kv.name} does not hold a JSON object")
        return cls.from_fields(service, id, fields, kv, state)

    @classmethod
    def from_fields(
        cls, service: str, id: str, fields: dict[str, Any], kv: KeyValue, state: InstanceState
    ) -> Instance:
        """Likewise, from the fields of a definition that `kv` holds."""
        try:
            ports, protocols = split_ports(_optional(fields, "ports", dict, {}))
            return cls(
                service=service,
                id=id,
                address=fields["address"],
                port=fields["port"],
                metadata=_optional(fields, "metadata", dict, {}),
                ports=ports,
                protocols=protocols,
                tags=tuple(_optional(fields, "tags", list, [])),
                weight=fields.get("weight"),
                zone=fields.get("zone"),
                version=fields.get("version"),
                state=state,
                create_revision=kv.create_revision,
                mod_revision=kv.mod_revision,
                session=kv.session,
                check_definitions=_optional(fields, "checks", dict, {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"{kv.name} does not hold a definition: {error}") from error


def validate_service(service: str) -> str:
    """Returns the name of a service; raises InvalidArgument if it is none."""
    if not isinstance(service, str) or not SERVICE_PATTERN.fullmatch(service):
        raise InvalidArgument(
            f"service name {service!r} is not 1 to 63 of a-z, 0-9 and '-', with no '-' at either end"
        )
    return service


def validate_id(id: str) -> str:
    """Returns the id of an instance; raises InvalidArgument if it is none."""
    if not isinstance(id, str) or not ID_PATTERN.fullmatch(id):
        raise InvalidArgument(
            f"instance id {id!r} is not 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', "
            "the first neither '.' nor '-'"
        )
    return id


def service_prefix(service: str) -> str:
    """Returns the prefix of all keys of a service."""
    return f"{ROOT}{validate_service(service)}/"


def definition_key(service: str, id: str) -> str:
    """Returns the key of an instance's definition."""
    return f"{service_prefix(service)}instances/{validate_id(id)}"


def state_key(service: str, id: str) -> str:
    """Returns the key of an instance's state."""
    return f"{service_prefix(service)}state/{validate_id(id)}"


def check_key(service: str, id: str, check: str) -> str:
    """Returns the key of a check's result."""
    _validate_label(check, "the name of a check")
    return f"{service_prefix(service)}checks/{validate_id(id)}/{check}"


def split_check_key(service: str, key: bytes) -> tuple[str, str] | None:
    """Returns (id, check) for the key of a check's result; None for any other key."""
    prefix = f"{service_prefix(service)}checks/".encode()
    try:
        id, slash, check = key.removeprefix(prefix).decode("ascii").partition("/")
    except UnicodeDecodeError:
        return None
    if not key.startswith(prefix) or not slash or not LABEL_PATTERN.fullmatch(check):
        return None
    return (id, check) if ID_PATTERN.fullmatch(id) else None


def split_key(service: str, key: bytes) -> tuple[str, str] | None:
    """Returns ("instances" or "state", id) for a key of the service, or ("settings", ""); None if it is none."""
    prefix = service_prefix(service).encode()
    if key == prefix + b"settings":
        return "settings", ""
    try:
        kind, slash, id = key.removeprefix(prefix).decode("ascii").partition("/")
    except UnicodeDecodeError:
        return None
    if not key.startswith(prefix) or kind not in ("instances", "state") or not slash:
        return None
    return (kind, id) if ID_PATTERN.fullmatch(id) else None


def _optional(fields: dict[str, Any], name: str, kind: type[T], default: T) -> T:
    """Returns a field that may be left out or null; raises TypeError if it is of another kind."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {validation.shown(value)}")
    return value


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _validate_port(port: int, what: str) -> None:
    if not _is_int(port) or not 0 < port < 65536:
        raise InvalidArgument(f"{what} {port!r} is not between 1 and 65535")


def _validate_label(label: str, what: str) -> None:
    if not isinstance(label, str) or not LABEL_PATTERN.fullmatch(label):
        raise InvalidArgument(f"{what} {label!r} is not 1 to 128 of A-Z, a-z, 0-9, '.', '_', '-'")


def _validate_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > METADATA_PAIRS_MAX:
        raise InvalidArgument(f"more than {METADATA_PAIRS_MAX} pairs of metadata")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidArgument(f"metadata {key!r}: {value!r} is not text")
        if not 0 < len(key) <= METADATA_KEY_SIZE_MAX or len(value) > METADATA_VALUE_SIZE_MAX:
            raise InvalidArgument(f"metadata {key[:32]!r} is empty or too long")


def _validate_checks(checks: Mapping[str, Mapping[str, Any]]) -> None:
    if not isinstance(checks, Mapping):
        raise InvalidArgument(f"checks is {validation.shown(checks)}, not a mapping")
    if len(checks) > CHECKS_MAX:
        raise InvalidArgument(f"more than {CHECKS_MAX} checks")
    for name, check in checks.items():
        _validate_label(name, "the name of a check")
        if not isinstance(check, Mapping):
            raise InvalidArgument(f"check {name} is {validation.shown(check)}, not a mapping")
