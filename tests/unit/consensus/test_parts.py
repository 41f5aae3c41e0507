"""That the parts of an engine reach each other is what most tests of this folder are about; here is the rest."""

from __future__ import annotations

from pathlib import Path

from coordinator.consensus.interface import Role
from tests.unit.consensus.stage import Stage


async def test_nothing_is_told_twice_and_nothing_runs_after_the_end(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).start()
    await stage.lead()
    roles = [(status.role, status.term) for status in stage.application.statuses]
    assert roles[-1] == (Role.LEADER, 1)
    assert len(set(roles)) == len(roles)
    parts = stage.engine.parts
    told = len(stage.application.statuses)
    await stage.stop()
    parts.driver.kick()
    parts.driver.run()
    await stage.settle()
    assert len(stage.application.statuses) == told
    assert parts.ended


async def test_the_members_of_the_folder_count_at_the_next_start(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage:
        pass
    again = Stage(tmp_path, 5, stage.disk)
    async with again:
        assert len(again.engine.members) == 3, "what it was started with later says nothing"
