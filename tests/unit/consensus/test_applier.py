from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.consensus.stage import Stage


async def test_entries_are_applied_in_order_and_no_ops_are_not(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await stage.lead()
        for number in range(300):
            stage.engine.propose(b"%d" % number)
        await stage.settle()
        stage.acknowledge(2, stage.engine.status.last_index)
        await stage.until(lambda: len(stage.application.applied) == 300)
        assert stage.application.applied == [
            (number + 3, term, b"%d" % number) for number in range(300)
        ]


async def test_a_raising_application_stops_the_member(tmp_path: Path) -> None:
    """The entry is not tried again, and nothing is applied after it."""
    async with Stage(tmp_path) as stage:
        await stage.lead()
        stage.application.apply_error = ValueError("poison")
        index = stage.engine.propose(b"a")
        await stage.settle()
        assert index is not None
        stage.acknowledge(2, index)
        await stage.settle()
        assert f"entry {index} can't be applied: ValueError('poison')" in str(stage.failures[0])
        assert stage.engine.status.applied_index == index
        stage.application.apply_error = None
        await stage.settle()
        assert not stage.application.applied


async def test_applying_takes_turns_with_the_rest_of_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Stage(tmp_path) as stage:
        await stage.lead()
        for number in range(40):
            stage.engine.propose(b"%d" % number)
        await stage.settle()
        monkeypatch.setattr(stage.engine.parts.applier, "_slice_s", -1.0)
        stage.acknowledge(2, stage.engine.status.last_index)
        stage.engine.parts.driver.run()
        assert 0 < stage.engine.status.applied_index < stage.engine.status.commit_index
        await stage.until(lambda: len(stage.application.applied) == 40)
        assert not stage.failures


async def test_a_missing_committed_entry_stops_the_member(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.engine.parts.core._SyncObj__raftCommitIndex = 7
        stage.engine.parts.driver.run()
        assert "committed entry 2 is not in the log" in str(stage.failures[0])
