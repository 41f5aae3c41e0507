"""What is held is proved by a fence, and its loss is told at once."""

from __future__ import annotations

import time

import pytest

from coordinator_client import (
    FenceStale,
    InvalidArgument,
    Put,
    RequestRefused,
    SessionLost,
    aio,
)
from tests.unit.client.stage import Stage
from tests.unit.client.turnstile import WAIT_S


async def test_a_write_is_refused_once_the_fence_is_stale(client: aio.Client) -> None:
    first, second = client.lock("a"), client.lock("a")
    fences = [await first.acquire()]
    written = await first.guarded_put("/x", "1")
    old = (first.key, first.fence)
    assert first.session is not None
    # The first one does not know yet what the cluster knows.
    await client.close_session(first.session.id)
    fences.append(await second.acquire(WAIT_S))
    assert fences[0] < fences[1]
    with pytest.raises(FenceStale, match="/locks/a/write-"):
        await first.guarded_put("/x", "too late")
    with pytest.raises(FenceStale):
        await client.guarded_put("/x", "too late", holder=old[0], fence=old[1])
    kv = await client.get("/x")
    assert kv is not None and (kv.text, kv.mod_revision) == ("1", written.revision)
    done = await client.txn().when(first.guard()).then(Put("/x", "2")).commit()
    assert not done.succeeded
    put = await client.guarded_put("/x", "2", holder=second.key, fence=second.fence, prev=True)
    assert put.prev is not None and put.prev.text == "1"
    await second.guarded_put("/y", session=second.session)
    assert await second.release()
    assert await client.get("/y") is None


async def test_what_is_not_held_guards_nothing(client: aio.Client) -> None:
    lock = client.lock("a")
    assert (lock.held, lock.fence, lock.key, lock.session) == (False, 0, b"", None)
    with pytest.raises(FenceStale):
        await lock.guarded_put("/x")
    with pytest.raises(FenceStale):
        lock.guard()
    for fence in (0, -1, True, "1"):
        with pytest.raises(InvalidArgument, match="fence"):
            await client.guarded_put("/x", holder="/k", fence=fence)  # type: ignore[arg-type]  # wrong on purpose


async def test_a_loss_is_told_at_once_and_once(stage: Stage, client: aio.Client) -> None:
    told: list[aio.Lock] = []
    lock = client.lock("a", ttl=0.6, on_lost=told.append)
    await lock.acquire()
    fence = lock.fence
    for node in range(3):
        await stage.stop_front(node)
    started = time.monotonic()
    assert await lock.lost.wait(WAIT_S)
    assert time.monotonic() - started < 0.9
    assert told == [lock] and "TTL" in lock.lost_reason
    assert not lock.held and lock.fence == fence
    assert repr(lock) == "<Lock /locks/a: lost>"
    assert await lock.release() is False
    for node in range(3):
        await stage.start_front(node)
    # It can be taken again, and is not lost any more then.
    assert await lock.acquire(WAIT_S) > fence
    assert lock.held and not lock.lost.is_set() and lock.lost_reason == ""
    assert repr(lock) == f"<Lock /locks/a: held, fence {lock.fence}>"
    assert await lock.release() is True
    assert told == [lock]


async def test_a_loss_that_shows_at_the_release_is_told_there(client: aio.Client) -> None:
    lock = client.lock("a", ttl=30)
    await lock.acquire()
    assert lock.session is not None
    await client.close_session(lock.session.id)
    assert await lock.release() is False
    assert lock.lost.is_set() and lock.lost_reason


async def test_a_block_does_not_pass_over_a_loss(client: aio.Client) -> None:
    with pytest.raises(SessionLost):
        async with client.lock("a", ttl=30) as lock:
            assert lock.session is not None
            await client.close_session(lock.session.id)
    with pytest.raises(ZeroDivisionError):
        async with client.lock("a", ttl=30) as lock:
            assert lock.session is not None
            await client.close_session(lock.session.id)
            raise ZeroDivisionError
    async with client.lock("a", ttl=30) as lock:
        assert lock.session is not None
        await client.close_session(lock.session.id)
        # The program knows.
        assert not await lock.release()


async def test_a_release_without_a_node_leaves_it_to_the_ttl(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with aio.connect(stage.addresses, timeout_s=0.3) as client:
        lock = client.lock("a")
        await lock.acquire()
        for node in range(3):
            await stage.stop_front(node)
        assert await lock.release()
    assert "left to its TTL" in caplog.text


async def test_an_object_holds_once(client: aio.Client) -> None:
    async with client.lock("a") as lock:
        with pytest.raises(RequestRefused) as refused:
            await lock.acquire()
        assert refused.value.reason == "ALREADY_HELD"
        assert lock.held


async def test_a_broken_callback_breaks_nothing(
    client: aio.Client, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(lock: aio.Lock) -> None:
        raise ZeroDivisionError

    lock = client.lock("a", ttl=0.5, on_lost=fail)
    await lock.acquire()
    assert lock.session is not None
    await client.close_session(lock.session.id)
    assert await lock.lost.wait(WAIT_S)
    await lock.release()
    assert "on_lost" in caplog.text
