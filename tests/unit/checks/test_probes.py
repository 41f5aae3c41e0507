"""A run of a check says what is wrong, and raises nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coordinator.checks import targets
from coordinator.checks.definitions import parse_check
from coordinator.checks.probes import NOTE_SIZE_MAX, NotRun, Prober, one_line
from coordinator.checks.targets import Address, Networks, Targets
from coordinator.config import Limits
from tests.unit.checks.stage import target


@contextlib.asynccontextmanager
async def prober(networks: tuple[str, ...] = ()) -> AsyncIterator[Prober]:
    made = Prober(Targets(Networks(networks)), 1024)
    try:
        yield made
    finally:
        await made.close()


async def probe(prober: Prober, port: int, **fields: Any) -> str | None:
    return await prober.probe(parse_check(fields, "127.0.0.1", port, Limits()))


async def test_tcp() -> None:
    async with prober() as made, target() as aim:
        assert await probe(made, aim.port, kind="tcp") is None
        await aim.shut()
        refused = f"127.0.0.1:{aim.port}: Connection refused"
        assert await probe(made, aim.port, kind="tcp") == refused
        assert "no address" in str(await probe(made, 1, kind="tcp", host="nobody.invalid"))
        assert aim.asked == 1


@pytest.mark.parametrize("kind", ["http", "grpc"])
async def test_who_says_nothing_has_a_timeout(kind: str) -> None:
    async with prober() as made, target(silent=True) as aim:
        wrong = await probe(made, aim.port, kind=kind, timeout_ms=50)
        assert wrong == "no answer within 0.05 s" and aim.asked == 1


async def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    real = targets.look_up

    def look_up(host: str, port: int, flags: int = 0) -> list[Address]:
        if flags:
            return real(host, port, flags)
        places = [(socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1")]
        return [Address(family, host, port) for family, host in places]

    monkeypatch.setattr(targets, "look_up", look_up)
    async with prober() as made, target() as aim:
        assert await probe(made, aim.port, kind="tcp", host="two.example") is None
        await aim.shut()
        wrong = await probe(made, aim.port, kind="tcp", host="two.example")
        assert wrong is not None and wrong.startswith("127.0.0.1:")


@pytest.mark.parametrize("kind", ["tcp", "http", "grpc"])
async def test_nothing_outside_of_the_networks_is_connected_to(kind: str) -> None:
    async with prober(("10.0.0.0/8",)) as made, target() as aim:
        wrong = await probe(made, aim.port, kind=kind)
        assert wrong is not None and "outside of the networks" in wrong and aim.asked == 0


@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_what_this_machine_lacks_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with prober() as made, target() as aim:

        async def lack(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, "too many")

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "sock_connect", lack)
        with pytest.raises(NotRun, match="Too many open files"):
            await probe(made, aim.port, kind=kind)


async def test_a_timeout_of_a_node_that_stood_still_is_no_finding() -> None:
    async with prober() as made, target(silent=True) as aim:
        running = asyncio.create_task(probe(made, aim.port, kind="http", timeout_ms=50))
        while not aim.asked:
            await asyncio.sleep(0)
        time.sleep(0.6)
        with pytest.raises(NotRun, match="stood still"):
            await running


async def test_a_name_that_had_no_turn_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def look_up(host: str, port: int, flags: int = 0) -> list[Address]:
        if flags:
            raise OSError
        answer.wait(10)
        return []

    monkeypatch.setattr(targets, "look_up", look_up)
    monkeypatch.setattr(targets, "LOOKUPS_MAX", 1)
    async with prober() as made:
        # The name that takes so long is a finding; those that wait for it are not.
        assert await probe(made, 80, kind="tcp", host="slow.example", timeout_ms=20) == (
            "no answer within 0.02 s"
        )
        with pytest.raises(NotRun, match="names of hosts"):
            await probe(made, 80, kind="tcp", host="fast.example", timeout_ms=20)
        answer.set()
        assert "no address" in str(await probe(made, 80, kind="tcp", host="fast.example"))


async def test_a_mistake_in_a_probe_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("x" * 1000)

    monkeypatch.setattr("coordinator.checks.probes.probe_tcp", fail)
    async with prober() as made:
        wrong = await probe(made, 1, kind="tcp")
        assert wrong is not None and wrong.startswith("the check could not be run")
        assert len(wrong) == NOTE_SIZE_MAX


def test_notes_are_one_line_that_can_be_written() -> None:
    assert one_line("a\r\n  b\x00\udc80c ü") == "a b??c ü"
    assert len(one_line("x" * 1000)) == NOTE_SIZE_MAX
