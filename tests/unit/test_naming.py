from __future__ import annotations

import pytest

from coordinator.naming import ADDRESS_LENGTH_MAX, check_name, split_address


@pytest.mark.parametrize("name", ["n1", "a", "A.b-c_d", "0", "n" * 63])
def test_names_that_may_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "-n", "n 1", "n/1", "n\n", "é", "n" * 64])
def test_names_that_may_not_be(name: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 63"):
        check_name(name)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:65535", "::1", 65535), ("a.b-c:2380", "a.b-c", 2380)],
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize(
    "address",
    [
        *["", "a", ":1", "[]:1", "::1:1", "a b:1", "a/b:1", "a,b:1", "a\n:1", "[a:1", "a]:1"],
        "a" * (ADDRESS_LENGTH_MAX + 1) + ":1",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="not of the form host:port"):
        split_address(address)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "", "²", "1" * 6000])
def test_what_is_no_port(port: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 65535"):
        split_address(f"a:{port}")
