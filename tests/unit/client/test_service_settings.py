from __future__ import annotations

import json

import pytest

from coordinator_client import Instance, InvalidArgument, KeyValue, RequestRefused
from coordinator_client.service_settings import make_proxies, read_proxies, with_proxies


def stored(value: bytes) -> KeyValue:
    return KeyValue(b"/services/pay/settings", value, 5, 7, 2)


def test_proxies_are_named_by_address_or_in_full() -> None:
    edge = Instance("pay", "edge", "10.0.0.8", 443, tags=("blue",))
    made = make_proxies("pay", ["10.0.0.9:443", "[::1]:80", "lb.example.com:1", edge])
    assert [(proxy.address, proxy.port) for proxy in made] == [
        ("10.0.0.9", 443), ("::1", 80), ("lb.example.com", 1), ("10.0.0.8", 443),
    ]  # fmt: skip
    value = with_proxies(None, made)
    assert value is not None
    back = read_proxies("pay", stored(value))
    assert [(proxy.id, proxy.tags) for proxy in back] == [(proxy.id, proxy.tags) for proxy in made]
    assert all(proxy.proxy and proxy.create_revision == 5 for proxy in back)


@pytest.mark.parametrize(
    "given",
    [
        "10.0.0.9:443", b"x", 7, ["10.0.0.9"], ["a:0"], [7], ["a:1", "a:1"],
        [f"10.0.0.9:{port}" for port in range(1, 34)], [Instance("mail", "a", "a", 1)],
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_proxy_is_refused(given: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        make_proxies("pay", given)


def test_other_settings_are_kept() -> None:
    proxies = make_proxies("pay", ["10.0.0.9:443"])
    entry = {"id": "proxy-10.0.0.9-443", "address": "10.0.0.9", "port": 443}
    value = with_proxies(stored(b'{"guard": {"share": 0.5}, "proxies": "?"}'), proxies)
    assert value is not None
    assert json.loads(value) == {"guard": {"share": 0.5}, "proxies": [entry]}
    assert with_proxies(stored(value), ()) == b'{"guard":{"share":0.5}}'
    assert with_proxies(stored(b'{"proxies": []}'), ()) is None
    assert with_proxies(None, ()) is None
    with pytest.raises(RequestRefused, match="delete it first"):
        with_proxies(stored(b"junk"), proxies)
