"""A cluster in which nothing goes wrong by itself: for a scenario that a test makes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from coordinator.config import MIB
from tests.simulation.chance import determined
from tests.simulation.hosts import Host
from tests.simulation.loop import simulated
from tests.simulation.profile import profile_of
from tests.simulation.scenario import Scenario


class World:
    """A cluster that has a leader, and nothing that goes wrong by itself."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.hosts = scenario.hosts
        self.network = scenario.network

    async def start(self) -> Host:
        """Returns the leader, once all follow it."""
        for host in self.hosts.all.values():
            self.hosts.boot(host)
        await self.until(lambda: self.settled() is not None)
        await asyncio.sleep(1)
        leader = self.settled()
        assert leader is not None
        return leader

    def settled(self) -> Host | None:
        leader = self.hosts.leader()
        if leader is None:
            return None
        for host in self.hosts.running():
            status = None if host.engine is None else host.engine.status
            if status is None or status.leader != leader.peer.id:
                return None
        return leader

    async def until(self, done: Callable[[], bool], seconds: float = 20) -> None:
        end_s = self.scenario.loop.now + seconds
        while not done():
            assert self.scenario.loop.now < end_s, "it never happened"
            await asyncio.sleep(0.001)

    def followers(self, leader: Host) -> list[int]:
        return [number for number in self.hosts.all if number != leader.peer.id]

    async def gap_s(self, leader: Host) -> float:
        """How long it takes until there is another leader."""
        began_s = self.scenario.loop.now
        await self.until(lambda: self.hosts.leader() not in (None, leader))
        return self.scenario.loop.now - began_s

    def terms(self) -> set[int]:
        return {host.engine.status.term for host in self.hosts.running() if host.engine is not None}


def run(seed: int, members: int, work: Callable[[World], Awaitable[None]]) -> None:
    """Runs a scenario, with the timings that members have by default."""
    profile = replace(
        profile_of(seed),
        members=members,
        spares=0,
        faithless=False,
        window_bytes=0,
        disk_slowness=1.0,
        drift=0.0,
        journal_size_bytes_max=64 * MIB,
        retained_entries=1_000,
        append_size_bytes=65_536,
        appends_in_flight_max=64,
        heartbeat_ms=100,
        election_timeout_ms_min=600,
        election_timeout_ms_max=1_200,
    )
    with simulated() as loop, determined(seed, loop):
        scenario = Scenario(profile, loop, None)
        loop.run_until_complete(work(World(scenario)))
        assert not scenario.hosts.complaints and not loop.complaints
