from __future__ import annotations

from coordinator.api.services import native_services
from coordinator.catalog.catalog import Catalog
from tests.bus import Bus


async def test_each_service_is_there_once() -> None:
    async with Bus("a") as bus:
        names = [s.name for s in native_services(bus.nodes[0], Catalog(bus.nodes[0]))]
    services = ["KV", "Watch", "Session", "Registry", "Cluster", "Pipeline"]
    assert names == [f"coordinator.v1.{name}" for name in services]
