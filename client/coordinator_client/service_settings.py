"""What is set for a service as a whole (docs/registration.md): its proxies, which callers use instead of its instances.

    /services/<service>/settings   a JSON object, owned by no session

Fields that this version does not know are kept when the others are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from coordinator_client import calls, validation
from coordinator_client.errors import InvalidArgument, RequestRefused
from coordinator_client.instances import Instance, InstanceState, service_prefix
from coordinator_client.model import KeyValue

PROXIES = "proxies"
PROXIES_MAX = 32
ID_SIZE_MAX = 128


def settings_key(service: str) -> str:
    """Returns the key of the settings of a service."""
    return f"{service_prefix(service)}settings"


def proxy_id(address: str, port: int) -> str:
    """Returns the id of a proxy that was given none: the same for every reader."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", f"proxy-{address}")
    return f"{plain[: ID_SIZE_MAX - 6]}-{port}"


def read_proxies(service: str, kv: KeyValue | None) -> tuple[Instance, ...]:
    """Returns the proxies in the settings of a service. What breaks the rules is no proxy."""
    written = None if kv is None else (validation.json_object(kv.value) or {}).get(PROXIES)
    if kv is None or not isinstance(written, list):
        return ()
    found: dict[str, Instance] = {}
    for fields in written[:PROXIES_MAX]:
        proxy = _read_proxy(service, fields, kv)
        if proxy is not None:
            found.setdefault(proxy.id, proxy)
    return tuple(found.values())


def _read_proxy(service: str, fields: object, kv: KeyValue) -> Instance | None:
    if not isinstance(fields, dict):
        return None
    id = fields.get("id")
    if id is None:
        id = proxy_id(str(fields.get("address")), fields.get("port", 0))
    try:
        proxy = Instance.from_fields(service, id, fields, kv, InstanceState())
    except InvalidArgument:
        return None
    return replace(proxy, proxy=True)


def make_proxies(service: str, given: Iterable[str | Instance]) -> tuple[Instance, ...]:
    """Returns proxies of a service from host:port or instances; raises InvalidArgument if one can't be meant."""
    if isinstance(given, str | bytes | Instance) or not isinstance(given, Iterable):
        raise InvalidArgument(f"proxies is {validation.shown(given)}, not a sequence")
    found: dict[str, Instance] = {}
    for proxy in given:
        if isinstance(proxy, str):
            host, _, port = calls.parse_endpoint(proxy).rpartition(":")
            address = host.removeprefix("[").removesuffix("]")
            proxy = Instance(service, proxy_id(address, int(port)), address, int(port))
        if not isinstance(proxy, Instance):
            raise InvalidArgument(f"proxies holds {validation.shown(proxy)}, no host:port")
        if proxy.service != service:
            raise InvalidArgument(f"proxies holds {proxy.id}, which is of service {proxy.service}")
        if proxy.id in found:
            raise InvalidArgument(f"proxies holds {proxy.id} twice")
        found[proxy.id] = proxy
    if len(found) > PROXIES_MAX:
        raise InvalidArgument(f"proxies holds {len(found)}, more than {PROXIES_MAX}")
    return tuple(found.values())


def with_proxies(settings: KeyValue | None, proxies: Iterable[Instance]) -> bytes | None:
    """Returns the value of the settings key with other proxies in it; None if nothing is left to be set.

    Raises RequestRefused if what stands there now can't be read, so that nothing is lost.
    """
    fields: dict[str, Any] | None = (
        {} if settings is None else validation.json_object(settings.value)
    )
    if fields is None:
        raise RequestRefused(
            f"{settings.name if settings else ''} does not hold a JSON object; delete it first"
        )
    before = fields.copy()
    fields.pop(PROXIES, None)
    written = [json.loads(proxy.to_json()) for proxy in proxies]
    if written:
        fields[PROXIES] = [
            {name: value for name, value in proxy.items() if name != "service" and value != {}}
            for proxy in written
        ]
    if settings is not None and fields and fields == before:
        return settings.value
    return (
        json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() if fields else None
    )
