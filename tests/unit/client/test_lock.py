from __future__ import annotations

import asyncio
import threading

import pytest

import coordinator_client
from coordinator_client import DeadlineExceeded, RequestRefused, SessionLost, aio
from tests.unit.client.stage import StageThread
from tests.unit.client.turnstile import WAIT_S, keys_of, wait_count


async def test_one_holds_and_the_next_one_waits(client: aio.Client) -> None:
    first, second = client.lock("a"), client.lock("a", owner="the second")
    fence = await first.acquire()
    kv = await client.get(first.key)
    assert kv is not None and kv.create_revision == fence == first.fence
    assert kv.name.startswith("/locks/a/write-") and " pid " in kv.text
    waiting = asyncio.create_task(second.acquire())
    await wait_count(client, "/locks/a/", 2)
    assert not waiting.done()
    queued = await client.get((await keys_of(client, "/locks/a/"))[1])
    assert queued is not None and queued.text == "the second"
    assert await first.release()
    assert await asyncio.wait_for(waiting, WAIT_S) > fence
    assert not await first.release()
    assert await second.release()
    assert await keys_of(client, "/locks/") == []


async def test_many_are_served_one_at_a_time_in_their_order(client: aio.Client) -> None:
    inside = 0
    served: list[bytes] = []

    async def contend() -> None:
        nonlocal inside
        async with client.lock("a") as lock:
            inside += 1
            assert inside == 1
            served.append(lock.key)
            await lock.guarded_put("/turn", lock.key)
            inside -= 1

    holder = client.lock("a")
    await holder.acquire()
    async with asyncio.TaskGroup() as group:
        for _ in range(60):
            group.create_task(contend())
        await wait_count(client, "/locks/a/", 61)
        order = (await keys_of(client, "/locks/a/"))[1:]
        await holder.release()
    assert served == order
    kv = await client.get("/turn")
    assert kv is not None and kv.version == 60
    assert await keys_of(client, "/locks/") == []


async def test_each_waits_for_its_predecessor_alone(client: aio.Client) -> None:
    holder = client.lock("a")
    await holder.acquire()
    waiting = []
    for number in range(2, 6):
        waiting.append(asyncio.create_task(client.lock("a").acquire()))
        await wait_count(client, "/locks/a/", number)
    keys = await keys_of(client, "/locks/a/")
    # One that waits in the middle goes: the one behind it must not take that for its turn.
    waiting[1].cancel()
    await wait_count(client, "/locks/a/", 4)
    await asyncio.sleep(0.1)
    assert [task.done() for task in waiting] == [False, True, False, False]
    await holder.release()
    await asyncio.wait_for(waiting[0], WAIT_S)
    assert not waiting[2].done()
    assert await keys_of(client, "/locks/a/") == [keys[1], keys[3], keys[4]]
    for task in waiting[2:]:
        task.cancel()
    await asyncio.wait(waiting)


async def test_the_next_one_has_it_when_the_holder_dies(client: aio.Client) -> None:
    holder = client.lock("a", ttl=30)
    await holder.acquire()
    waiting = asyncio.create_task(client.lock("a").acquire())
    await wait_count(client, "/locks/a/", 2)
    assert holder.session is not None
    await client.close_session(holder.session.id)
    assert await asyncio.wait_for(waiting, WAIT_S) > holder.fence


async def test_locks_of_other_names_are_others(client: aio.Client) -> None:
    async with client.lock("a"), client.lock("a:1"), client.lock("a.b"):
        with pytest.raises(DeadlineExceeded):
            await client.lock("a").acquire(0)


async def test_a_reentrant_lock_counts(client: aio.Client) -> None:
    lock = client.lock("a", reentrant=True)
    fence = await lock.acquire()
    assert await lock.acquire() == fence
    async with lock:
        assert lock.fence == fence

    async def stranger() -> None:
        with pytest.raises(RequestRefused, match="make another one"):
            await lock.acquire()

    await asyncio.create_task(stranger())
    assert await lock.release() and lock.held
    assert await lock.release() and not lock.held
    assert not await lock.release()
    async with lock:
        assert lock.fence > fence


