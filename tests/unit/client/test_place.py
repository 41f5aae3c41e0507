"""A place in the queue is taken once, waited in without polling, and given back whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coordinator_client import (
    Closed,
    DeadlineExceeded,
    InvalidArgument,
    OutcomeUnknown,
    SessionLost,
    Unavailable,
    aio,
    calls,
)
from tests.unit.client.stage import Stage
from tests.unit.client.turnstile import WAIT_S, keys_of, replace_txn, wait_count


async def test_one_that_waits_asks_nothing(stage: Stage, client: aio.Client) -> None:
    async with aio.connect(stage.addresses) as waiter, client.lock("a") as holder:
        asked: list[object] = []
        looked = asyncio.Event()
        attempt = waiter._connection.attempt

        async def look_on(
            endpoint: str, method: Any, request: Any, timeout_s: float, *, safe: bool = False
        ) -> Any:
            asked.append(method)
            if method is calls.RANGE:
                looked.set()
            return await attempt(endpoint, method, request, timeout_s, safe=safe)

        waiter._connection.attempt = look_on  # type: ignore[method-assign]  # looks on
        lock = waiter.lock("a", ttl=0.5)
        waiting = asyncio.create_task(lock.acquire())
        await asyncio.wait_for(looked.wait(), WAIT_S)
        before = len(asked)
        # Longer than its TTL: only keep-alives go out, over their stream.
        await asyncio.sleep(0.7)
        assert len(asked) == before
        await holder.release()
        await asyncio.wait_for(waiting, WAIT_S)
        assert len(asked) == before + 1
        await lock.release()


async def test_one_whose_turn_comes_does_not_read_all_the_others(client: aio.Client) -> None:
    looks: asyncio.Queue[bool] = asyncio.Queue()
    attempt = client._connection.attempt

    async def look_on(
        endpoint: str, method: Any, request: Any, timeout_s: float, *, safe: bool = False
    ) -> Any:
        found = await attempt(endpoint, method, request, timeout_s, safe=safe)
        if method is calls.RANGE and request.keys_only:
            looks.put_nowait(True)
        return found

    client._connection.attempt = look_on  # type: ignore[method-assign]  # looks on
    locks = [client.lock("a") for _ in range(4)]
    await locks[0].acquire()
    waiting = []
    for lock in locks[1:]:
        waiting.append(asyncio.create_task(lock.acquire()))
        await asyncio.wait_for(looks.get(), WAIT_S)
    await locks[0].release()
    await asyncio.wait_for(waiting[0], WAIT_S)
    assert looks.empty()
    # Its predecessor gives up, so that it is not its turn and there is another one to wait for.
    waiting[1].cancel()
    await asyncio.wait_for(looks.get(), WAIT_S)
    assert not waiting[2].done()
    await locks[1].release()
    await asyncio.wait_for(waiting[2], WAIT_S)
    await locks[3].release()
    assert looks.empty()


async def test_a_timeout_leaves_nothing_behind(client: aio.Client) -> None:
    async with client.lock("a") as holder:
        for timeout_s in (0.2, 0):
            late = client.lock("a")
            with pytest.raises(DeadlineExceeded, match=f"within {timeout_s} s"):
                await late.acquire(timeout_s)
            assert not late.held and await keys_of(client, "/locks/") == [holder.key]
            assert len(await client.sessions()) == 2, "the holder's and that of numbered writes"
    with pytest.raises(InvalidArgument, match="timeout_s"):
        await client.lock("a").acquire(-1)


async def test_a_cancelled_one_gives_its_place_back(client: aio.Client) -> None:
    async with client.lock("a"):
        waiting = [asyncio.create_task(client.lock("a").acquire()) for _ in range(3)]
        await wait_count(client, "/locks/a/", 4)
        waiting[1].cancel()
        await wait_count(client, "/locks/a/", 3)
        assert waiting[1].cancelled() or await asyncio.wait([waiting[1]])
        waiting[0].cancel()
        await wait_count(client, "/locks/a/", 2)
    # The last one goes on, although those that it waited for went in the middle.
    assert await asyncio.wait_for(waiting[2], WAIT_S) > 0


async def test_an_answer_that_got_lost_does_not_give_a_second_place(client: aio.Client) -> None:
    applied: list[bool] = []

    async def lose(call: Callable[[], Awaitable[Any]]) -> Any:
        applied.append(len(applied) == 1)
        if len(applied) <= 2:
            if applied[-1]:
                await call()
            raise OutcomeUnknown("the answer got lost")
        return await call()

    replace_txn(client, lose)
    lock = client.lock("a")
    fence = await lock.acquire(WAIT_S)
    assert applied == [False, True, False]
    (kv,) = (await client.range("/locks/a/", prefix=True)).kvs
    assert (kv.key, kv.create_revision) == (lock.key, fence)
    assert await lock.release()


async def test_a_write_that_arrives_after_it_was_given_up_brings_nothing_back(
    client: aio.Client,
) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    late: list[asyncio.Task[Any]] = []

    async def delay(call: Callable[[], Awaitable[Any]]) -> Any:
        async def later() -> Any:
            await go_on.wait()
            return await call()

        late.append(asyncio.create_task(later()))
        started.set()
        return await asyncio.shield(late[-1])

    replace_txn(client, delay)
    acquiring = asyncio.create_task(client.lock("a").acquire())
    await asyncio.wait_for(started.wait(), WAIT_S)
    acquiring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acquiring
    go_on.set()
    with pytest.raises(aio.SessionNotFound):
        await late[0]
    assert await keys_of(client, "/locks/") == []


async def test_it_looks_again_when_what_it_waited_for_is_compacted(
    stage: Stage, client: aio.Client
) -> None:
    lonely = stage.endpoints[1]
    async with (
        aio.connect([stage.endpoints[0], stage.endpoints[2]]) as other,
        aio.connect(lonely) as waiter,
        waiter.lock("mine", ttl=30),
    ):
        holder = other.lock("a")
        await holder.acquire()
        lock = waiter.lock("a", ttl=30)
        waiting = asyncio.create_task(lock.acquire())
        await wait_count(other, "/locks/a/", 2)
        await asyncio.sleep(0.1)
        await stage.stop_front(lonely)
        assert await holder.release()
        await other.compact((await other.put("/mark")).revision)
        assert not waiting.done()
        await stage.start_front(lonely)
        assert await asyncio.wait_for(waiting, WAIT_S) == lock.fence
        await lock.release()


async def test_a_lost_session_ends_the_waiting(client: aio.Client) -> None:
    async with client.lock("a"):
        late = client.lock("a", ttl=0.6)
        waiting = asyncio.create_task(late.acquire())
        await wait_count(client, "/locks/a/", 2)
        key = (await keys_of(client, "/locks/a/"))[-1]
        kv = await client.get(key)
        assert kv is not None
        await client.close_session(kv.session)
        with pytest.raises(SessionLost):
            await asyncio.wait_for(waiting, WAIT_S)
        assert not late.lost.is_set(), "it never had it"


async def test_a_key_that_someone_deleted_ends_the_waiting(client: aio.Client) -> None:
    async with client.lock("a") as holder:
        waiting = asyncio.create_task(client.lock("a").acquire())
        await wait_count(client, "/locks/a/", 2)
        await client.delete((await keys_of(client, "/locks/a/"))[-1])
        assert await holder.release()
        with pytest.raises(SessionLost, match="its key is gone"):
            await asyncio.wait_for(waiting, WAIT_S)
        await holder.acquire()


async def test_without_a_node_the_waiting_ends_with_the_ttl(stage: Stage) -> None:
    async with aio.connect(stage.addresses, timeout_s=0.3) as client:
        holder = client.lock("a", ttl=30)
        await holder.acquire()
        waiting = asyncio.create_task(client.lock("a", ttl=0.6).acquire())
        await wait_count(client, "/locks/a/", 2)
        for node in range(3):
            await stage.stop_front(node)
        started = time.monotonic()
        with pytest.raises(SessionLost, match="TTL"):
            await asyncio.wait_for(waiting, WAIT_S)
        assert time.monotonic() - started < 3
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await client.lock("b").acquire(0.2)


async def test_closing_the_client_ends_the_waiting(stage: Stage, client: aio.Client) -> None:
    async with client.lock("a"), aio.connect(stage.addresses) as other:
        waiting = asyncio.create_task(other.lock("a", ttl=1).acquire())
        await wait_count(client, "/locks/a/", 2)
        await other.close()
        with pytest.raises((Closed, SessionLost)):
            await asyncio.wait_for(waiting, WAIT_S)
