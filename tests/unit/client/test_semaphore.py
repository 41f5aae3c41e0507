from __future__ import annotations

import asyncio

import pytest

import coordinator_client
from coordinator_client import DeadlineExceeded, FenceStale, InvalidArgument, aio
from tests.unit.client.turnstile import WAIT_S, keys_of, wait_count


async def test_so_many_hold_it_at_once_and_no_more(client: aio.Client) -> None:
    inside = most = 0
    fences: list[int] = []
    # Nobody leaves before so many are inside.
    together = asyncio.Barrier(3)

    async def contend() -> None:
        nonlocal inside, most
        async with client.semaphore("a", 3) as permit:
            inside += 1
            most = max(most, inside)
            fences.append(permit.fence)
            await together.wait()
            await permit.guarded_put("/x")
            inside -= 1

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(contend() for _ in range(30)))
    assert most == 3 and len(set(fences)) == 30
    assert await keys_of(client, "/semaphores/") == []


async def test_permits_are_given_in_order(client: aio.Client) -> None:
    holders = [client.semaphore("a", 2) for _ in range(2)]
    for holder in holders:
        await holder.acquire(0)
    assert (await keys_of(client, "/semaphores/"))[0].startswith(b"/semaphores/a/2-")
    waiting = []
    for number in range(3, 6):
        waiting.append(asyncio.create_task(client.semaphore("a", 2).acquire()))
        await wait_count(client, "/semaphores/a/", number)
    with pytest.raises(DeadlineExceeded):
        await client.semaphore("a", 2).acquire(0.1)
    # Whichever of the holders goes first.
    assert await holders[1].release()
    await asyncio.wait_for(waiting[0], WAIT_S)
    assert not waiting[1].done()
    # One that waits and gives up makes room for nobody.
    waiting[1].cancel()
    await wait_count(client, "/semaphores/a/", 3)
    await asyncio.sleep(0.1)
    assert not waiting[2].done()
    assert holders[0].session is not None
    await client.close_session(holders[0].session.id)
    await asyncio.wait_for(waiting[2], WAIT_S)
    with pytest.raises(FenceStale):
        await holders[0].guarded_put("/x")
    assert not await holders[0].release()


async def test_all_must_speak_of_the_same_number(client: aio.Client) -> None:
    async with client.semaphore("a", 3):
        with pytest.raises(InvalidArgument, match="another program says 3"):
            await client.semaphore("a", 2).acquire()
        await client.semaphore("b", 2).acquire(0)
        assert (await client.range("/semaphores/a/", prefix=True)).count == 1


def test_the_blocking_face_does_the_same(blocking: coordinator_client.Client) -> None:
    with blocking.semaphore("a", 2) as first, blocking.semaphore("a", 2) as second:
        assert 0 < first.fence < second.fence
        with pytest.raises(DeadlineExceeded):
            blocking.semaphore("a", 2).acquire(0.1)
    assert not first.release()
    assert blocking.range("/semaphores/", prefix=True).count == 0
