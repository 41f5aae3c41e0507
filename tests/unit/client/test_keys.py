from __future__ import annotations

import pytest

from coordinator_client import Compacted, FutureRevision, InvalidArgument, SessionNotFound, aio


async def test_put_get_delete(client: aio.Client) -> None:
    assert await client.get("/a") is None
    put = await client.put("/a", "1", prev=True)
    assert (put.key, put.prev) == (b"/a", None)
    again = await client.put("/a", b"2", prev=True)
    assert again.revision == put.revision + 1
    assert again.prev is not None and again.prev.text == "1"
    kv = await client.get("/a")
    assert kv is not None
    assert (kv.text, kv.version, kv.create_revision, kv.mod_revision) == (
        "2", 2, put.revision, again.revision,
    )  # fmt: skip
    deleted = await client.delete("/a", prev=True)
    assert (deleted.deleted, [old.text for old in deleted.prevs]) == (1, ["2"])
    assert await client.get("/a") is None
    past = await client.get("/a", revision=put.revision)
    assert past is not None and past.text == "1"


async def test_ranges(client: aio.Client) -> None:
    for name in "abcd":
        await client.put(f"/r/{name}", name)
    found = await client.range("/r/", prefix=True)
    assert [kv.text for kv in found.kvs] == list("abcd")
    assert (found.count, found.more) == (4, False)
    page = await client.range("/r/", prefix=True, limit=2, start_after="/r/a", keys_only=True)
    assert [(kv.name, kv.value) for kv in page.kvs] == [("/r/b", b""), ("/r/c", b"")]
    assert page.more
    span = await client.range("/r/b", range_end="/r/d", count_only=True)
    assert (span.kvs, span.count) == ((), 2)
    to_the_end = await client.range("/r/c", range_end=b"\0")
    assert len(to_the_end.kvs) == 2
    local = await client.range("/r/", prefix=True, local=True, min_revision=found.revision)
    assert local.kvs == found.kvs
    assert (await client.delete("/r/b", range_end="/r/d")).deleted == 2
    assert (await client.delete("/r/", prefix=True)).deleted == 2


async def test_all_pages_are_of_one_revision(client: aio.Client) -> None:
    for number in range(10):
        await client.put(f"/p/{number}")
    seen: list[str] = []
    async for kv in client.range_all("/p/", prefix=True, page_size=3):
        if not seen:
            await client.put("/p/95")
            await client.delete("/p/7")
        seen.append(kv.name)
    assert seen == [f"/p/{number}" for number in range(10)]


async def test_children(client: aio.Client) -> None:
    for key in ("/c", "/c/a", "/c/b/x", "/c/b/y", "/c/b", "/c/b-c", "/cd/e"):
        await client.put(key)
    assert await client.children("/c") == await client.children(b"/c/") == ("a", "b", "b-c")
    assert await client.children("/") == ("c", "cd")
    assert await client.children("/c/a") == ()


async def test_children_beyond_one_page(
    client: aio.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(sorted(f"{number}" for number in range(12)))
    for name in names:
        await client.put(f"/d/{name}/x")
        await client.put(f"/d/{name}")
    whole, sizes = client.range, []

    async def short(*args: object, **options: object) -> object:
        page = await whole(*args, **options, limit=5)  # type: ignore[arg-type]  # passed on
        sizes.append(len(page.kvs) + len(page.children))
        return page

    monkeypatch.setattr(client, "range", short)
    assert await client.children("/d") == names
    assert len(sizes) == 5


async def test_sequences(client: aio.Client) -> None:
    first = await client.put("/q/job-", "x", sequence=True)
    second = await client.put("/q/job-", "x", sequence=True)
    assert first.key < second.key
    assert first.key.startswith(b"/q/job-") and len(first.key) == len(b"/q/job-") + 10


async def test_history_can_be_compacted(client: aio.Client) -> None:
    old = (await client.put("/a", "1")).revision
    new = (await client.put("/a", "2")).revision
    await client.compact(new)
    with pytest.raises(Compacted) as caught:
        await client.get("/a", revision=old)
    assert caught.value.compacted_revision == new
    with pytest.raises(FutureRevision):
        await client.get("/a", revision=new + 1000)


async def test_refusals(client: aio.Client) -> None:
    with pytest.raises(SessionNotFound):
        await client.put("/a", session=99)
    with pytest.raises(InvalidArgument):
        await client.get("")
    with pytest.raises(InvalidArgument):
        await client.delete("/a", prefix=True, range_end="/b")
    with pytest.raises(InvalidArgument):
        await client.range("/a", limit=-1)
