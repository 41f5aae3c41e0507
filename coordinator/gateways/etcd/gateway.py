"""The etcd v3 API, put together from its services."""

from __future__ import annotations

from coordinator.gateways.etcd.auth import AuthService
from coordinator.gateways.etcd.cluster import ClusterService
from coordinator.gateways.etcd.election import ElectionService
from coordinator.gateways.etcd.hosting import Host
from coordinator.gateways.etcd.kv import KVService
from coordinator.gateways.etcd.lease import LeaseService
from coordinator.gateways.etcd.lock import LockService
from coordinator.gateways.etcd.maintenance import MaintenanceService
from coordinator.gateways.etcd.watch import WatchService
from coordinator.node.interface import Node
from coordinator.rpc import Service


class EtcdGateway:
    """etcd's services over this node: its revisions are ours, its leases our sessions."""

    def __init__(self, node: Node) -> None:
        host = Host(node)
        self.handled = host.handled
        self._services = tuple(
            host.host(made.service())
            for made in (
                KVService(node),
                WatchService(node),
                LeaseService(node),
                ClusterService(node),
                MaintenanceService(node),
                AuthService(node),
                LockService(node),
                ElectionService(node),
            )
        )

    def services(self) -> tuple[Service, ...]:
        """Returns the services for a host of gRPC, and for the JSON gateway."""
        return self._services
