"""What the domain holds: docs/dns.md, question by question."""

from __future__ import annotations

import ipaddress

import dns.flags
import pytest

from coordinator.gateways.dns import zone as module
from tests.unit.gateways.dns.stage import Stock, ask, code, found, make_responder, texts

PAY = "pay.service.coordinator."
PORTS = {"Admin": 9, "Log": {"port": 514, "protocol": "UDP"}, "h3": {"port": 8, "protocol": "quic"}}


@pytest.fixture
def stock() -> Stock:
    stock = Stock()
    stock.add("pay", "a", "10.0.0.1", 81, tags=["Blue", "v1.2"], weight=7)
    stock.add("pay", "b", "10.0.0.2", 82, state="warning", tags=["green"], ports=PORTS)
    stock.add("pay", "c", "2001:db8::3", 83, metadata={"team": "x"})
    for n, status in enumerate(("critical", "maintenance", "starting", "draining", "odd")):
        stock.add("pay", f"bad-{n}", f"10.0.1.{n}", state=status, tags=["sick"])
    return stock


def test_addresses_of_the_healthy(stock: Stock) -> None:
    dns_ = make_responder(stock)
    assert found(dns_, PAY, "A") == ["A 10.0.0.1", "A 10.0.0.2"]
    assert found(dns_, "PAY.Service.COORDINATOR.", "A") == ["A 10.0.0.1", "A 10.0.0.2"]
    assert found(dns_, PAY, "AAAA") == ["AAAA 2001:db8::3"]
    assert ask(dns_, PAY, "A").flags & dns.flags.AA


def test_changes_are_told_at_once(stock: Stock) -> None:
    dns_ = make_responder(stock)
    assert len(found(dns_, PAY, "A")) == 2
    stock.add("pay", "d", "10.0.0.4")
    assert len(found(dns_, PAY, "A")) == 3
    stock.remove("pay", "a")
    assert found(dns_, PAY, "A") == ["A 10.0.0.2", "A 10.0.0.4"]
    stock.add("pay", "d", "10.0.0.4", state="critical")
    assert found(dns_, PAY, "A") == ["A 10.0.0.2"]


def test_services_with_addresses_beside(stock: Stock) -> None:
    dns_ = make_responder(stock)
    answer = ask(dns_, PAY, "SRV")
    v6 = ipaddress.ip_address("2001:db8::3").packed.hex()
    assert sorted(texts(answer.answer)) == [
        "SRV 1 1 82 0a000002.addr.coordinator.",
        f"SRV 1 1 83 {v6}.addr.coordinator.",
        "SRV 1 7 81 0a000001.addr.coordinator.",
    ]
    assert sorted(rrset.to_text() for rrset in answer.additional) == [
        "0a000001.addr.coordinator. 0 IN A 10.0.0.1",
        "0a000002.addr.coordinator. 0 IN A 10.0.0.2",
        f"{v6}.addr.coordinator. 0 IN AAAA 2001:db8::3",
    ]
    for target, type, address in (("0a000001", "A", "10.0.0.1"), (v6, "AAAA", "2001:db8::3")):
        assert found(dns_, f"{target}.addr.coordinator.", type) == [f"{type} {address}"]
    assert found(dns_, "0a000001.addr.coordinator.", "AAAA") == []


def test_other_forms_of_names(stock: Stock) -> None:
    dns_ = make_responder(stock)
    assert found(dns_, f"blue.{PAY}", "A") == ["A 10.0.0.1"]
    assert found(dns_, f"v1.2.{PAY}", "A") == ["A 10.0.0.1"]
    assert len(found(dns_, "_pay._tcp.service.coordinator.", "SRV")) == 3
    blue = ["SRV 1 7 81 0a000001.addr.coordinator."]
    assert found(dns_, "_pay._blue.service.coordinator.", "SRV") == blue
    admin = ["SRV 1 1 9 0a000002.addr.coordinator."]
    assert found(dns_, f"_admin._tcp.{PAY}", "SRV") == admin
    assert found(dns_, f"_ADMIN._TCP.{PAY}", "SRV") == admin


def test_further_ports_are_told_under_their_protocol(stock: Stock) -> None:
    dns_ = make_responder(stock)
    for name, number in (("_log._udp", 514), ("_H3._quic", 8)):
        expected = [f"SRV 1 1 {number} 0a000002.addr.coordinator."]
        assert found(dns_, f"{name}.{PAY}", "SRV") == expected
    stock.add("pay", "d", "10.0.0.4", ports={"log": {"port": 515, "protocol": "udp"}})
    stock.add("pay", "e", "10.0.0.5", ports={"log": 516})
    both = ["SRV 1 1 514 0a000002.addr.coordinator.", "SRV 1 1 515 0a000004.addr.coordinator."]
    assert found(dns_, f"_log._udp.{PAY}", "SRV") == both
    assert found(dns_, f"_log._tcp.{PAY}", "SRV") == ["SRV 1 1 516 0a000005.addr.coordinator."]


def test_text_is_metadata(stock: Stock) -> None:
    assert found(make_responder(stock), PAY, "TXT") == ['TXT ""', 'TXT "team=x"']


