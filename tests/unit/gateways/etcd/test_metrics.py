"""Metrics by etcd's names."""

from __future__ import annotations

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from coordinator.gateways.etcd.metrics import register_metrics
from coordinator.http.listener import HttpListener
from tests.unit.gateways.etcd.conftest import Etcd


async def test_they_tell_how_the_node_is(etcd: Etcd) -> None:
    listener = HttpListener(1, 10, 10.0)
    register_metrics(listener, etcd.node, etcd.gateway.handled)
    port = listener.bind("127.0.0.1", 0)
    await listener.start()

    async def read() -> dict[str, float]:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            families = text_string_to_metric_families(await answer.text())
            return {
                sample.name
                + "/".join(value for _, value in sorted(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
            }

    before = await read()
    assert before["etcd_server_has_leader"] == 1 and before["etcd_server_is_leader"] == 0
    await etcd.put(b"a")
    await etcd.refused(etcd.put(b""))
    etcd.bus.elect(None)
    after = await read()
    assert after["etcd_server_has_leader"] == 0
    assert after["etcd_debugging_mvcc_current_revision"] == 2
    assert after["etcd_debugging_mvcc_keys_total"] == 1
    applied = "etcd_server_proposals_applied_total"
    assert after[applied] > before[applied]
    handled = "grpc_server_handled_total"
    assert after[f"{handled}OK/Put/etcdserverpb.KV/unary"] == 1
    assert after[f"{handled}InvalidArgument/Put/etcdserverpb.KV/unary"] == 1
    etcd.bus.elect(1)
    changes = "etcd_server_leader_changes_seen_total"
    assert (await read())[changes] == after[changes] + 1
    assert "process_resident_memory_bytes" in after
    await listener.stop(0)
