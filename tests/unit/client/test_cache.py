from __future__ import annotations

import asyncio
import logging

import pytest

from coordinator.config import Limits
from coordinator_client import (
    CacheChange,
    Cause,
    Client,
    Closed,
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    Unavailable,
    aio,
)
from tests.unit.client.stage import Stage

WAIT_S = 10


def names(cache: aio.Cache) -> list[str]:
    return [kv.name for kv in cache]


async def until_stale(cache: aio.Cache, stale: bool) -> None:
    async with asyncio.timeout(WAIT_S):
        while cache.stale != stale:
            await asyncio.sleep(0.01)


async def test_it_is_full_when_it_is_entered_and_current_later(client: aio.Client) -> None:
    for key in ("/c/2", "/c/1", "/d"):
        await client.put(key, key)
    cache = client.cache("/c/")
    assert (cache.revision, cache.stale, len(cache)) == (0, True, 0)
    async with cache:
        assert (names(cache), cache.stale, cache.prefix) == (["/c/1", "/c/2"], False, b"/c/")
        assert cache.range() == (await client.range("/c/", prefix=True)).kvs
        put = await client.put("/c/10", "x")
        await cache.wait_for_revision(put.revision, WAIT_S)
        assert cache.get("/c/10") == await client.get("/c/10")
        assert names(cache) == ["/c/1", "/c/10", "/c/2"]
        assert [kv.name for kv in cache.range("/c/1", prefix=True)] == ["/c/1", "/c/10"]
        assert [kv.name for kv in cache.range(range_end="/c/2", limit=1)] == ["/c/1"]
        gone = await client.delete("/c/1")
        await cache.wait_for_revision(gone.revision, WAIT_S)
        assert "/c/1" not in cache and "/c/2" in cache and cache.get("/c/1") is None
    assert cache.stale
    assert names(cache) == ["/c/10", "/c/2"]
    with pytest.raises(Closed):
        await cache.wait_for_revision(cache.revision + 1)
    with pytest.raises(Closed):
        await cache.open()


async def test_it_can_hold_everything(client: aio.Client) -> None:
    await client.put(b"\xff", "x")
    await client.put("a", "x")
    async with client.cache("") as cache:
        assert [kv.key for kv in cache] == [b"a", b"\xff"]


async def test_reads_are_looked_at(client: aio.Client) -> None:
    async with client.cache("/c/") as cache:
        for key in ("/d", "/c", ""):
            with pytest.raises(InvalidArgument, match="outside of the cache of /c/"):
                cache.get(key)
        with pytest.raises(InvalidArgument, match="either"):
            cache.range("/c/1", prefix=True, range_end="/c/2")
        with pytest.raises(InvalidArgument, match="limit"):
            cache.range(limit=-1)
        with pytest.raises(InvalidArgument, match="revision"):
            await cache.wait_for_revision(-1)
    with pytest.raises(InvalidArgument, match="on_change"):
        client.cache("/c/", on_change=1)  # type: ignore[arg-type]  # wrong on purpose


async def test_revisions_of_other_keys_are_waited_for_without_polling_the_keys(
    client: aio.Client,
) -> None:
    async with client.cache("/c/") as cache:
        for _ in range(3):
            other = await client.put("/other")
            await asyncio.gather(
                *(cache.wait_for_revision(other.revision, WAIT_S) for _ in range(5))
            )
            assert cache.revision == other.revision
        with pytest.raises(DeadlineExceeded, match=f"not at {other.revision + 1}"):
            await cache.wait_for_revision(other.revision + 1, 0.1)
        with pytest.raises(DeadlineExceeded):
            await cache.wait_for_revision(other.revision + 1, 0)
        await cache.wait_for_revision(other.revision, 0)
        waiting = asyncio.create_task(cache.wait_for_revision(other.revision + 1, WAIT_S))
        await asyncio.sleep(0.02)
        await client.put("/c/1")
        await waiting


async def test_it_shows_the_last_view_while_no_node_is_there(
    stage: Stage, client: aio.Client
) -> None:
    await client.put("/c/1", "old")
    async with client.cache("/c/") as cache:
        for node in range(3):
            await stage.stop_front(node)
        await until_stale(cache, True)
        kv = cache.get("/c/1")
        assert kv is not None and kv.text == "old"
        assert "stale" in repr(cache)
        waiting = asyncio.create_task(cache.wait_for_revision(cache.revision + 1, WAIT_S))
        for node in range(3):
            await stage.start_front(node)
        put = await client.put("/c/1", "new")
        await waiting
        await cache.wait_for_revision(put.revision, WAIT_S)
        kv = cache.get("/c/1")
        assert kv is not None and kv.text == "new"
        await until_stale(cache, False)


