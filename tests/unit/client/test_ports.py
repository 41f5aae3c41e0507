from __future__ import annotations

import pytest

from coordinator_client.errors import InvalidArgument
from coordinator_client.ports import join_ports, split_ports


def test_ports_come_apart_and_together() -> None:
    written = {"admin": 81, "log": {"port": 514, "protocol": "udp"}}
    assert split_ports(written) == ({"admin": 81, "log": 514}, {"log": "udp"})
    assert join_ports(*split_ports(written)) == written


@pytest.mark.parametrize(
    "port", [{"port": 80}, {"port": 80, "protocol": None}, {"port": 80, "protocol": "TCP"}]
)
def test_a_port_is_tcp_unless_it_says_otherwise(port: dict[str, object]) -> None:
    assert split_ports({"web": port}) == ({"web": 80}, {})
    assert join_ports({"web": 80}, {"web": "tcp"}) == {"web": 80}


@pytest.mark.parametrize(
    "port", ["80", None, [80], {}, {"port": "80"}, {"port": 80, "protocol": 17}]
)
def test_what_is_no_port_is_named(port: object) -> None:
    with pytest.raises(InvalidArgument, match="web"):
        split_ports({"web": port})