NOT_THERE = [
    "other.service.coordinator.", f"red.{PAY}", f"_other._tcp.{PAY}", "other.coordinator.",
    "a.ns.coordinator.", "_other._tcp.service.coordinator.", "_pay._red.service.coordinator.",
    f"_admin._udp.{PAY}", f"_log._tcp.{PAY}", f"_._tcp.{PAY}", f"_sctp.{PAY}",
    "0a00000.addr.coordinator.", f"_tcp.blue.{PAY}", "\\233.service.coordinator.",
]  # fmt: skip
EMPTY = [
    (PAY, "MX"), (PAY, "CNAME"), (f"sick.{PAY}", "A"), (f"2.{PAY}", "A"), (f"_tcp.{PAY}", "SRV"), (f"_quic.{PAY}", "A"),
    (f"_admin._tcp.{PAY}", "A"), ("_pay._tcp.service.coordinator.", "A"),
    ("_tcp.service.coordinator.", "A"), ("service.coordinator.", "A"), ("addr.coordinator.", "A"),
    ("coordinator.", "A"), ("ns.coordinator.", "AAAA"), ("0a000001.addr.coordinator.", "TXT"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "type", "rcode"),
    [(name, "A", "NXDOMAIN") for name in NOT_THERE]
    + [(name, type, "NOERROR") for name, type in EMPTY],
)
def test_nothing_there_and_nothing_to_say_are_told_apart(
    stock: Stock, name: str, type: str, rcode: str
) -> None:
    answer = ask(make_responder(stock, negative_ttl_s=9), name, type)
    assert code(answer) == rcode and not answer.answer and answer.flags & dns.flags.AA
    (authority,) = answer.authority
    serial = stock.revision
    assert authority.to_text() == (
        f"coordinator. 9 IN SOA ns.coordinator. hostmaster.coordinator. {serial} 3600 600 86400 9"
    )


def test_a_service_without_healthy_instances_is_there(stock: Stock) -> None:
    stock.add("sad", "a", "10.0.0.9", state="critical")
    dns_ = make_responder(stock)
    for type in ("A", "AAAA", "SRV", "TXT"):
        answer = ask(dns_, "sad.service.coordinator.", type)
        assert code(answer) == "NOERROR" and not answer.answer and answer.authority
    stock.remove("sad", "a")
    assert code(ask(dns_, "sad.service.coordinator.", "A")) == "NXDOMAIN"


def test_what_the_guard_keeps_is_told_when_nothing_is_healthy(stock: Stock) -> None:
    stock.add("pay", "kept", "10.0.2.1", state="critical", guarded=True)
    stock.add("pay", "away", "10.0.2.2", state="maintenance", guarded=True)
    dns_ = make_responder(stock)
    assert found(dns_, PAY, "A") == ["A 10.0.0.1", "A 10.0.0.2"]
    for id in "abc":
        stock.remove("pay", id)
    assert found(dns_, PAY, "A") == ["A 10.0.2.1"]
    stock.add("pay", "kept", "10.0.2.1", state="critical", guarded=False)
    assert found(dns_, PAY, "A") == []


def test_proxies_are_told_in_place_of_instances(stock: Stock) -> None:
    dns_ = make_responder(stock)
    proxy = {"address": "10.9.9.9", "port": 443, "metadata": {"edge": "1"}, "tags": ["blue"]}
    stock.publish("pay", proxy, {"address": "2001:db8::9", "port": 8443, "ports": {"log": 1}})
    v6 = ipaddress.ip_address("2001:db8::9").packed.hex()
    assert found(dns_, PAY, "A") == ["A 10.9.9.9"]
    assert found(dns_, PAY, "AAAA") == ["AAAA 2001:db8::9"]
    assert found(dns_, PAY, "SRV") == [
        "SRV 1 1 443 0a090909.addr.coordinator.", f"SRV 1 1 8443 {v6}.addr.coordinator.",
    ]  # fmt: skip
    assert found(dns_, PAY, "TXT") == ['TXT ""', 'TXT "edge=1"']
    assert found(dns_, f"blue.{PAY}", "A") == ["A 10.9.9.9"]
    assert found(dns_, f"_log._tcp.{PAY}", "SRV") == [f"SRV 1 1 1 {v6}.addr.coordinator."]
    assert code(ask(dns_, f"green.{PAY}", "A")) == "NXDOMAIN"
    stock.publish("edge", proxy)
    assert found(dns_, "edge.service.coordinator.", "A") == ["A 10.9.9.9"], "without an instance"
    stock.publish("pay")
    stock.publish("edge")
    assert found(dns_, PAY, "A") == ["A 10.0.0.1", "A 10.0.0.2"]
    assert code(ask(dns_, "edge.service.coordinator.", "A")) == "NXDOMAIN"


