"""Which room of the server and of the client may import what; docs/architecture.md tells why."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """What the modules of one room may import beside their own room and the standard library."""

    own: frozenset[str]
    """Other rooms or modules, named without the leading `coordinator.`; a name admits all below it."""
    third_party: frozenset[str]
    """Top-level names, or dotted ones to admit only a part."""
    banned_stdlib: frozenset[str] = frozenset()


def room(own: str, third_party: str, banned_stdlib: str = "") -> Room:
    return Room(
        frozenset(own.split()), frozenset(third_party.split()), frozenset(banned_stdlib.split())
    )


NODE = "node.interface node.saves node.watches consensus.interface state.commands state.model state.results"
"""The interface of a node, and the modules whose types it speaks in."""

ROOMS = {
    "state": room(
        "errors", "msgspec sortedcontainers xxhash", "time random os logging asyncio uuid secrets"
    ),
    "consensus.engine": room("errors config consensus", "msgspec zstandard structlog pysyncobj"),
    "consensus": room("errors config", "msgspec zstandard structlog xxhash"),
    "node": room(
        "errors config naming state consensus.interface", "intervaltree msgspec structlog"
    ),
    "catalog": room(f"errors config node.expiry state.machine {NODE}", "msgspec structlog"),
    "checks": room(
        f"errors config catalog {NODE}", "aiohttp yarl grpc grpc_health msgspec structlog"
    ),
    "api": room(
        f"errors config rpc pieces naming catalog checks.definitions node.expiry state.view {NODE}",
        "coordinator_client.pb google.protobuf structlog",
    ),
    "wire.front": room(
        "errors config pieces rpc wire", "google grpc_health prometheus_client structlog"
    ),
    "wire.http2": room("", "hpack msgspec"),
    "wire": room("errors config rpc", "grpc grpc_health grpc_reflection google structlog"),
    "gateways.dns": room(f"errors config naming catalog {NODE}", "structlog"),
    "gateways.etcd": room(
        f"errors config naming rpc pieces http node.messages state.view state.tally {NODE}",
        "aiohttp google.protobuf prometheus_client structlog xxhash",
    ),
    "gateways": room(f"errors config rpc http catalog {NODE}", "aiohttp"),
    "dashboard": room(f"errors config http catalog {NODE}", "aiohttp"),
    "http": room("errors config", "aiohttp structlog"),
    "rpc": room("errors", ""),
    "pieces": room("rpc", ""),
    "errors": room("", ""),
    "config": room("errors", ""),
    "settings": room("config errors naming", ""),
    "naming": room("", ""),
    "heap": room("", ""),
    "joining": room(
        "config errors consensus.folder consensus.interface",
        "structlog grpc coordinator_client.pb",
    ),
    "migration": room("errors naming gateways.etcd.pb", "click grpc"),
    "recovery": room("errors config consensus state", "msgspec"),
    "logs": room("config errors", "structlog"),
}
"""The rooms of docs/architecture.md. The longest name that fits a module decides."""

COMPOSITION = ("server", "cli", "__main__", "")
"""Those that put the rooms together may import them all."""

CLIENT_ROOMS = {
    "cli": room("coordinator_client", "click rich"),
    "pb": room("coordinator_client.pb", "grpc google"),
    "testing": room("coordinator_client", "pytest"),
    "": room("coordinator_client", "grpc grpc_status google"),
}


def admits(allowed: frozenset[str] | set[str], name: str) -> bool:
    """Whether a name is one of `allowed` or lies below one."""
    return any(name == part or name.startswith(part + ".") for part in allowed)


def room_of(module: str, rooms: dict[str, Room]) -> str:
    fitting = (name for name in rooms if not name or admits({name}, module))
    return max(fitting, key=len, default="")


def complain_about_import(module: str, imported: str) -> str | None:
    """Says what is wrong with a server module importing a name, if anything is."""
    home = room_of(module, ROOMS)
    if not home:
        return None
    rules = ROOMS[home]
    top = imported.partition(".")[0]
    if top in rules.banned_stdlib:
        return f"{home}/ is pure and must not import {top}: make it a field of the command"
    if top in sys.stdlib_module_names:
        return None
    if top != "coordinator":
        fine = admits(rules.third_party, imported)
        return None if fine else f"{home}/ may not import {top}: see ROOMS in tests/rooms.py"
    name = imported.removeprefix("coordinator").lstrip(".")
    fine = admits(rules.own | {home, "__version__"}, name)
    return None if fine else f"{home}/ may not know coordinator.{name}: hand it in from server.py"


def complain_about_client_import(module: str, imported: str) -> str | None:
    rules = CLIENT_ROOMS[home := room_of(module, CLIENT_ROOMS)]
    top = imported.partition(".")[0]
    if top in sys.stdlib_module_names or admits(rules.own | rules.third_party, imported):
        return None
    return f"coordinator_client{'.' + home if home else ''} may not import {top}: keep it thin"
