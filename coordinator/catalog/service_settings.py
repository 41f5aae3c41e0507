"""What the settings of a service say, by the rules of docs/registration.md: nothing here raises."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from coordinator.catalog.instances import PASSING, Instance, is_id, parse_fields, parse_object
from coordinator.state.model import KeyValue

PROXIES_MAX = 32
_ID_SIZE_MAX = 128


class ServiceSettings(msgspec.Struct, frozen=True, gc=False):
    """What is set for a service as a whole."""

    proxies: tuple[Instance, ...] = ()
    """What callers find in place of its instances, in order of registration; none: the instances."""


NO_SETTINGS = ServiceSettings()


def parse_settings(service: str, kv: KeyValue) -> ServiceSettings:
    """Returns the settings in the value of a settings key. What makes no sense is not set."""
    fields = parse_object(kv.value)
    return ServiceSettings(_proxies(service, fields, kv)) if fields else NO_SETTINGS


def _proxies(service: str, fields: dict[str, Any], kv: KeyValue) -> tuple[Instance, ...]:
    written = fields.get("proxies")
    found: dict[str, Instance] = {}
    for entry in written[:PROXIES_MAX] if isinstance(written, list) else ():
        proxy = _proxy(service, entry, kv)
        if proxy is not None:
            found.setdefault(proxy.id, proxy)
    return tuple(sorted(found.values(), key=lambda proxy: proxy.place))


def _proxy(service: str, fields: object, kv: KeyValue) -> Instance | None:
    if not isinstance(fields, dict):
        return None
    id = fields.get("id")
    if id is None:
        plain = re.sub(r"[^A-Za-z0-9._-]", "-", f"proxy-{fields.get('address')}")
        id = f"{plain[: _ID_SIZE_MAX - 6]}-{fields.get('port')}"
    return parse_fields(service, id, fields, kv, PASSING, proxy=True) if is_id(id) else None
