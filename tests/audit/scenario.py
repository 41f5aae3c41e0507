"""What a scenario is: a promise that the engine of this product keeps and PySyncObj as it ships breaks."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pysyncobj.syncobj as syncobj
import pytest
from pysyncobj.journal import ResizableFile

from tests.audit.hardened import HardenedMember
from tests.audit.member import Clock, Member, Setting
from tests.audit.stock import StockMember


class PropertyViolated(Exception):
    """The engine broke what a scenario promises. Not an AssertionError: those say that the scenario itself is wrong."""


def require(promise: bool, otherwise: str) -> None:
    """States the property of a scenario; `otherwise` says what happened instead."""
    if not promise:
        raise PropertyViolated(otherwise)


@dataclass
class Bench:
    """Makes members of one engine, and ends them."""

    engine: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    clock: Clock = field(default_factory=Clock)
    _members: list[Member] = field(default_factory=list)
    _synced: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.engine == "stock":
            for place, name in ((os, "fsync"), (os, "fdatasync"), (ResizableFile, "flush")):
                self.monkeypatch.setattr(place, name, self._synced.append)

    async def member(
        self, count: int = 3, *, refuses: bytes | None = None, **values: Any
    ) -> Member:
        """A member that runs and is connected to all others, who are played by the scenario."""
        member = self.make(self.setting(count=count, **values), 1)
        member.refuses = refuses
        await member.start()
        for other in member.others:
            member.connect(other)
        await member.settle()
        return member

    def setting(self, **values: Any) -> Setting:
        return Setting(self.folder, self.clock, synced=self._synced, **values)

    def make(self, setting: Setting, number: int) -> Member:
        kind = HardenedMember if self.engine == "hardened" else StockMember
        member = kind(setting, number)
        self._members.append(member)
        return member

    async def close(self) -> None:
        for member in self._members:
            await member.kill()


Scenario = Callable[[Bench], Awaitable[None]]


def scenario(body: Scenario) -> Any:
    """Makes a test of a scenario: with the hardened engine it must pass, with the stock one end in PropertyViolated."""

    @pytest.mark.parametrize("engine", ["hardened", "stock"])
    async def test(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        random.seed(1)
        bench = Bench(engine, tmp_path, monkeypatch)
        monkeypatch.setattr(syncobj, "monotonicTime", bench.clock)
        try:
            if engine == "hardened":
                await body(bench)
            else:
                with pytest.raises(PropertyViolated) as violation:
                    await body(bench)
                print(f"stock engine: {violation.value}")
        finally:
            await bench.close()

    test.__name__ = test.__qualname__ = body.__name__
    test.__module__, test.__doc__ = body.__module__, body.__doc__
    # The stock engine leaves files open.
    return pytest.mark.filterwarnings("ignore::ResourceWarning")(test)