async def test_compaction_past_its_place_makes_it_start_anew(stage: Stage) -> None:
    async with aio.connect(stage.endpoints[0]) as other, aio.connect(stage.endpoints[1]) as client:
        await other.put("/c/gone")
        await other.put("/c/kept", "1")
        async with client.cache("/c/") as cache:
            changes = cache.changes()
            first = [(await changes.next(WAIT_S)).key for _ in range(2)]
            assert first == [b"/c/gone", b"/c/kept"]
            await stage.stop_front(1)
            await until_stale(cache, True)
            await other.delete("/c/gone")
            await other.put("/c/kept", "2")
            last = await other.put("/c/new")
            await other.compact(last.revision)
            await stage.start_front(1)
            await cache.wait_for_revision(last.revision, WAIT_S)
            assert cache.range() == (await other.range("/c/", prefix=True)).kvs
            after = {change.key: change for change in [await changes.next(0) for _ in range(3)]}
            gone = after[b"/c/gone"]
            assert (gone.kv, gone.cause) == (None, Cause.UNSPECIFIED) and gone.prev is not None
            kept = after[b"/c/kept"]
            assert kept.prev is not None and kept.kv is not None
            assert (kept.prev.text, kept.kv.text) == ("1", "2")
            assert after[b"/c/new"].prev is None


async def test_changes_are_told_to_iterators_and_to_a_function(
    client: aio.Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.put("/c/1", "a")
    told: list[CacheChange] = []

    def note(change: CacheChange) -> None:
        told.append(change)
        raise ZeroDivisionError("a mistake of the program")

    async with client.cache("/c/", on_change=note) as cache:
        changes = cache.changes()
        first = await changes.next(WAIT_S)
        assert first.kv == cache.get("/c/1") and first.prev is None
        with caplog.at_level(logging.CRITICAL, "coordinator_client"):
            put = await client.put("/c/1", "b")
            changed = await changes.next(WAIT_S)
            deleted = await client.delete("/c/1")
            removed = await changes.next(WAIT_S)
        assert (changed.prev, changed.revision) == (first.kv, put.revision)
        assert (removed.kv, removed.cause) == (None, Cause.DELETED)
        assert removed.revision == deleted.revision
        assert told == [changed, removed]
        reading = asyncio.create_task(changes.next())
        await asyncio.sleep(0)
    with pytest.raises(Closed):
        await reading


async def test_what_is_written_in_one_revision_is_seen_in_one(client: aio.Client) -> None:
    async with client.cache("/c/") as cache:
        changes = cache.changes()
        for number in range(20):
            await (
                client.txn()
                .then(aio.Put("/c/a", str(number)), aio.Put("/c/b", str(number)))
                .commit()
            )
        seen = set()
        while "19" not in seen:
            await changes.next(WAIT_S)
            values = {kv.text for kv in cache}
            assert len(values) == 1
            seen |= values


async def test_without_a_node_there_is_no_cache() -> None:
    async with aio.connect("127.0.0.1:1", timeout_s=0.2) as client:
        with pytest.raises(Unavailable):
            await client.cache("/c/").open()


async def test_what_the_cluster_refuses_is_raised() -> None:
    async with (
        Stage(Limits(watches_max=1)) as stage,
        aio.connect(stage.endpoints[0]) as client,
        client.watch("/x"),
    ):
        with pytest.raises(LimitExceeded):
            await client.cache("/c/").open()


async def test_closing_the_client_ends_it(stage: Stage) -> None:
    client = await aio.connect(stage.addresses)
    cache = await client.cache("/c/").open()
    waiting = asyncio.create_task(cache.wait_for_revision(10**6))
    await asyncio.sleep(0.02)
    await client.close()
    with pytest.raises(Closed):
        await asyncio.wait_for(waiting, WAIT_S)
    assert cache.stale
    await cache.close()


def test_the_blocking_face_has_a_cache(blocking: Client) -> None:
    blocking.put("/c/1")
    with blocking.cache("/c/") as cache:
        changes = cache.changes()
        assert changes.next(WAIT_S).key == b"/c/1"
        put = blocking.put("/c/2")
        cache.wait_for_revision(put.revision, WAIT_S)
        assert [kv.name for kv in cache] == ["/c/1", "/c/2"]
        assert changes.next(WAIT_S).key == b"/c/2"
        cache.wait_for_revision(blocking.put("/other").revision, WAIT_S)
        with pytest.raises(DeadlineExceeded):
            cache.wait_for_revision(put.revision + 5, 0.05)
