"""DNS for service discovery, put together from the node's settings."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.catalog.catalog import Catalog
from coordinator.catalog.instances import pack_address
from coordinator.config import Config
from coordinator.gateways.dns.forwarding import Forwarder
from coordinator.gateways.dns.listener import Listener
from coordinator.gateways.dns.messages import Face
from coordinator.gateways.dns.names import read_domain
from coordinator.gateways.dns.rates import Rates
from coordinator.gateways.dns.responder import Responder
from coordinator.gateways.dns.zone import Zone
from coordinator.naming import split_address
from coordinator.node.interface import Node


class DnsGateway:
    """A DNS server over the catalog."""

    def __init__(self, node: Node, catalog: Catalog, config: Config) -> None:
        self._node = node
        self._address = split_address(config.dns_address)
        limits, timing = config.limits, config.timing
        zone = Zone(
            catalog,
            read_domain(config.dns_domain),
            timing.dns_ttl_s,
            timing.dns_negative_ttl_s,
            self._member_addresses,
        )
        resolvers = [split_address(address) for address in config.dns_forwarders]
        forwarder = Forwarder(resolvers, timing.dns_forward_ms / 1000, limits.dns_forwards_max)
        face = Face(limits.dns_udp_size_bytes_max, recursive=bool(resolvers))
        self._listener = Listener(
            Responder(zone, face, Rates(limits.dns_large_answers_per_s_max)),
            forwarder if resolvers else None,
            limits.dns_tcp_connections_max,
            timing.dns_tcp_idle_ms / 1000,
        )

    def _member_addresses(self) -> Sequence[bytes]:
        """Returns the addresses at which members serve clients: each of them answers DNS, too, if it is set up to."""
        hosts = (
            split_address(member.client_address)[0]
            for member in self._node.members()
            if member.client_address
        )
        packed = dict.fromkeys(map(pack_address, hosts))
        # An address of all interfaces leads nowhere.
        return [address for address in packed if any(address)]

    def bind(self) -> None:
        """Takes the address. Raises ConfigError if it can't be had."""
        self._listener.bind(*self._address)

    async def start(self) -> None:
        """Begins to answer."""
        await self._listener.start()

    async def stop(self, grace_s: float) -> None:
        """Takes no more questions, answers those it has within the grace, and lets go. Idempotent."""
        await self._listener.stop(grace_s)
