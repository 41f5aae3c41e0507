"""Names and numbers become addresses that checks may connect to, or a sentence."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from coordinator.checks import targets
from coordinator.checks.targets import Address, Networks, Targets, Unreachable


@pytest.mark.parametrize(
    ("allowed", "host", "fine"),
    [
        ((), "8.8.8.8", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8",), "::1", False),
        (("10.0.0.0/8", "fd00::/8"), "fd00::1", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:169.254.169.254", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("127.0.0.1/32",), "0.0.0.0", False),
    ],
)
def test_networks(allowed: tuple[str, ...], host: str, fine: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    assert Networks(allowed).admit(Address(family, host, 80)) == fine


async def test_numbers_and_names_become_addresses() -> None:
    found = Targets(Networks(()))
    assert [str(a) for a in await found.find("127.0.0.1", 80)] == ["127.0.0.1:80"]
    assert [str(a) for a in await found.find("::1", 80)] == ["[::1]:80"]
    # Whatever else the machine calls itself, this one it does.
    assert any(a.host in ("127.0.0.1", "::1") for a in await found.find("localhost", 80))
    with pytest.raises(Unreachable, match=r"there is no address for nobody\.invalid"):
        await found.find("nobody.invalid", 80)
    with pytest.raises(Unreachable):
        await found.find("a" * 100 + ".b", 80)


async def test_what_resolves_outside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = Targets(Networks(["10.0.0.0/8"]))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1: outside of the networks"):
        await allowed.find("127.0.0.1", 80)
    with pytest.raises(Unreachable, match="outside of the networks"):
        await allowed.find("2130706433", 80)  # 127.0.0.1 as one number
    inside, outside = (
        Address(socket.AF_INET, "10.0.0.1", 80),
        Address(socket.AF_INET, "1.1.1.1", 80),
    )

    def look_up(host: str, port: int, flags: int = 0) -> list[Address]:
        if flags:
            raise OSError
        return [outside, inside]

    monkeypatch.setattr(targets, "look_up", look_up)
    assert await allowed.find("both.example", 80) == [inside]


async def test_a_slow_name_is_asked_for_once_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()
    asked: list[str] = []
    real = targets.look_up

    def look_up(host: str, port: int, flags: int = 0) -> list[Address]:
        if flags:
            return real(host, port, flags)
        asked.append(host)
        if host == "slow.example":
            answer.wait(10)
        return [Address(socket.AF_INET, "10.0.0.1", port)]

    monkeypatch.setattr(targets, "look_up", look_up)
    found = Targets(Networks(()))
    slow = [asyncio.create_task(found.find("slow.example", 80)) for _ in range(100)]
    assert await found.find("fast.example", 80)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await found.find("slow.example", 80)
    answer.set()
    assert all(await asyncio.gather(*slow))
    assert sorted(asked) == ["fast.example", "slow.example"]
