"""What keys below /services/ say: instances and their states, by the rules of docs/registration.md.

    /services/<service>/instances/<id>   the definition: without one there is no instance
    /services/<service>/state/<id>       the state: without one the instance is passing
    /services/<service>/settings         what is set for the service as a whole (service_settings.py)
    /services/<service>/checks/<id>/<check>   the result of a check that the definition declares; see `health`

Whoever writes these keys may write anything. What breaks the rules is no instance, and a state that makes no sense is
`unknown`; nothing here raises.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from coordinator.catalog.check_fields import remembered
from coordinator.state.model import KeyValue

ROOT = b"/services/"
ROOT_END = b"/services0"
"""The first key after all those below ROOT."""

DEFINITIONS = "instances"
STATES = "state"
SETTINGS = "settings"

PROTOCOL = "tcp"
"""Of a port that names none."""
CHECKS = "checks"

STATUSES = frozenset(
    {"passing", "warning", "critical", "maintenance", "starting", "draining", "unknown"}
)
OPERATORS_WORDS = frozenset({"maintenance", "draining"})
"""States that an operator sets, and that outlast the session of the instance."""
HEALTHY = frozenset({"passing", "warning"})
"""The states of an instance that may be given work."""

_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ADDRESS = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PORT_MAX = 65_535
_WEIGHT_MAX = 65_535
_TAGS_MAX = 64
_PORTS_MAX = 32
_METADATA_PAIRS_MAX = 64
_METADATA_KEY_SIZE_MAX = 128
_METADATA_VALUE_SIZE_MAX = 512
NOTE_SIZE_MAX = 4096
CHECKS_MAX = 32
"""Checks that one definition may declare."""

_NONE: Mapping[str, Any] = MappingProxyType({})


class InstanceState(msgspec.Struct, frozen=True, gc=False):
    """How an instance is doing."""

    status: str = "passing"
    """One of STATUSES."""
    note: str = ""
    """A sentence for people."""
    guarded: bool = False
    """Its session is over; see `catalog.guard`."""


PASSING = InstanceState()
UNKNOWN = InstanceState("unknown")


class Instance(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of a service, as docs/registration.md has it."""

    service: str
    id: str
    address: str
    """An IP address, IPv6 without brackets, or a host name."""
    port: int
    metadata: Mapping[str, str]
    ports: Mapping[str, int]
    """Further ports by name."""
    tags: tuple[str, ...]
    weight: int | None
    """Share of the load, relative to the other instances; None: the reader decides."""
    zone: str | None
    version: str | None
    state: InstanceState
    create_revision: int
    """Of the definition; with the id it says where the instance stands in the order of registration."""
    mod_revision: int
    session: int
    """The session that owns the definition; 0: none."""
    packed: bytes = b""
    """The address as 4 or 16 bytes; empty for a host name."""
    protocols: Mapping[str, str] = {}
    """Of those of `ports` that are not TCP, by the name of the port."""
    proxy: bool = False
    """Whether it is no instance, but published in place of those of the service."""
    check_definitions: Mapping[str, Mapping[str, Any]] = _NONE
    """What the definition declares under `checks`, by name; what is in each is for whoever runs it to judge."""
    checks: Mapping[str, InstanceState] = _NONE
    """How each of them is doing."""

    @property
    def healthy(self) -> bool:
        """Whether it may be given work: its state is passing or warning."""
        return self.state.status in HEALTHY

    @property
    def spare(self) -> bool:
        """Whether it may be given work when no instance is healthy: the cluster only lost sight of it."""
        return self.state.guarded and self.state.status == "critical"

    @property
    def place(self) -> tuple[int, str]:
        """Ascending in the order of registration."""
        return self.create_revision, self.id


def split_key(key: bytes) -> tuple[str, str, str] | None:
    """Returns (service, DEFINITIONS or STATES, id), or (service, SETTINGS, ""); None for a key that is none of them."""
    if not key.startswith(ROOT) or not key.isascii():
        return None
    parts = key[len(ROOT) :].decode("ascii").split("/")
    if len(parts) == 2 and parts[1] == SETTINGS and _SERVICE.fullmatch(parts[0]):
        return parts[0], SETTINGS, ""
    if len(parts) != 3 or parts[1] not in (DEFINITIONS, STATES):
        return None
    if not _SERVICE.fullmatch(parts[0]) or not _ID.fullmatch(parts[2]):
        return None
    return parts[0], parts[1], parts[2]


def split_check_key(key: bytes) -> tuple[str, str, str] | None:
    """Returns (service, id, check) for the key of a result; None for any other key."""
    if not key.startswith(ROOT) or not key.isascii():
        return None
    parts = key[len(ROOT) :].decode("ascii").split("/")
    if len(parts) != 4 or parts[1] != CHECKS or not _SERVICE.fullmatch(parts[0]):
        return None
    if not _ID.fullmatch(parts[2]) or not is_label(parts[3]):
        return None
    return parts[0], parts[2], parts[3]


