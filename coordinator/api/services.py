"""All services of the native API."""

from __future__ import annotations

from coordinator.api.cluster import ClusterService
from coordinator.api.kv import KVService
from coordinator.api.pipeline import PipelineService
from coordinator.api.registry import RegistryService
from coordinator.api.session import SessionService
from coordinator.api.watch import WatchService
from coordinator.catalog.catalog import Catalog
from coordinator.node.interface import Node
from coordinator.rpc import Service


def native_services(node: Node, catalog: Catalog) -> list[Service]:
    """Returns the services over one member, for a host."""
    services = [
        KVService(node).service(),
        WatchService(node).service(),
        SessionService(node).service(),
        RegistryService(node, catalog).service(),
        ClusterService(node).service(),
    ]
    return [*services, PipelineService(services, node).service()]
