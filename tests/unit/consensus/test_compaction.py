from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coordinator.consensus.interface import Role
from coordinator.errors import RequestError
from tests.unit.consensus.stage import Stage


async def alone(stage: Stage) -> Stage:
    """A cluster of one that leads."""
    stage.engine.parts.core._SyncObj__raftElectionDeadline = 0
    await stage.until(lambda: stage.engine.status.role is Role.LEADER)
    await stage.settle()
    return stage


async def fill(stage: Stage, size_bytes: int) -> None:
    """Proposes entries of this size in all and waits until they are applied."""
    for _ in range(size_bytes // 1_000):
        stage.engine.propose(b"x" * 1_000)
    last = stage.engine.status.last_index
    await stage.until(lambda: stage.engine.status.applied_index == last)
    await stage.settle()


def size_of(stage: Stage, prefix: str) -> int:
    """Of all files that begin like this; they go on another thread."""
    names = [name for name in stage.disk.names() if name.startswith(prefix)]
    with contextlib.suppress(FileNotFoundError):
        return sum(stage.disk.size(name) for name in names)
    return -1


async def test_the_journal_stays_bounded(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
        limit = stage.config.journal_size_bytes_max
        for _ in range(40):
            await fill(stage, limit // 4)
            await stage.until(lambda: stage.engine.parts.compaction._writing is None)
        await stage.settle()
        status = stage.engine.status
        assert status.snapshot_index > 1
        assert status.journal_size_bytes < 2 * limit
        await stage.until(lambda: size_of(stage, "journal-") == status.journal_size_bytes)
        assert size_of(stage, "snapshot-") == status.snapshot_size_bytes
        applied = stage.application.applied
    again = Stage(tmp_path, 1, stage.disk)
    async with again:
        assert again.application.restored == [status.snapshot_index]
        await alone(again)
        assert again.application.applied == applied


async def test_some_entries_before_the_snapshot_are_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
        await fill(stage, 30_000)
        index = await stage.engine.compact_now()
        first = stage.engine.parts.core.first_index
        kept = index - first
        budget = stage.config.journal_size_bytes_max // 4
        assert budget - 1_100 < kept * 1_001 <= budget


async def test_the_number_of_kept_entries_is_bounded_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    object.__setattr__(stage.config, "retained_entries", 5)
    async with stage:
        await alone(stage)
        await fill(stage, 20_000)
        index = await stage.engine.compact_now()
        assert stage.engine.parts.core.first_index == index - 5


async def test_without_anything_new_there_is_no_other_snapshot(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
        await fill(stage, 2_000)
        index = await stage.engine.compact_now()
        operations = stage.disk.operations
        assert await stage.engine.compact_now() == index
        assert stage.disk.operations == operations


async def test_the_snapshot_is_of_the_moment_it_was_taken(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
        await fill(stage, 2_000)
        writing = stage.engine.parts.compaction.begin()
        assert writing is not None
        assert stage.engine.parts.compaction.begin() is writing, "one at a time"
        index = stage.engine.status.applied_index
        await fill(stage, 2_000)
        await writing
        await stage.settle()
        assert stage.engine.status.snapshot_index == index
        applied = stage.application.applied
    again = Stage(tmp_path, 1, stage.disk)
    async with again:
        await alone(again)
        assert again.application.restored == [index]
        assert again.application.applied == applied


async def test_a_snapshot_that_can_not_be_written_stops_the_member(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
        await fill(stage, 2_000)
        stage.disk.sync_error = OSError(5, "Input/output error")
        await stage.engine.compact_now()
        await stage.until(lambda: bool(stage.failures))
        assert "Input/output error" in str(stage.failures[0])


async def test_without_room_for_a_snapshot_the_member_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
        await fill(stage, 2_000)
        stage.disk.sync_error = OSError(28, "No space left on device")
        assert await stage.engine.compact_now() == 0
        stage.disk.sync_error = None
        assert "no room to write a snapshot" in caplog.text
        assert not [name for name in stage.disk.names() if name.startswith("snapshot")]
        await fill(stage, 2_000)
        assert await stage.engine.compact_now() == stage.engine.status.applied_index
        assert not stage.failures
        assert stage.application.capture_open.released


async def test_stopping_calls_a_snapshot_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, 1)
    await stage.start()
    await alone(stage)
    await fill(stage, 2_000)

    released: list[object] = []

    class Endless:
        def read(self) -> Callable[[], bytes]:
            return lambda: b"x"

        def release(self) -> None:
            released.append(self)

    monkeypatch.setattr(stage.application, "capture", Endless)
    writing = stage.engine.parts.compaction.begin()
    assert writing is not None
    await asyncio.sleep(0)
    await stage.stop()
    assert writing.done()
    assert not stage.failures
    assert len(released) == 1
    assert not [name for name in stage.disk.names() if name.startswith("snapshot-")]


async def test_a_snapshot_does_not_wait_for_other_work_on_threads(tmp_path: Path) -> None:
    over = threading.Event()
    loop = asyncio.get_running_loop()
    others = ThreadPoolExecutor(1)
    loop.set_default_executor(others)
    working = loop.run_in_executor(None, over.wait)
    stage = Stage(tmp_path, 1)
    try:
        async with stage:
            await alone(stage)
            await fill(stage, 2_000)
            async with asyncio.timeout(10):
                assert await stage.engine.compact_now() == stage.engine.status.applied_index
    finally:
        over.set()
        await working
    threads = stage.engine.parts.compaction._thread._threads
    assert threads
    await stage.until(lambda: not any(thread.is_alive() for thread in threads))


async def test_a_snapshot_that_is_open_holds_all_that_was_applied_and_stays(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
        await fill(stage, 5_000)
        first = await stage.engine.open_snapshot()
        assert first.index == stage.engine.status.applied_index
        again = await stage.engine.open_snapshot()
        assert again.index == first.index
        again.close()
        content = await first.read(0, first.size)
        await fill(stage, 5_000)
        second = await stage.engine.open_snapshot()
        assert second.index > first.index
        assert await first.read(0, first.size + 1) == content
        name = stage.engine.parts.compaction._held[0].snapshot.name
        first.close()
        first.close()
        await fill(stage, 1_000)
        await stage.engine.compact_now()
        assert name not in stage.disk.names()
        second.close()
        assert not stage.engine.parts.compaction._held


async def test_no_snapshot_is_given_out_by_a_member_that_stopped(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 1)
    async with stage:
        await alone(stage)
    with pytest.raises(RequestError, match="stopping"):
        await stage.engine.open_snapshot()
