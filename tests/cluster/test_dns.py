"""DNS of real nodes, asked by dnspython's resolver over UDP and TCP."""

from __future__ import annotations

import json

import dns.flags
import dns.message
import dns.query
import dns.resolver
import pytest

from coordinator_client import Client, connect
from tests.cluster.harness import Cluster, wait_until

pytestmark = pytest.mark.full

PAY = "pay.service.coordinator."


def resolver_of(cluster: Cluster, i: int) -> dns.resolver.Resolver:
    """A resolver that asks node `i` and nobody else, and keeps nothing."""
    resolver = dns.resolver.Resolver(configure=False)
    host, _, port = cluster.nodes[i - 1].dns.rpartition(":")
    resolver.nameservers = [host]
    resolver.port = int(port)
    resolver.use_edns(0, 0, 1232)
    return resolver


def find(cluster: Cluster, i: int, name: str, type: str, *, tcp: bool = False) -> set[str] | None:
    """What node `i` tells; None: there is no such name."""
    try:
        answer = resolver_of(cluster, i).resolve(
            name, type, tcp=tcp, raise_on_no_answer=False, search=False
        )
    except dns.resolver.NXDOMAIN:
        return None
    return {rdata.to_text() for rdata in answer}


def wait_for(
    cluster: Cluster, i: int, expected: set[str] | None, name: str = PAY, type: str = "A"
) -> None:
    """Waits until node `i` tells just this."""
    seen: list[set[str] | None] = [set()]

    def told() -> bool:
        try:
            seen[0] = find(cluster, i, name, type)
        except dns.resolver.NoNameservers:
            return False  # as long as a node reads its state, it fails
        return seen[0] == expected

    wait_until(told, 10.0, lambda: f"node {i} tells {seen[0]}, not {expected}")


def fill(client: Client, count: int) -> set[str]:
    """Defines instances of one service; returns their addresses."""
    addresses = set()
    for n in range(count):
        address = f"10.7.{n >> 8}.{n & 255}"
        addresses.add(address)
        value = json.dumps({"address": address, "port": 80})
        client.put(f"/services/many/instances/{n}", value)
    return addresses


def test_an_instance_is_found_at_every_node_and_gone_when_it_ends(shared_cluster: Cluster) -> None:
    everyone = range(1, 4)
    with connect(shared_cluster.endpoints) as client:
        with client.register("pay", "10.0.0.7", 8080, tags=["blue"], metadata={"a": "b"}) as mine:
            for i in everyone:
                wait_for(shared_cluster, i, {"10.0.0.7"})
                for tcp in (False, True):
                    assert find(shared_cluster, i, f"blue.{PAY}", "A", tcp=tcp) == {"10.0.0.7"}
                    services = find(shared_cluster, i, PAY, "SRV", tcp=tcp)
                    assert services == {"1 1 8080 0a000007.addr.coordinator."}
                    assert find(shared_cluster, i, PAY, "TXT", tcp=tcp) == {'"a=b"'}
                    assert find(shared_cluster, i, PAY, "AAAA", tcp=tcp) == set()
                target = find(shared_cluster, i, "0a000007.addr.coordinator.", "A")
                assert target == {"10.0.0.7"}
            mine.set_state("maintenance")
            for i in everyone:
                wait_for(shared_cluster, i, set())
        for i in everyone:
            wait_for(shared_cluster, i, None)


def test_five_hundred_instances(shared_cluster: Cluster) -> None:
    name = "many.service.coordinator."
    with connect(shared_cluster.endpoints) as client:
        addresses = fill(client, 500)
    for i in range(1, 4):
        # A truncated answer makes the resolver ask again over TCP.
        wait_for(shared_cluster, i, addresses, name)
        services = find(shared_cluster, i, name, "SRV")
        assert services is not None and len(services) == 500
        host, _, port = shared_cluster.nodes[i - 1].dns.rpartition(":")
        asked = dns.message.make_query(name, "SRV", use_edns=0, payload=1232)
        part = dns.query.udp(asked, host, 5, int(port))
        assert part.flags & dns.flags.TC and 20 < len(part.answer[0]) < 30
        whole = dns.query.tcp(asked, host, 5, int(port))
        assert not whole.flags & dns.flags.TC and len(whole.additional) == 500
        assert {str(rrset[0]) for rrset in whole.additional} == addresses


def test_a_node_that_was_killed_answers_again(cluster: Cluster) -> None:
    name = "many.service.coordinator."
    with connect(cluster.endpoints) as client:
        addresses = fill(client, 3)
        wait_for(cluster, 1, addresses, name)
        cluster.kill(1)
        with pytest.raises(dns.resolver.LifetimeTimeout):
            resolver_of(cluster, 1).resolve(name, "A", lifetime=0.3)
        client.delete("/services/many/instances/0")
        addresses.remove("10.7.0.0")
    for i in (2, 3):
        wait_for(cluster, i, addresses, name)
    cluster.restart(1)
    wait_for(cluster, 1, addresses, name)
