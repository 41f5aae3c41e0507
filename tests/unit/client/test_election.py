from __future__ import annotations

import asyncio

import pytest

import coordinator_client
from coordinator_client import (
    Closed,
    DeadlineExceeded,
    FenceStale,
    Leader,
    RequestRefused,
    SessionLost,
    aio,
)
from tests.unit.client.stage import Stage
from tests.unit.client.turnstile import WAIT_S, wait_count


async def test_the_first_candidate_leads_until_it_resigns(client: aio.Client) -> None:
    first, second = client.election("a"), client.election("a")
    assert await second.leader() is None
    fence = await first.campaign("one", 0)
    assert first.held and first.fence == fence
    assert first.session is not None
    assert await second.leader() == Leader(first.key, b"one", fence, first.session.id)
    with pytest.raises(RequestRefused, match="already"):
        await first.campaign()
    with pytest.raises(DeadlineExceeded):
        await second.campaign("two", 0.1)
    waiting = asyncio.create_task(second.campaign("two"))
    await wait_count(client, "/elections/a/", 2)
    leader = await first.leader()
    assert leader is not None and leader.text == "one"
    assert await first.resign() and not await first.resign()
    assert await asyncio.wait_for(waiting, WAIT_S) > fence
    leader = await first.leader()
    assert leader is not None and (leader.text, leader.fence) == ("two", second.fence)
    await second.resign()
    assert (await client.range("/elections/", prefix=True)).count == 0


async def test_a_leader_changes_what_it_proclaims(client: aio.Client) -> None:
    election = client.election("a")
    with pytest.raises(FenceStale, match="does not lead"):
        await election.proclaim("too early")
    fence = await election.campaign("one")
    await election.proclaim("two")
    leader = await election.leader()
    assert leader is not None and (leader.text, leader.fence) == ("two", fence)
    assert election.session is not None and leader.session == election.session.id
    await election.guarded_put("/x", "by the leader")
    await client.delete(election.key)
    with pytest.raises(FenceStale):
        await election.proclaim("three")
    assert await election.leader() is None
    await election.resign()


async def test_observers_see_every_leader(stage: Stage, client: aio.Client) -> None:
    first, second = client.election("a"), client.election("a")
    async with (
        aio.connect(stage.addresses) as elsewhere,
        elsewhere.election("a") as observer,
        observer.observe() as leaders,
    ):
        assert await leaders.next(WAIT_S) is None
        await first.campaign("one")
        await expect(leaders, "one")
        await first.proclaim("uno")
        await expect(leaders, "uno")
        waiting = asyncio.create_task(second.campaign("two"))
        await wait_count(client, "/elections/a/", 2)
        with pytest.raises(DeadlineExceeded):
            await leaders.next(0.1)
        lost = leaders._watch.endpoint
        assert lost is not None
        await stage.stop_front(lost)
        assert first.session is not None
        await client.close_session(first.session.id)
        await expect(leaders, "two")
        await asyncio.wait_for(waiting, WAIT_S)
        async with observer.observe() as late:
            await expect(late, "two")
        with pytest.raises(Closed):
            await late.next()
        await second.resign()
        async for leader in leaders:
            assert leader is None
            await leaders.close()


async def expect(leaders: aio.Leaders, text: str) -> None:
    leader = await leaders.next(WAIT_S)
    assert leader is not None and leader.text == text


async def test_a_leader_that_is_cut_off_is_told(stage: Stage, client: aio.Client) -> None:
    told: list[aio.Election] = []
    with pytest.raises(SessionLost):
        async with client.election("a", ttl=0.6, on_lost=told.append) as election:
            await election.campaign("one")
            for node in range(3):
                await stage.stop_front(node)
            assert await election.lost.wait(WAIT_S)
            assert told == [election] and not election.held
    # A block that ends without a leadership has nothing to tell.
    async with election:
        pass


def test_the_blocking_face_does_the_same(blocking: coordinator_client.Client) -> None:
    with blocking.election("a") as election, election.observe() as leaders:
        seen = []
        for leader in leaders:
            seen.append(leader and leader.text)
            if leader is None:
                if len(seen) > 1:
                    break
                election.campaign("one")
            elif leader.text == "one":
                election.proclaim("two")
            else:
                assert election.resign()
        assert seen == [None, "one", "two", None]
        assert election.leader() is None