async def test_a_reentrant_lock_is_not_had_again_after_its_loss(client: aio.Client) -> None:
    lock = client.lock("a", reentrant=True, ttl=0.6)
    await lock.acquire()
    await lock.acquire()
    assert lock.session is not None
    await client.close_session(lock.session.id)
    assert await lock.lost.wait(WAIT_S)
    with pytest.raises(SessionLost):
        await lock.acquire()
    assert [await lock.release() for _ in range(3)] == [False] * 3
    assert await lock.acquire() > 0
    assert await lock.release()


async def test_readers_share_and_writers_do_not(client: aio.Client) -> None:
    shared = client.rwlock("a")
    readers = [shared.reader() for _ in range(3)]
    await readers[0].acquire(0)
    await readers[1].acquire(WAIT_S)
    with pytest.raises(DeadlineExceeded):
        await shared.writer().acquire(0)
    writer = shared.writer()
    writing = asyncio.create_task(writer.acquire())
    await wait_count(client, "/locks/a/", 3)
    # It came after the writer, so it waits for it.
    reading = asyncio.create_task(readers[2].acquire())
    await wait_count(client, "/locks/a/", 4)
    await readers[1].release()
    await asyncio.sleep(0.1)
    assert not writing.done() and not reading.done()
    await readers[0].release()
    await asyncio.wait_for(writing, WAIT_S)
    assert not reading.done()
    await writer.guarded_put("/x")
    await writer.release()
    await asyncio.wait_for(reading, WAIT_S)
    assert writer.fence == 0 and readers[2].fence > 0
    with pytest.raises(DeadlineExceeded):
        await client.lock("a").acquire(0)
    await readers[2].release()


def test_the_blocking_face_serves_threads_in_turn(
    stage_thread: StageThread, blocking: coordinator_client.Client
) -> None:
    inside: list[int] = []
    served: list[int] = []
    failed: list[BaseException] = []

    def contend() -> None:
        try:
            with blocking.lock("a") as lock:
                inside.append(lock.fence)
                assert len(inside) == 1
                lock.guarded_put("/turn")
                served.append(inside.pop())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=contend) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert not failed and served == sorted(served) and len(served) == 12
    assert blocking.range("/locks/", prefix=True).count == 0


def test_the_blocking_face_times_out_and_tells_a_loss(
    stage_thread: StageThread, blocking: coordinator_client.Client
) -> None:
    lost = threading.Event()
    lock = blocking.lock("a", ttl=0.6, reentrant=True, on_lost=lambda lock: lost.set())
    with lock, lock:
        for timeout_s in (0, 0.2):
            with pytest.raises(DeadlineExceeded):
                blocking.lock("a").acquire(timeout_s)
        refused: list[str] = []

        def stranger() -> None:
            try:
                lock.acquire()
            except RequestRefused as error:
                refused.append(error.reason)

        thread = threading.Thread(target=stranger)
        thread.start()
        thread.join(WAIT_S)
        assert refused == ["ALREADY_HELD"]
    assert blocking.range("/locks/", prefix=True).count == 0

    lock.acquire()
    waiting: list[str] = []

    def wait() -> None:
        try:
            blocking.lock("a", ttl=0.6).acquire()
        except SessionLost:
            waiting.append("lost")

    waiter = threading.Thread(target=wait)
    waiter.start()
    with blocking.watch("/locks/", prefix=True, snapshot=True) as watch:
        while blocking.range("/locks/", prefix=True).count < 2:
            watch.next(WAIT_S)
    for node in range(3):
        stage_thread.stop_front(node)
    assert lost.wait(WAIT_S) and lock.lost.is_set() and not lock.held
    waiter.join(WAIT_S)
    assert waiting == ["lost"]
    assert lock.release() is False
