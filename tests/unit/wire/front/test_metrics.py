"""What a front tells /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from coordinator.wire.front.metrics import FrontCollector
from tests.unit.wire.echoing import put, serving
from tests.unit.wire.front.raw_client import call_fields, connected, framed


async def test_calls_connections_and_abuse_are_told() -> None:
    async with serving() as (front, _, port), connected(port) as client:
        registry = CollectorRegistry()
        registry.register(FrontCollector(front.tallies))  # type: ignore[union-attr]  # it is a front
        for key in (b"x", b"y", b"refuse", b"fail"):
            await client.call("/test.Service/Echo", framed(put(key)))
        client.open(call_fields("/test.Service/Talk"))
        await client.call("/test.Service/Echo", framed(put(b"z")))

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"coordinator_front_{name}", labels)

        assert value("calls_total", grpc_code="OK") == 3
        assert value("calls_total", grpc_code="NOT_FOUND") == 1
        assert value("calls_total", grpc_code="INTERNAL") == 1
        assert value("calls_total", grpc_code="UNAUTHENTICATED") == 0
        assert value("calls_open") == 1 and value("connections_open") == 1
        assert value("connections_total", fate="accepted") == 1
        assert value("connections_total", fate="stalled") == 0
        assert value("http2_events_total", kind="rapid_reset") == 0
