"""Reads the configuration of a node: a TOML file, the environment, flags; later ones win.

Raises `errors.ConfigError` with a sentence that says which setting is wrong and what it may be.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from coordinator.config import MAY_BE_ZERO, Config, Limits, Member, Timing
from coordinator.errors import ConfigError
from coordinator.naming import NAME_PATTERN, NAME_RULE, split_address

ENVIRONMENT_PREFIX = "COORDINATOR_"
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
GRPC_HOSTS = ("front", "grpcio")
JOIN_ADDRESSES_MAX = 64
DNS_LABEL_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DNS_DOMAIN_LENGTH_MAX = 100
"""Leaves room for the names of services, and for what is said beside them."""
DNS_FORWARDERS_MAX = 8
DNS_TTL_S_MAX = 7 * 86_400
CHECKS_NETWORKS_MAX = 256
CHECKS_SESSION_TTL_MS = range(500, 600_001)

SectionT = TypeVar("SectionT", Limits, Timing)


def load(
    flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ, file: str | None = None
) -> Config:
    """Returns the checked configuration; `flags` holds what was given on the command line, by field name."""
    values: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    timing: dict[str, Any] = {}
    if file is not None:
        table = _read_file(Path(file))
        limits.update(_table(file, table.pop("limits", {})))
        timing.update(_table(file, table.pop("timing", {})))
        values.update(table)
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        field = name[len(ENVIRONMENT_PREFIX) :].lower()
        if field.startswith("limits_"):
            limits[field[len("limits_") :]] = text
        elif field.startswith("timing_"):
            timing[field[len("timing_") :]] = text
        elif field in _FIELDS:
            values[field] = text
    values.update({k: v for k, v in flags.items() if v is not None})
    return _check(_build(values, _section(Limits, limits), _section(Timing, timing)))


_FIELDS = {f.name: f for f in dataclasses.fields(Config) if f.name not in ("limits", "timing")}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {path} is not TOML: {error}") from error


def _table(file: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: limits and timing are tables")
    return value


def _section(kind: type[SectionT], values: Mapping[str, Any]) -> SectionT:
    name = kind.__name__.lower()
    known = {f.name for f in dataclasses.fields(kind)}
    numbers: dict[str, int] = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"there is no setting {name}.{key}")
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = -1
        least = 0 if key in MAY_BE_ZERO else 1
        if isinstance(value, bool | float) or number < least:
            wanted = "a positive whole number" if least else "a whole number from 0"
            raise ConfigError(f"{name}.{key} must be {wanted}, not {value!r}")
        numbers[key] = number
    return kind(**numbers)


def _build(values: Mapping[str, Any], limits: Limits, timing: Timing) -> Config:
    fields: dict[str, Any] = {}
    for key, value in values.items():
        if key not in _FIELDS:
            raise ConfigError(f"there is no setting {key}")
        if key == "cluster":
            fields[key] = parse_cluster(value)
        elif key in ("join", "dns_forwarders"):
            fields[key] = parse_addresses(key, value)
        elif key == "checks_allowed_networks":
            fields[key] = parse_networks(key, value)
        elif key == "insecure":
            fields[key] = _boolean(key, value)
        elif isinstance(value, str):
            fields[key] = value
        else:
            raise ConfigError(f"{key} must be text, not {value!r}")
    return Config(**fields, limits=limits, timing=timing)


def _boolean(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {
        "true": True,
        "1": True,
        "yes": True,
        "false": False,
        "0": False,
        "no": False,
        "": False,
    }
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ConfigError(f"{key} must be true or false, not {value!r}")


def parse_cluster(value: object) -> tuple[Member, ...]:
    """Returns the members in `n1=host:port,n2=host:port`, or in a TOML table of the same."""
    pairs: list[tuple[str, str]] = []
    if isinstance(value, dict):
        pairs = [(str(name), str(address)) for name, address in value.items()]
    elif isinstance(value, str):
        for part in filter(None, (p.strip() for p in value.split(","))):
            name, equals, address = part.partition("=")
            if not equals:
                raise ConfigError(f"cluster: {part!r} is not of the form name=host:port")
            pairs.append((name.strip(), address.strip()))
    else:
        raise ConfigError("cluster must be text like n1=host:port,n2=host:port, or a table")
    return tuple(Member(name, address) for name, address in pairs)


def parse_addresses(field: str, value: object) -> tuple[str, ...]:
    """Returns the addresses in `host:port,host:port`, or in a TOML list of the same."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"{field} must be text like host:port,host:port, or a list")
    return tuple(dict.fromkeys(filter(None, (part.strip() for part in parts))))


