"""What makes a scenario a test: it can fail, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.scenario import Bench, PropertyViolated, require, scenario


async def holds(bench: Bench) -> None:
    require((await bench.member()).term == 0, "no")


async def breaks(bench: Bench) -> None:
    require((await bench.member()).term == 1, "it is in term 0")


async def is_wrong(bench: Bench) -> None:
    assert (await bench.member()).leads


async def test_a_promise_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = scenario(holds)
    await test("hardened", tmp_path / "ours", monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await test("stock", tmp_path, monkeypatch)


async def test_a_promise_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = scenario(breaks)
    await test("stock", tmp_path, monkeypatch)
    with pytest.raises(PropertyViolated, match="in term 0"):
        await test("hardened", tmp_path / "ours", monkeypatch)


@pytest.mark.parametrize("engine", ["stock", "hardened"])
async def test_a_scenario_that_is_wrong_fails(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        await scenario(is_wrong)(engine, tmp_path, monkeypatch)
