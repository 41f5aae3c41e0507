"""Metrics by etcd's names."""

from __future__ import annotations

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from coordinator.gateways.etcd.metrics import register_metrics
from coordinator.http.listener import HttpListener
from tests.unit.gateways.etcd.conftest import Etcd


async def test_they_tell_how_the_node_is(etcd: Etcd) -> None:
    listener = HttpListener(1, 10)
    register_metrics(listener, etcd.node)
    port = listener.bind("127.0.0.1", 0)
    await listener.start()

    async def read() -> dict[str, float]:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            families = text_string_to_metric_families(await answer.text())
            return {sample.name: sample.value for family in families for sample in family.samples}

    before = await read()
    assert before["etcd_server_has_leader"] == 1 and before["etcd_server_is_leader"] == 0
    await etcd.put(b"a")
    etcd.bus.elect(None)
    after = await read()
    assert after["etcd_server_has_leader"] == 0
    assert after["etcd_debugging_mvcc_current_revision"] == 2
    assert after["etcd_debugging_mvcc_keys_total"] == 1
    applied = "etcd_server_proposals_applied_total"
    assert after[applied] > before[applied]
    assert "process_resident_memory_bytes" in after
    await listener.stop(0)
