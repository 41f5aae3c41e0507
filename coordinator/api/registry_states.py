"""The states of `coordinator.v1.Registry` and the words that stand in keys."""

from __future__ import annotations

from coordinator_client.pb import registry_pb2

STATUSES: dict[registry_pb2.State, str] = {
    registry_pb2.STATE_STARTING: "starting",
    registry_pb2.STATE_PASSING: "passing",
    registry_pb2.STATE_WARNING: "warning",
    registry_pb2.STATE_CRITICAL: "critical",
    registry_pb2.STATE_DRAINING: "draining",
    registry_pb2.STATE_MAINTENANCE: "maintenance",
    registry_pb2.STATE_UNKNOWN: "unknown",
}
STATES = {status: state for state, status in STATUSES.items()}
