"""The etcd v3 API, put together from its services."""

from __future__ import annotations

from coordinator.gateways.etcd.hosting import host
from coordinator.node.interface import Node
from coordinator.rpc import Service


class EtcdGateway:
    """etcd's services over this node: its revisions are ours, its leases our sessions."""

    def __init__(self, node: Node) -> None:
        self._services = tuple(host(node, service) for service in ())

    def services(self) -> tuple[Service, ...]:
        """Returns the services for a host of gRPC, and for the JSON gateway."""
        return self._services