def test_the_domain_itself(stock: Stock) -> None:
    dns_ = make_responder(stock, ttl_s=30)
    answer = ask(dns_, "coordinator.", "NS")
    assert texts(answer.answer) == ["NS ns.coordinator."]
    assert texts(answer.additional) == ["A 192.0.2.53"]
    (soa,) = ask(dns_, "coordinator.", "SOA").answer
    assert soa.ttl == 30 and soa[0].minimum == 0 and soa[0].serial == stock.revision
    assert found(dns_, "ns.coordinator.", "A") == ["A 192.0.2.53"]


def test_all_records_are_not_given(stock: Stock) -> None:
    dns_ = make_responder(stock)
    for name in (
        PAY,
        "coordinator.",
        f"blue.{PAY}",
        "service.coordinator.",
        "1.0.0.10.in-addr.arpa.",
    ):
        assert found(dns_, name, "ANY") == ['HINFO "RFC8482" ""']
    assert code(ask(dns_, "other.service.coordinator.", "ANY")) == "NXDOMAIN"


def test_reverse_names_of_instances(stock: Stock) -> None:
    stock.add("mail", "m", "10.0.0.1")
    dns_ = make_responder(stock)
    services = ["PTR mail.service.coordinator.", "PTR pay.service.coordinator."]
    assert found(dns_, "1.0.0.10.in-addr.arpa.", "PTR") == services
    v6 = ipaddress.ip_address("2001:db8::3").reverse_pointer
    assert found(dns_, f"{v6}.", "PTR") == ["PTR pay.service.coordinator."]
    answer = ask(dns_, "1.0.0.10.in-addr.arpa.", "A")
    assert code(answer) == "NOERROR" and not answer.answer and not answer.authority
    assert code(ask(dns_, "9.9.9.9.in-addr.arpa.", "PTR")) == "REFUSED"


def test_hosts_are_aliases_only_where_there_are_no_addresses() -> None:
    stock = Stock()
    stock.add("db", "a", "db1.example.com", 5432)
    stock.add("db", "b", "db2.example.com.", 5433)
    stock.add("db", "c", "not..a.host", 5434)
    dns_ = make_responder(stock)
    both = {"CNAME db1.example.com.", "CNAME db2.example.com."}
    seen = set()
    for _ in range(60):
        for type in ("A", "AAAA", "CNAME"):
            (alias,) = found(dns_, "db.service.coordinator.", type)
            seen.add(alias)
    assert seen == both
    answer = ask(dns_, "db.service.coordinator.", "SRV")
    assert sorted(texts(answer.answer)) == [
        "SRV 1 1 5432 db1.example.com.",
        "SRV 1 1 5433 db2.example.com.",
    ]
    assert not answer.additional
    stock.add("db", "d", "10.0.0.1")
    assert found(dns_, "db.service.coordinator.", "A") == ["A 10.0.0.1"]
    assert found(dns_, "db.service.coordinator.", "AAAA") == []
    assert found(dns_, "db.service.coordinator.", "CNAME") == []


def test_a_record_comes_once() -> None:
    stock = Stock()
    for id in "abc":
        stock.add("pay", id, "10.0.0.1", 80)
    dns_ = make_responder(stock)
    for type in ("A", "SRV", "TXT"):
        assert len(found(dns_, PAY, type)) == 1


def test_times_to_live_are_those_of_the_settings(stock: Stock) -> None:
    answer = ask(make_responder(stock, ttl_s=7), PAY, "SRV")
    assert {rrset.ttl for rrset in (*answer.answer, *answer.additional)} == {7}


@pytest.mark.parametrize("count", [150, 500])
def test_large_services(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(module, "INSTANCES_MAX", 200)
    stock = Stock()
    for n in range(count):
        stock.add("pay", str(n), f"10.1.{n >> 8}.{n & 255}")
    stock.add("pay", "only", "2001:db8::1")
    dns_ = make_responder(stock)
    answer = ask(dns_, PAY, "A", 1232)
    assert answer.flags & dns.flags.TC and len(texts(answer.answer)) > 70
    answer = ask(dns_, PAY, "SRV", None)
    assert answer.flags & dns.flags.TC and len(texts(answer.answer)) > 7
    assert len(found(dns_, PAY, "A")) == min(count, 200)
    assert found(dns_, PAY, "AAAA") == ["AAAA 2001:db8::1"], "however many have none"
    seen = {text for _ in range(60) for text in found(dns_, PAY, "A")}
    assert len(seen) == count, "each of them has its turn"


def test_the_name_of_a_port_may_have_dots(stock: Stock) -> None:
    stock.add("web", "a", "10.0.0.1", ports={"grpc.Admin": 9})
    dns_ = make_responder(stock)
    web = "web.service.coordinator."
    assert found(dns_, f"_grpc.admin._tcp.{web}", "SRV") == ["SRV 1 1 9 0a000001.addr.coordinator."]
    for parent in ("admin._tcp", "_tcp"):
        assert code(ask(dns_, f"{parent}.{web}", "SRV")) == "NOERROR"
    for nothing in ("_grpc._tcp", "_admin._tcp", "grpc.admin._tcp", "_grpc.admin._udp"):
        assert code(ask(dns_, f"{nothing}.{web}", "SRV")) == "NXDOMAIN"
