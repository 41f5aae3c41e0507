"""Nodes in one loop that check targets of this loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from coordinator.catalog.catalog import Catalog
from coordinator.catalog.instances import Instance
from coordinator.checks.runner import CheckRunner
from coordinator.checks.slots import ROOT, ROOT_END, read_slot
from coordinator.config import Config, Limits, Timing
from coordinator.node.member import MemberNode
from coordinator.state.commands import DeleteRange, Put, Range, Selector, SessionOpen, Txn, Write
from coordinator.state.results import Outcome, RangeResult
from tests.bus import Bus

LIMITS = Limits(check_interval_ms_min=10)
FAST = {"interval_ms": 20, "timeout_ms": 5_000}
WAIT_S = 10.0
SESSION = 77
"""The one that registers instances."""


class Target:
    """A server on loopback that can be shut. It takes connections and ends them; a silent one keeps them."""

    def __init__(self, silent: bool = False) -> None:
        self.port = 0
        self.asked = 0
        self._silent = silent
        self._server: asyncio.Server | None = None
        self._connections: list[asyncio.BaseTransport] = []

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        target = self

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                target.asked += 1
                target._connections.append(transport)
                if not target._silent:
                    transport.close()

        self._server = await loop.create_server(Connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for transport in self._connections:
            transport.close()
        self._connections.clear()
        await asyncio.sleep(0)


@dataclass
class Member:
    """A node with what runs its checks."""

    node: MemberNode
    catalog: Catalog
    runner: CheckRunner
    following: asyncio.Task[None]

    async def stop(self) -> None:
        await self.runner.stop()
        self.following.cancel()
        await asyncio.wait({self.following})


class Stage:
    """A cluster whose nodes run checks."""

    def __init__(self, bus: Bus, config: Config) -> None:
        self.bus = bus
        self.config = config
        self.members: list[Member] = []

    def start(self, number: int) -> Member:
        node = self.bus.nodes[number]
        catalog = Catalog(node)
        runner = CheckRunner(node, catalog, replace(self.config, name=node.member.name))
        runner.start()
        member = Member(node, catalog, runner, asyncio.create_task(catalog.run()))
        self.members.append(member)
        return member

    async def propose(self, *ops: Put | DeleteRange) -> Outcome:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        return await self.bus.nodes[0].propose(Write(Txn((), ops)), deadline)

    async def register(self, id: str, port: int, **checks: dict[str, Any]) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        await self.bus.nodes[0].propose(SessionOpen(SESSION, 60_000), deadline)
        definition = {"address": "127.0.0.1", "port": port, "checks": checks}
        key = f"/services/pay/instances/{id}".encode()
        state = Put(f"/services/pay/state/{id}".encode(), b'{"state":"passing"}', SESSION)
        await self.propose(Put(key, json.dumps(definition).encode(), SESSION), state)

    def instance(self, id: str) -> Instance | None:
        return self.members[0].catalog.instance("pay", id)

    def status(self, id: str) -> str | None:
        instance = self.instance(id)
        return None if instance is None else instance.state.status

    def note(self, id: str) -> str:
        instance = self.instance(id)
        return "" if instance is None else instance.state.note

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Waits until something is so."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.005)

    async def wait_status(self, id: str, status: str | None) -> None:
        await self.wait(lambda: self.status(id) == status)

    def owners(self) -> dict[int, str]:
        """The name of the node that holds each slot."""
        found = self.bus.nodes[0].state.range(Range(Selector(ROOT, ROOT_END)))
        assert isinstance(found, RangeResult)
        slots = ((read_slot(kv.key), kv.value.decode()) for kv in found.kvs)
        return {slot: name for slot, name in slots if slot is not None}

    def revision(self) -> int:
        return self.bus.nodes[0].state.revision


@contextlib.asynccontextmanager
async def stage(
    names: str = "a", limits: Limits = LIMITS, ttl_ms: int = 1_000, networks: tuple[str, ...] = ()
) -> AsyncIterator[Stage]:
    timing = Timing(checks_session_ttl_ms=ttl_ms)
    config = Config(limits=limits, timing=timing, checks_allowed_networks=networks)
    async with Bus(names, limits=limits, timing=timing) as bus:
        made = Stage(bus, config)
        for number in range(len(names)):
            made.start(number)
        try:
            yield made
        finally:
            for member in made.members:
                await member.stop()


@contextlib.asynccontextmanager
async def target(silent: bool = False) -> AsyncIterator[Target]:
    made = Target(silent)
    await made.open()
    try:
        yield made
    finally:
        await made.shut()
