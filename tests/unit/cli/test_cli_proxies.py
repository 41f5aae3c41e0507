from __future__ import annotations

from coordinator_client import Instance
from tests.unit.cli.conftest import Coordctl

PROXY = Instance("pay", "proxy-10.0.0.9-443", "10.0.0.9", 443, proxy=True)


def test_proxies_are_published_and_shown(coordctl: Coordctl) -> None:
    coordctl.client.answers |= {"set_service_proxies": None, "service_proxies": (PROXY,)}
    done = coordctl.run("proxies", "pay", "10.0.0.9:443")
    assert done.output == "pay  proxy-10.0.0.9-443  10.0.0.9:443\n"
    assert coordctl.client.asked == [
        ("set_service_proxies", ("pay", ("10.0.0.9:443",)), {}),
        ("service_proxies", ("pay",), {}),
    ]
    (shown,) = coordctl.json("proxies", "pay")["proxies"]
    assert (shown["address"], shown["port"], shown["proxy"]) == ("10.0.0.9", 443, True)
    assert len(coordctl.client.asked) == 3, "nothing was written"


def test_proxies_are_withdrawn(coordctl: Coordctl) -> None:
    coordctl.client.answers |= {"set_service_proxies": None, "service_proxies": ()}
    assert coordctl.run("proxies", "pay", "--off").output == "pay has no proxies\n"
    assert coordctl.client.asked[0] == ("set_service_proxies", ("pay", ()), {})
    assert "--off" in coordctl.run("proxies", "pay", "10.0.0.9:443", "--off", code=2).output