def parse_instance(service: str, id: str, kv: KeyValue, state: InstanceState) -> Instance | None:
    """Returns the instance that a definition defines; service and id are those of its key. None: it defines none."""
    fields = parse_object(kv.value)
    return None if fields is None else parse_fields(service, id, fields, kv, state)


def parse_fields(
    service: str,
    id: str,
    fields: dict[str, Any],
    kv: KeyValue,
    state: InstanceState,
    *,
    proxy: bool = False,
) -> Instance | None:
    """Likewise, from the fields of a definition that `kv` holds."""
    address, port, weight = fields.get("address"), fields.get("port"), fields.get("weight")
    zone, version = fields.get("zone"), fields.get("version")
    tags = _tags(fields.get("tags"))
    ports = _ports(fields.get("ports"))
    metadata = _metadata(fields.get("metadata"))
    checks = _checks(fields.get("checks"))
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        return None
    if not isinstance(port, int) or not _is_port(port):
        return None
    if tags is None or ports is None or metadata is None or checks is None:
        return None
    if weight is not None and not _is_number(weight, 0, _WEIGHT_MAX):
        return None
    if not (zone is None or is_label(zone)) or not (version is None or is_label(version)):
        return None
    return Instance(
        service=service,
        id=id,
        address=address,
        port=port,
        metadata=metadata,
        ports=ports,
        tags=tags,
        weight=weight,
        zone=zone,
        version=version,
        state=state,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        session=kv.session,
        packed=pack_address(address),
        protocols=_protocols(fields.get("ports")),
        proxy=proxy,
        check_definitions=checks,
    )


def parse_state(value: bytes) -> InstanceState:
    """Returns the state in the value of a state key; `unknown` if it makes no sense."""
    fields = parse_object(value) or {}
    status, note = fields.get("state"), fields.get("note")
    return InstanceState(
        status if isinstance(status, str) and status in STATUSES else "unknown",
        note[:NOTE_SIZE_MAX] if isinstance(note, str) else "",
        fields.get("guarded") is True,
    )


def pack_address(address: str) -> bytes:
    """Returns an IP address as 4 or 16 bytes; none for anything else, an address with a zone (`fe80::1%eth0`) too."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_pton(family, address)
    except (OSError, ValueError):
        return b""


def parse_object(value: bytes) -> dict[str, Any] | None:
    """Returns the JSON object in a value; None if it holds none."""
    try:
        parsed = msgspec.json.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _is_number(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_port(value: object) -> bool:
    return _is_number(value, 1, _PORT_MAX)


def is_id(value: object) -> bool:
    """Whether a value may be the id of an instance."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_label(value: object) -> bool:
    """Whether a value may be a tag, or the name of a port or check."""
    return isinstance(value, str) and _LABEL.fullmatch(value) is not None


def _tags(value: object) -> tuple[str, ...] | None:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _TAGS_MAX or not all(map(is_label, value)):
        return None
    return tuple(value)


def _ports(value: object) -> Mapping[str, int] | None:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _PORTS_MAX:
        return None
    if not all(is_label(name) and _is_port_entry(port) for name, port in value.items()):
        return None
    return {name: p["port"] if isinstance(p, dict) else p for name, p in value.items()}


def _is_port_entry(value: object) -> bool:
    if not isinstance(value, dict):
        return _is_port(value)
    protocol = value.get("protocol")
    return _is_port(value.get("port")) and (protocol is None or is_label(protocol))


def _protocols(ports: dict[str, Any] | None) -> Mapping[str, str]:
    """Returns the protocols of ports that are fine, those of TCP left out."""
    named = {n: p.get("protocol") for n, p in (ports or {}).items() if isinstance(p, dict)}
    return {name: p for name, p in named.items() if p is not None and p.lower() != PROTOCOL}


def _metadata(value: object) -> Mapping[str, str] | None:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _METADATA_PAIRS_MAX:
        return None
    fine = all(
        0 < len(key) <= _METADATA_KEY_SIZE_MAX
        and isinstance(text, str)
        and len(text) <= _METADATA_VALUE_SIZE_MAX
        for key, text in value.items()
    )
    return value if fine else None


def _checks(value: object) -> Mapping[str, Mapping[str, Any]] | None:
    if not value:
        return _NONE if value is None or value == {} else None
    if not isinstance(value, dict) or len(value) > CHECKS_MAX:
        return None
    fine = all(is_label(name) and isinstance(check, dict) for name, check in value.items())
    return {name: remembered(check) for name, check in value.items()} if fine else None
