"""Instances are found by tag and port, whatever the case."""

from __future__ import annotations

from coordinator.gateways.dns.groups import Groups, port_of
from tests.unit.gateways.dns.stage import Stock

PORTS = {"Admin": 9, "Log": {"port": 514, "protocol": "UDP"}}


def test_instances_are_found_by_what_they_have_in_common() -> None:
    stock = Stock()
    stock.add("pay", "a", "10.0.0.1", tags=["Blue", "blue", "v1.2.3"], ports=PORTS)
    stock.add("pay", "b", "10.0.0.2", tags=["blue"], state="critical")
    a, b = stock.service("pay")
    groups = Groups((a, b))
    assert groups.tags == {"blue": [a, b], "v1.2.3": [a]}
    assert groups.ports == {("admin", "tcp"): [a], ("log", "udp"): [a]}
    assert groups.parents == {"2.3", "3", "_tcp", "_udp"}
    assert len(groups) == 5
    assert (port_of(a, ("admin", "tcp")), port_of(b, ("admin", "tcp"))) == (9, 0)
    assert (port_of(a, ("log", "udp")), port_of(a, ("log", "tcp"))) == (514, 0)


def test_a_tag_of_dots_ends() -> None:
    stock = Stock()
    stock.add("pay", "a", "10.0.0.1", tags=["..", "a."])
    assert Groups(stock.service("pay")).parents == {"."}
