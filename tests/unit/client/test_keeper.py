"""A view that is kept in a file: docs/discovery.md, sentence by sentence."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

import coordinator_client
from coordinator_client import ChangeType, EventBatch, KeyValue, Unavailable, aio, stored_views
from coordinator_client._async import keeper as module
from coordinator_client._async.keeper import ViewKeeper
from coordinator_client.stored_views import StoredView, load
from tests.unit.client.stage import Stage, StageThread

NOWHERE = "127.0.0.1:1"
WAIT_S = 10


def ids(view: aio.ServiceView | coordinator_client.ServiceView) -> list[str]:
    return [instance.id for instance in view.instances()]


async def test_a_program_starts_without_a_cluster_and_catches_up(
    stage: Stage, client: aio.Client, tmp_path: Path
) -> None:
    path = tmp_path / "pay.view"
    async with client.register("pay", "10.0.0.1", 80, id="a", tags=["blue"]):
        gone = await client.register("pay", "10.0.0.2", 80, id="b").open()
        async with client.discover("pay", keep_in=path) as view:
            assert (ids(view), view.stale) == (["a", "b"], False)
        for node in range(3):
            await stage.stop_front(node)
        async with aio.connect(stage.addresses) as other:
            began_s = asyncio.get_running_loop().time()
            async with other.discover("pay", keep_in=path, keep_wait_s=0.05) as view:
                assert asyncio.get_running_loop().time() - began_s < 2
                assert (ids(view), view.stale) == (["a", "b"], True)
                assert view.balancer(tag="blue").pick().instance.id == "a"
                changes = view.changes()
                known = {(await changes.next(WAIT_S)).instance.id for _ in range(2)}
                assert known == {"a", "b"}
                for node in range(3):
                    await stage.start_front(node)
                await gone.close()
                removed = await changes.next(WAIT_S)
                assert (removed.type, removed.instance.id) == (ChangeType.REMOVED, "b")
                assert (ids(view), view.stale) == (["a"], False)
            # Filters are those of who reads.
            async with other.discover("pay", tag="red", keep_in=path) as view:
                assert ids(view) == []
    stored = load(path, "pay")
    assert stored is not None and b"/services/pay/instances/a" in {kv.key for kv in stored.kvs}


def test_threads_do_the_same(
    stage_thread: StageThread, blocking: coordinator_client.Client, tmp_path: Path
) -> None:
    path = tmp_path / "pay.view"
    with (
        blocking.register("pay", "10.0.0.1", 80, id="a"),
        blocking.discover("pay", keep_in=path) as view,
    ):
        assert ids(view) == ["a"]
    with (
        coordinator_client.connect(NOWHERE) as away,
        away.discover("pay", keep_in=path, keep_wait_s=0.05) as view,
    ):
        assert (ids(view), view.stale) == (["a"], True)


async def test_without_a_usable_file_it_is_as_without_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pay.view"
    async with aio.connect(NOWHERE, timeout_s=0.1) as away:
        with pytest.raises(Unavailable):
            await away.discover("pay", keep_in=path).open()
        path.write_text("junk")
        with caplog.at_level(logging.WARNING), pytest.raises(Unavailable):
            await away.discover("pay", keep_in=path).open()
        assert "passed over" in caplog.text
        with pytest.raises(aio.InvalidArgument, match="keep_in"):
            away.discover("pay", keep_in=tmp_path)
        with pytest.raises(aio.InvalidArgument, match="keep_wait_s"):
            away.discover("pay", keep_in=path, keep_wait_s=-1)


def batch(revision: int) -> EventBatch:
    kv = KeyValue(b"/services/pay/settings", b"{}", revision, revision, 1)
    return EventBatch(revision, snapshot=True, kvs=(kv,))


async def test_it_writes_once_for_many_changes_and_the_last_one_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pay.view"
    saved = []
    really_save = stored_views.save

    def save(path: Path, view: StoredView) -> None:
        saved.append(view.revision)
        really_save(path, view)

    monkeypatch.setattr(stored_views, "save", save)
    keeper = ViewKeeper(path, "pay")
    keeper.start()
    keeper.note(batch(1))
    async with asyncio.timeout(WAIT_S):
        while not path.exists():
            await asyncio.sleep(0.01)
    for revision in range(2, 100):
        keeper.note(batch(revision))
        await asyncio.sleep(0)
    assert saved == [1]
    await keeper.close()
    assert saved == [1, 99]
    stored = await keeper.load()
    assert stored is not None and stored.revision == 99


async def test_a_disk_that_fails_is_told_once_and_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SAVE_PAUSE_S", 0.0)
    folder = tmp_path / "folder"
    folder.mkdir()
    keeper = ViewKeeper(folder / "pay.view", "pay")
    folder.rmdir()
    keeper.start()
    with caplog.at_level(logging.WARNING):
        for revision in range(1, 4):
            keeper.note(batch(revision))
            await asyncio.sleep(0.02)
        await keeper.close()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        f"the view of pay can't be kept in {folder / 'pay.view'}"
    ]


async def test_programs_share_a_file(client: aio.Client, tmp_path: Path) -> None:
    path = tmp_path / "pay.view"
    async with (
        client.register("pay", "10.0.0.1", 80, id="a"),
        client.discover("pay", keep_in=path) as one,
        client.discover("pay", healthy=True, keep_in=path) as two,
    ):
        assert ids(one) == ids(two) == ["a"]
    stored = load(path, "pay")
    assert stored is not None
    assert [child.name for child in tmp_path.iterdir()] == ["pay.view"]


async def test_what_is_written_already_is_not_written_again_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pay.view"
    kv = KeyValue(b"/services/pay/instances/a", b"{}", 1, 1, 1, 0)
    keeper = ViewKeeper(path, "pay")
    keeper.start()
    keeper.note(EventBatch(5, snapshot=True, kvs=(kv,)))
    async with asyncio.timeout(WAIT_S):
        while load(path, "pay") is None:
            await asyncio.sleep(0.01)
    written = path.stat().st_ino
    await keeper.close()
    assert path.stat().st_ino == written
