"""Each network of clients has a budget of its own, which refills with time."""

from __future__ import annotations

from coordinator.catalog.instances import pack_address
from coordinator.gateways.dns import rates as module
from coordinator.gateways.dns.rates import NETWORKS_MAX, Rates


def admitted(rates: Rates, address: str, now_s: float, tries: int = 20) -> int:
    return sum(rates.admit(pack_address(address), now_s) for _ in range(tries))


def test_a_budget_is_used_up_and_refills() -> None:
    rates = Rates(10)
    assert admitted(rates, "10.0.0.1", 0.0) == 10
    assert admitted(rates, "10.0.0.1", 0.5) == 5
    assert admitted(rates, "10.0.0.1", 100.0) == 10, "no more than a second is saved up"


def test_networks_are_told_apart() -> None:
    rates = Rates(10)
    assert admitted(rates, "10.0.0.1", 0.0) == 10
    assert admitted(rates, "10.0.0.200", 0.0) == 0
    assert admitted(rates, "10.0.1.1", 0.0) == 10
    assert admitted(rates, "2001:db8:0:1::1", 0.0) == 10
    assert admitted(rates, "2001:db8:0:ff::2", 0.0) == 0
    assert admitted(rates, "2001:db8:0:100::2", 0.0) == 10


def test_a_flood_of_networks_takes_no_memory() -> None:
    rates = Rates(1)
    for number in range(NETWORKS_MAX + 100):
        assert rates.admit(number.to_bytes(3, "big") + b"\1", 0.0)
    assert len(rates._budgets) == module.NETWORKS_MAX
