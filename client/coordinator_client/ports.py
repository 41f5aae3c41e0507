"""The further ports of an instance as they stand in a definition: a number, or an object that names a protocol, too."""

from __future__ import annotations

from collections.abc import Mapping

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument

PROTOCOL = "tcp"
"""Of a port that names none."""


def split_ports(written: Mapping[str, object]) -> tuple[dict[str, int], dict[str, str]]:
    """Returns the numbers and the protocols of ports by name; protocols only of those that are not plain TCP.

    Raises InvalidArgument if one is neither a number nor an object. Whether they make sense is for others to say.
    """
    ports: dict[str, int] = {}
    protocols: dict[str, str] = {}
    for name, port in written.items():
        number, protocol = port, None
        if isinstance(port, Mapping):
            number, protocol = port.get("port"), port.get("protocol")
        if not isinstance(number, int):
            raise InvalidArgument(f"port {name} is {validation.shown(port)}")
        ports[name] = number
        if protocol is None:
            continue
        if not isinstance(protocol, str):
            raise InvalidArgument(f"the protocol of port {name} is {validation.shown(protocol)}")
        if protocol.lower() != PROTOCOL:
            protocols[name] = protocol
    return ports, protocols


def join_ports(ports: Mapping[str, int], protocols: Mapping[str, str]) -> dict[str, object]:
    """Returns ports as a definition has them; the other way round."""
    return {
        name: port
        if protocols.get(name, PROTOCOL).lower() == PROTOCOL
        else {"port": port, "protocol": protocols[name]}
        for name, port in ports.items()
    }
