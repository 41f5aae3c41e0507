"""What a front tells /metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.errors import Status
from coordinator.wire.front.tallies import Tallies

STATUS_NAMES = {0: "OK", **{status.value: status.name for status in Status}}
PREFIX = "coordinator_front_"


class FrontCollector(Collector):
    """Reads what a front counts when it is asked."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """Yields all metrics as they are now."""
        tallies = self._tallies
        for name, text, value in (
            ("connections_open", "Connections of clients.", tallies.connections_open),
            ("calls_open", "Calls and streams under way.", tallies.calls_open),
        ):
            yield GaugeMetricFamily(PREFIX + name, text, value=float(value))
        connections = CounterMetricFamily(
            PREFIX + "connections",
            "Connections: all that came; those refused for their number, handed on as HTTP/1, or closed as the client "
            "was silent or did not read.",
            labels=["fate"],
        )
        for fate in ("accepted", "refused", "handed_on", "silent", "stalled"):
            connections.add_metric([fate], getattr(tallies, f"connections_{fate}"))
        yield connections
        calls = CounterMetricFamily(
            PREFIX + "calls", "Calls that ended, by status.", labels=["grpc_code"]
        )
        for code, name in STATUS_NAMES.items():
            calls.add_metric([name], tallies.ended[code])
        yield calls
        abuse = CounterMetricFamily(
            PREFIX + "http2_events",
            "What clients did on HTTP/2 that only broken or hostile ones do often.",
            labels=["kind"],
        )
        for kind, count in tallies.abuse.totals.items():
            abuse.add_metric([kind], count)
        yield abuse
