"""What followers make of a leader whose connection breaks: one that is gone, and one that is well."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.consensus.interface import Role
from tests.simulation.world import World, run

QUICK_S = 0.15
"""With heartbeats of 100 ms and election timeouts from 600 ms: far below what waiting for silence takes."""


@pytest.mark.parametrize("members", [3, 5])
@pytest.mark.parametrize("seed", range(6))
def test_a_refused_dial_counts_the_leader_as_not_heard(seed: int, members: int) -> None:
    async def work(world: World) -> None:
        leader = await world.start()
        world.hosts.kill(leader, power=False)
        assert await world.gap_s(leader) < QUICK_S
        assert world.network.refusals >= members // 2

    run(seed, members, work)


def test_a_machine_without_power_is_missed_after_an_election_timeout() -> None:
    """Nobody there refuses anything: this is what the others would take if they waited for silence alone."""

    async def work(world: World) -> None:
        leader = await world.start()
        world.hosts.kill(leader, power=True)
        assert 0.4 < await world.gap_s(leader) < 2
        assert not world.network.refusals

    run(1, 3, work)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("who", ["one follower", "all followers"])
def test_a_reset_never_deposes_a_healthy_leader(seed: int, who: str) -> None:
    async def work(world: World) -> None:
        leader = await world.start()
        terms = world.terms()
        followers = world.followers(leader)
        for _ in range(40):
            for follower in followers[:1] if who == "one follower" else followers:
                world.network.reset(leader.peer.id, follower)
            await asyncio.sleep(0.12)
            assert world.hosts.leader() is leader
        assert world.terms() == terms and leader.engine is not None
        assert leader.engine.status.role is Role.LEADER
        assert not world.network.refusals

    run(seed, 3, work)


@pytest.mark.parametrize("seed", range(4))
def test_a_follower_that_alone_is_refused_deposes_nobody(seed: int) -> None:
    """As behind a wall of fire: it can't reach the leader any more, and a majority can."""

    async def work(world: World) -> None:
        leader = await world.start()
        terms = world.terms()
        follower = world.followers(leader)[0]
        for way in ((follower, leader.peer.id), (leader.peer.id, follower)):
            world.network.block(*way)
        world.network.reset(leader.peer.id, follower)
        await asyncio.sleep(0.02)
        end = world.hosts.all[follower].end
        assert end is not None
        end.listener.peer_refused(leader.peer.id)
        await asyncio.sleep(5)
        assert world.hosts.leader() is leader and world.terms() == terms

    run(seed, 3, work)


@pytest.mark.parametrize("seed", range(4))
def test_a_leader_that_starts_again_at_once_harms_nothing(seed: int) -> None:
    async def work(world: World) -> None:
        leader = await world.start()
        world.hosts.kill(leader, power=False)
        world.hosts.boot(leader)
        await world.until(lambda: world.settled() is not None)
        await asyncio.sleep(1)
        assert world.settled() is not None and len(world.terms()) == 1

    run(seed, 3, work)