def parse_networks(field: str, value: object) -> tuple[str, ...]:
    """Returns the networks in `10.0.0.0/8,fd00::/8`, or in a TOML list of the same."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"{field} must be text like 10.0.0.0/8,fd00::/8, or a list")
    return tuple(dict.fromkeys(filter(None, (part.strip() for part in parts))))


def parse_address(field: str, address: str) -> tuple[str, int]:
    """Returns host and port of `host:port`; an IPv6 host stands in brackets."""
    try:
        return split_address(address)
    except ValueError as error:
        raise ConfigError(f"{field}: {error}") from None


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(config: Config) -> Config:
    if not NAME_PATTERN.fullmatch(config.name):
        raise ConfigError(f"name: {config.name!r} must be {NAME_RULE}")
    if not config.data_dir:
        raise ConfigError("data_dir is empty")
    _check_dns(config)
    _check_checks(config)
    for field in ("client_address", "peer_address", "http_address", "dns_address"):
        if field in ("http_address", "dns_address") and not getattr(config, field):
            continue
        host, _ = parse_address(field, getattr(config, field))
        if not config.insecure and not is_loopback(host):
            raise ConfigError(
                f"{field}: {host} can be reached from other machines, and connections are not encrypted; "
                "use a loopback address, or allow it with --insecure"
            )
    if config.client_address == config.peer_address:
        raise ConfigError("client_address and peer_address are the same")
    if config.dns_address in (config.client_address, config.peer_address):
        raise ConfigError("dns_address is also that of something else")
    if config.http_address in (config.client_address, config.peer_address):
        raise ConfigError("http_address is also that of something else")
    if config.http_address and config.http_address == config.dns_address:
        raise ConfigError("http_address is also that of something else")
    if config.log_level not in LOG_LEVELS:
        raise ConfigError(f"log_level must be one of {', '.join(LOG_LEVELS)}")
    if config.grpc_host not in GRPC_HOSTS:
        raise ConfigError(f"grpc_host must be one of {', '.join(GRPC_HOSTS)}")
    if config.log_format not in LOG_FORMATS:
        raise ConfigError(f"log_format must be one of {', '.join(LOG_FORMATS)}")
    _check_cluster(config)
    _check_timing(config.timing)
    _check_limits(config.limits)
    return config


def _check_cluster(config: Config) -> None:
    names = [m.name for m in config.cluster]
    for member in config.cluster:
        if not NAME_PATTERN.fullmatch(member.name):
            raise ConfigError(f"cluster: {member.name!r} is not a valid name")
        parse_address("cluster", member.peer_address)
    if len(set(names)) != len(names):
        raise ConfigError("cluster: a name occurs twice")
    if len({m.peer_address for m in config.cluster}) != len(names):
        raise ConfigError("cluster: an address occurs twice")
    if names and config.name not in names:
        raise ConfigError(f"cluster: this node, {config.name}, is not among {', '.join(names)}")
    for address in config.join:
        parse_address("join", address)
    if len(config.join) > JOIN_ADDRESSES_MAX:
        raise ConfigError(f"join: more than {JOIN_ADDRESSES_MAX} addresses")
    if config.join and config.cluster:
        raise ConfigError(
            "join and cluster exclude each other: the first is for a new member of a cluster that runs"
        )


def _check_dns(config: Config) -> None:
    labels = config.dns_domain.lower().removesuffix(".").split(".")
    if len(config.dns_domain) > DNS_DOMAIN_LENGTH_MAX or not all(
        DNS_LABEL_PATTERN.fullmatch(label) for label in labels
    ):
        raise ConfigError(
            f"dns_domain: {config.dns_domain!r} is not a domain like coordinator. or sd.example.com., of at "
            f"most {DNS_DOMAIN_LENGTH_MAX} characters"
        )
    if labels[-1] == "arpa":
        raise ConfigError("dns_domain: names below arpa. have a meaning of their own")
    for address in config.dns_forwarders:
        host, _ = parse_address("dns_forwarders", address)
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ConfigError(f"dns_forwarders: {host} is not an IP address") from None
        if address == config.dns_address:
            raise ConfigError("dns_forwarders: this node would ask itself")
    if len(config.dns_forwarders) > DNS_FORWARDERS_MAX:
        raise ConfigError(f"dns_forwarders: more than {DNS_FORWARDERS_MAX} resolvers")
    size = config.limits.dns_udp_size_bytes_max
    if not 512 <= size <= 4096:
        raise ConfigError("limits.dns_udp_size_bytes_max must be between 512 and 4096")
    if max(config.timing.dns_ttl_s, config.timing.dns_negative_ttl_s) > DNS_TTL_S_MAX:
        raise ConfigError(f"timing: a TTL of DNS is at most {DNS_TTL_S_MAX} seconds")


def _check_checks(config: Config) -> None:
    for network in config.checks_allowed_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ConfigError(
                f"checks_allowed_networks: {network!r} is not a network like 10.0.0.0/8 or fd00::/8"
            ) from None
    if len(config.checks_allowed_networks) > CHECKS_NETWORKS_MAX:
        raise ConfigError(f"checks_allowed_networks: more than {CHECKS_NETWORKS_MAX} networks")
    if config.timing.checks_session_ttl_ms not in CHECKS_SESSION_TTL_MS:
        least, most = CHECKS_SESSION_TTL_MS[0], CHECKS_SESSION_TTL_MS[-1]
        raise ConfigError(f"timing.checks_session_ttl_ms must be between {least} and {most}")


def _check_timing(timing: Timing) -> None:
    if timing.election_timeout_ms_max <= timing.election_timeout_ms_min:
        raise ConfigError("timing.election_timeout_ms_max must be above election_timeout_ms_min")
    if timing.heartbeat_ms * 3 >= timing.election_timeout_ms_min:
        raise ConfigError(
            "timing.heartbeat_ms must be less than a third of election_timeout_ms_min"
        )


def _check_limits(limits: Limits) -> None:
    if limits.session_ttl_ms_min > limits.session_ttl_ms_max:
        raise ConfigError("limits.session_ttl_ms_min is above session_ttl_ms_max")
    if limits.peer_frame_size_bytes_max < 2 * limits.request_size_bytes_max:
        raise ConfigError("limits.peer_frame_size_bytes_max must admit two of the largest requests")
    if limits.peer_send_window_bytes_max < limits.peer_frame_size_bytes_max:
        raise ConfigError("limits.peer_send_window_bytes_max must admit one of the largest frames")
