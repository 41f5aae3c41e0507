"""Snapshots that clients fetch: how many at once, and which revision each one holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from coordinator.config import Limits
from coordinator.consensus.interface import Consensus, OpenSnapshot
from coordinator.errors import RequestError, Status
from coordinator.state.machine import StateMachine

INDICES_MAX = 64
"""Entries whose revision is remembered: those that snapshots were taken of lately."""


@dataclass(frozen=True)
class Save:
    """A snapshot on its way to a client."""

    file: OpenSnapshot
    revision: int


class Saves:
    """The snapshots of one member that are being fetched."""

    def __init__(self, consensus: Consensus, state: StateMachine, limits: Limits) -> None:
        self._consensus = consensus
        self._state = state
        self._limits = limits
        self._count = 0
        self._revisions: dict[int, int] = {}

    def note(self, index: int) -> None:
        """The state is that of entry `index`, of which there is a snapshot, or is about to be."""
        self._revisions[index] = self._state.revision
        while len(self._revisions) > INDICES_MAX:
            del self._revisions[next(iter(self._revisions))]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Save]:
        """Gives a snapshot of what is applied now, or later. Raises RequestError."""
        limit = self._limits.snapshot_saves_max
        if self._count >= limit:
            raise RequestError(
                Status.RESOURCE_EXHAUSTED,
                "LIMIT_EXCEEDED",
                f"{limit} snapshots are being fetched from this member: try again, or ask another one",
                {"limit": str(limit)},
            )
        self._count += 1
        try:
            file = await self._consensus.open_snapshot()
            try:
                yield Save(file, self._revisions[file.index])
            finally:
                file.close()
        finally:
            self._count -= 1
