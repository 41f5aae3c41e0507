"""How soon a broken connection is made anew, or the end of the other member is noticed."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from coordinator.consensus.dialing import REDIAL_MS_MAX
from tests.unit.consensus.sockets import End, free_peers

SOON_S = 0.4
"""Less than the pauses between attempts that nothing hastens, and enough for a busy machine."""


async def paired(one: End, two: End) -> None:
    await one.listener.until(lambda: bool(one.listener.connections))
    await two.listener.until(lambda: bool(two.listener.connections))


@pytest.mark.parametrize("gone", [1, 2])
async def test_a_member_that_ended_is_known_to_be_gone(gone: int) -> None:
    peers = free_peers(2)
    async with End(peers, 3 - gone) as left:
        async with End(peers, gone) as other:
            await paired(left, other)
            # Connections that last are looked after at once when they break.
            await asyncio.sleep(REDIAL_MS_MAX / 1_000 + 0.05)
            began_s = time.monotonic()
        await left.listener.until(lambda: left.listener.refusals == [gone])
        assert time.monotonic() - began_s < SOON_S
        assert left.listener.losses == [gone]


@pytest.mark.parametrize("side", [1, 2])
async def test_a_connection_that_breaks_is_made_anew_at_once(side: int) -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one, End(peers, 2) as two:
        await paired(one, two)
        await asyncio.sleep(REDIAL_MS_MAX / 1_000 + 0.05)
        began_s = time.monotonic()
        (one if side == 1 else two).transport._open[3 - side].abort()
        for end in (one, two):
            await times(end, "connections", 2)
        assert time.monotonic() - began_s < SOON_S
        await asyncio.sleep(0.1)
        assert not one.listener.refusals and not two.listener.refusals
        assert one.transport.connected(2) and two.transport.connected(1)


async def test_a_member_that_was_never_there_is_not_said_to_be_gone() -> None:
    peers = free_peers(3)
    async with End(peers, 2) as end:
        await asyncio.sleep(0.3)
        assert not end.listener.refusals and not end.listener.losses


async def times(end: End, noted: str, count: int) -> None:
    await end.listener.until(lambda: len(getattr(end.listener, noted)) == count)


async def test_one_that_comes_back_is_connected_again() -> None:
    peers = free_peers(2)
    async with End(peers, 2) as end:
        for count in (1, 2, 3):
            async with End(peers, 1) as other:
                await times(end, "connections", count)
                await times(other, "connections", 1)
            await times(end, "losses", count)


def test_an_attempt_that_is_given_up_holds_up_nothing() -> None:
    """Wherever it is: the loop that members run on may have made a connection that nobody is told of."""

    async def give_up_after(turns: int) -> None:
        peers = free_peers(2)
        async with End(peers, 1):
            end = End(peers, 2)
            await end.transport.start()
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                await end.transport.stop()
            assert not end.transport._strangers

    async def give_up() -> None:
        for turns in range(14):
            await give_up_after(turns)

    uvloop.run(give_up())
