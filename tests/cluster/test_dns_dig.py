"""DNS of real nodes as `dig` sees it, which reads answers with another eye than the library of the other tests.

It comes with the package bind9-dnsutils of Debian and Ubuntu.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from coordinator_client import Client, connect
from tests.cluster.harness import Cluster, wait_until

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(shutil.which("dig") is None, reason="no dig: apt install bind9-dnsutils"),
]

DOMAIN = "coordinator."
MANY = 500
TRANSPORTS = ("+notcp", "+tcp")
SECTION = re.compile(r";; (?:OPT )?(\w+)(?: PSEUDO)?(?: SECTION|SECTION):")


@dataclass
class Reply:
    """What dig printed."""

    status: str = ""
    flags: frozenset[str] = frozenset()
    records: dict[str, set[str]] = field(default_factory=dict)
    """By section, each as `name type data`."""
    text: str = ""

    def data(self, section: str = "ANSWER") -> set[str]:
        """The data of the records of a section, without names and types."""
        return {record.split(" ", 2)[2] for record in self.records.get(section, ())}


def dig(cluster: Cluster, node: int, *words: str) -> Reply:
    host, _, port = cluster.nodes[node - 1].dns.rpartition(":")
    command = ["dig", f"@{host}", "-p", port, "+time=5", "+tries=1", "+norecurse", *words]
    text = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    reply, section = Reply(text=text), ""
    for line in text.splitlines():
        if found := re.search(r"status: (\w+)", line):
            reply.status = found[1]
        elif found := re.match(r";; flags: ([^;]*);", line):
            reply.flags = frozenset(found[1].split())
        elif found := SECTION.match(line):
            section = found[1]
        elif line and not line.startswith(";"):
            name, ttl, _, type, data = line.split(None, 4)
            assert ttl == "0", "nobody set dns_ttl_s"
            reply.records.setdefault(section, set()).add(f"{name} {type} {data}")
    return reply


def define(client: Client, service: str, id: str, address: str, **more: object) -> None:
    value = json.dumps({"address": address, "port": 80} | more)
    client.put(f"/services/{service}/instances/{id}", value)


@pytest.fixture(scope="module")
def named(shared_cluster: Cluster) -> Iterator[Cluster]:
    """A cluster whose nodes all know some services."""
    with connect(shared_cluster.endpoints) as client:
        define(
            client,
            "pay",
            "p",
            "10.0.0.7",
            port=8080,
            tags=["blue"],
            metadata={"team": "a"},
            ports={"admin": 8081},
            weight=5,
        )
        define(client, "six", "s", "fd00::7")
        define(client, "host", "h", "db.example.org")
        define(client, "down", "d", "10.0.0.8")
        client.put("/services/down/state/d", json.dumps({"state": "maintenance"}))
        for n in range(MANY):
            define(client, "many", str(n), f"10.9.{n >> 8}.{n & 255}")
    for node in range(1, 4):

        def tells_all(node: int = node) -> bool:
            return len(dig(shared_cluster, node, "+tcp", f"many.service.{DOMAIN}").data()) == MANY

        # Nodes apply in order, so that one that knows the last services knows the first.
        wait_until(tells_all, 10, lambda: "a node does not tell all")
    yield shared_cluster


SRV_OF_PAY = "1 5 8080 0a000007.addr.coordinator."
ADDRESS_OF_PAY = {"0a000007.addr.coordinator. A 10.0.0.7"}
ANSWERS = [
    ("pay.service", "A", {"10.0.0.7"}),
    ("PAY.Service", "A", {"10.0.0.7"}),
    ("pay.service", "AAAA", set()),
    ("pay.service", "SRV", {SRV_OF_PAY}),
    ("pay.service", "TXT", {'"team=a"'}),
    ("pay.service", "MX", set()),
    ("pay.service", "ANY", {'"RFC8482" ""'}),
    ("blue.pay.service", "A", {"10.0.0.7"}),
    ("blue.pay.service", "SRV", {SRV_OF_PAY}),
    ("_pay._tcp.service", "SRV", {SRV_OF_PAY}),
    ("_pay._blue.service", "SRV", {SRV_OF_PAY}),
    ("_pay._tcp.service", "A", set()),
    ("_admin._tcp.pay.service", "SRV", {"1 5 8081 0a000007.addr.coordinator."}),
    ("six.service", "AAAA", {"fd00::7"}),
    ("six.service", "A", set()),
    ("host.service", "A", {"db.example.org."}),
    ("host.service", "SRV", {"1 1 80 db.example.org."}),
    ("0a000007.addr", "A", {"10.0.0.7"}),
    ("down.service", "A", set()),
    ("down.service", "SRV", set()),
    ("service", "A", set()),
    ("ns", "A", {"127.0.0.1"}),
    ("", "NS", {"ns.coordinator."}),
]
MISSING = [
    "no.service",
    "red.pay.service",
    "_no._tcp.service",
    "_admin._tcp.six.service",
    "zzzzzzzz.addr",
    "no",
]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_form_is_answered_by_every_node(named: Cluster, transport: str) -> None:
    for node in (1, 2, 3) if transport == "+notcp" else (1,):
        for name, type, expected in ANSWERS:
            asked = f"{name}.{DOMAIN}" if name else DOMAIN
            reply = dig(named, node, transport, asked, type)
            assert reply.status == "NOERROR", (asked, type, reply.text)
            assert {"qr", "aa"} <= reply.flags and "tc" not in reply.flags, reply.text
            assert reply.data() == expected, (asked, type, reply.text)
            soa = reply.records.get("AUTHORITY", set())
            assert expected or (all(r.startswith("coordinator. SOA ns.") for r in soa) and soa)
            if SRV_OF_PAY in expected:
                assert reply.records["ADDITIONAL"] == ADDRESS_OF_PAY
        for name in MISSING:
            reply = dig(named, node, transport, f"{name}.{DOMAIN}", "SRV")
            assert reply.status == "NXDOMAIN" and not reply.data(), reply.text
            assert len(reply.records["AUTHORITY"]) == 1, "says how long that may be remembered"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_domain_and_reverse_names(named: Cluster, transport: str) -> None:
    reply = dig(named, 1, transport, DOMAIN, "SOA")
    (soa,) = reply.data()
    assert re.fullmatch(r"ns\.coordinator\. hostmaster\.coordinator\. \d+( \d+){4}", soa), soa
    assert dig(named, 1, transport, DOMAIN, "NS").data("ADDITIONAL") == {"127.0.0.1"}
    assert dig(named, 1, transport, "-x", "10.0.0.7").data() == {"pay.service.coordinator."}
    assert dig(named, 1, transport, "-x", "fd00::7").data() == {"six.service.coordinator."}
    # Healthy or not.
    assert dig(named, 1, transport, "-x", "10.0.0.8").data() == {"down.service.coordinator."}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_refused(named: Cluster, transport: str) -> None:
    outside = [
        ("example.org.", "A"),
        ("coordinator.example.", "SOA"),
        ("-x", "192.0.2.1"),
        (f"pay.service.{DOMAIN}", "A", "-c", "CH"),
    ]
    for words in outside:
        reply = dig(named, 1, transport, *words)
        assert reply.status == "REFUSED" and not reply.records, (words, reply.text)
    reply = dig(named, 1, transport, "+opcode=notify", DOMAIN, "SOA")
    assert reply.status == "NOTIMP", reply.text


def test_no_zone_is_transferred(named: Cluster) -> None:
    for type in ("AXFR", "IXFR=1"):
        reply = dig(named, 1, DOMAIN, type)
        assert "Transfer failed" in reply.text or reply.status == "REFUSED", reply.text
        assert not reply.records


@pytest.mark.parametrize("type", ["A", "SRV"])
def test_five_hundred_are_told_over_tcp(named: Cluster, type: str) -> None:
    name = f"many.service.{DOMAIN}"
    for node in range(1, 4):
        part = dig(named, node, "+ignore", "+bufsize=1232", name, type)
        assert part.status == "NOERROR" and "tc" in part.flags
        assert 20 < len(part.data()) < MANY
        # Without EDNS there is room for 512 bytes.
        least = dig(named, node, "+ignore", "+noedns", name, type)
        assert "tc" in least.flags and 0 < len(least.data()) < len(part.data())
        # Left to itself, dig asks again over TCP.
        whole = dig(named, node, name, type)
        assert "retrying in TCP mode" in whole.text
        assert len(whole.data()) == MANY and "tc" not in whole.flags
        if type == "SRV":
            assert len(set(whole.data("ADDITIONAL"))) == MANY
