"""Metrics by the names that dashboards for etcd know. What this node does not know, it does not tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.consensus.interface import Role
from coordinator.gateways.etcd.versions import ETCD_VERSION
from coordinator.http.listener import HttpListener
from coordinator.node.interface import Node

Handled = Mapping[tuple[str, str, str, str], int]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NodeCollector(Collector):
    """Reads a node when it is asked."""

    def __init__(self, node: Node, handled: Handled) -> None:
        """`handled`: calls that ended, by kind, service, method and the name of their status."""
        self._node = node
        self._handled = handled

    def collect(self) -> Iterator[Metric]:
        """Yields all metrics as they are now."""
        node, state, status = self._node, self._node.state, self._node.consensus_status
        for name, text, value in (
            ("server_has_leader", "Whether a leader is known.", status.leader is not None),
            ("server_is_leader", "Whether this member leads.", status.role is Role.LEADER),
            (
                "server_is_learner",
                "Whether this member does not vote.",
                status.role is Role.LEARNER,
            ),
            (
                "server_quota_backend_bytes",
                "How large the state may be.",
                node.limits.state_size_bytes_max,
            ),
            ("mvcc_db_total_size_in_bytes", "Size of the state.", state.size_bytes),
            ("mvcc_db_total_size_in_use_in_bytes", "Size of the state.", state.size_bytes),
            ("debugging_mvcc_keys_total", "Keys.", state.key_count),
            ("debugging_mvcc_watcher_total", "Watches on this member.", node.watch_count),
            ("debugging_mvcc_current_revision", "Newest revision.", state.revision),
            (
                "debugging_mvcc_compact_revision",
                "Newest revision that is gone.",
                state.compacted_revision,
            ),
            ("debugging_lease_total", "Sessions.", state.session_count),
        ):
            yield GaugeMetricFamily(f"etcd_{name}", text, value=float(value))
        yield CounterMetricFamily(
            "etcd_server_proposals_committed", "Entries committed.", value=status.commit_index
        )
        yield CounterMetricFamily(
            "etcd_server_proposals_applied", "Entries applied.", value=status.applied_index
        )
        yield CounterMetricFamily(
            "etcd_server_leader_changes_seen",
            "How often it was learned who leads.",
            value=node.leader_changes,
        )
        handled = CounterMetricFamily(
            "grpc_server_handled",
            "Calls that ended.",
            labels=["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
        )
        for labels, count in sorted(self._handled.items()):
            handled.add_metric(labels, count)
        yield handled
        version = GaugeMetricFamily(
            "etcd_server_version", "Which etcd the API is that of.", labels=["server_version"]
        )
        version.add_metric([ETCD_VERSION], 1)
        yield version


def register_metrics(listener: HttpListener, node: Node, handled: Handled) -> CollectorRegistry:
    """Registers /metrics; returns where others may add theirs."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(node, handled))
    ProcessCollector(registry=registry)

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})

    listener.route("GET", "/metrics", metrics)
    return registry
