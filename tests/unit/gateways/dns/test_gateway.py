"""A node's settings become a DNS server over what the node has applied."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import dns.asyncquery
import dns.message

from coordinator.catalog.catalog import Catalog
from coordinator.config import Config, Limits, Timing
from coordinator.gateways.dns.gateway import DnsGateway
from coordinator.state.commands import Put, Write
from tests.bus import Bus
from tests.unit.gateways.dns.stage import code, query, texts


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_settings_count() -> None:
    address = free_address()
    config = Config(
        dns_address=address,
        dns_domain="SD.Example.",
        limits=Limits(dns_udp_size_bytes_max=600),
        timing=Timing(dns_ttl_s=7, dns_negative_ttl_s=8),
    )
    async with Bus() as bus:
        bus.addresses.update({2: "10.0.0.2:2379", 3: "0.0.0.0:2379"})
        node = bus.nodes[0]
        catalog = Catalog(node)
        gateway = DnsGateway(node, catalog, config)
        gateway.bind()
        task = asyncio.create_task(catalog.run())
        await gateway.start()

        async def ask(name: str, type: str) -> dns.message.Message:
            port = int(address.rpartition(":")[2])
            return await dns.asyncquery.udp(query(name, type), "127.0.0.1", 5, port)

        try:
            await catalog.wait_ready()
            assert code(await ask("pay.service.sd.example.", "A")) == "NXDOMAIN"
            value = b'{"address": "10.0.0.7", "port": 80}'
            put = Write(Put(b"/services/pay/instances/a", value))
            await node.propose(put, asyncio.get_running_loop().time() + 5)
            await bus.settle()
            answer = await ask("pay.service.sd.example.", "A")
            assert texts(answer.answer) == ["A 10.0.0.7"]
            assert answer.answer[0].ttl == 7 and answer.payload == 600
            empty = await ask("pay.service.sd.example.", "MX")
            assert empty.authority[0].ttl == 8
            servers = await ask("ns.sd.example.", "A")
            assert texts(servers.answer) == ["A 10.0.0.2"], "a name and all interfaces are none"
            assert code(await ask("pay.service.coordinator.", "A")) == "REFUSED"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await gateway.stop(0.1)
