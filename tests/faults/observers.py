"""What has to outlive every fault: watches that miss nothing, and sessions that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from coordinator_client import aio

SESSION_TTL_S = 20.0
"""Well above the longest time for which faults leave a cluster without a leader."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one key, as a watch told it; a value of None is a delete."""

    revision: int
    key: str
    value: str | None


class Observer:
    """A watch over a prefix from one revision on, which goes on at another node when its own is lost."""

    def __init__(self, name: str, endpoints: Sequence[str], prefix: str, revision: int) -> None:
        self.name = name
        self.changes: list[Change] = []
        self.problems: list[str] = []
        self.reached = 0
        """All revisions up to this one have been told."""
        self._endpoints = endpoints
        self._prefix = prefix
        self._start = revision
        self._progress = asyncio.Condition()

    async def run(self) -> None:
        """Goes on until it is canceled, or the watch fails."""
        async with aio.connect(self._endpoints, shuffle=False) as client:
            watch = client.watch(self._prefix, prefix=True, start_revision=self._start)
            try:
                while True:
                    try:
                        async with watch:
                            await self._follow(watch)
                        return
                    except aio.Unavailable:
                        # No node could begin the watch in time: one that never stood has missed nothing.
                        watch = client.watch(
                            self._prefix, prefix=True, start_revision=self.reached + 1
                        )
            except aio.CoordinatorError as error:
                self.problems.append(f"{self.name} ended: {error!r}")

    async def _follow(self, watch: aio.Watch) -> None:
        async for batch in watch:
            if batch.revision <= self.reached:
                self.problems.append(f"{self.name}: revision {batch.revision} after {self.reached}")
            for event in batch.events:
                value = event.kv.text if event.is_put else None
                self.changes.append(Change(batch.revision, event.key.decode(), value))
            async with self._progress:
                self.reached = batch.revision
                self._progress.notify_all()

    async def wait_reached(self, revision: int, timeout_s: float) -> bool:
        """Waits until a change of a revision has been told; False: it was not, in time."""
        try:
            async with asyncio.timeout(timeout_s), self._progress:
                await self._progress.wait_for(lambda: self.reached >= revision)
        except TimeoutError:
            return False
        return True


class KeptSession:
    """A session with a key of its own, which nothing may end."""

    def __init__(self, number: int, endpoints: Sequence[str]) -> None:
        self.key = f"/sessions/{number}"
        turn = number % len(endpoints)
        self._client = aio.connect([*endpoints[turn:], *endpoints[:turn]], shuffle=False)
        self._session = self._client.session(ttl=SESSION_TTL_S)

    async def open(self) -> None:
        await self._session.open()
        await self._session.put(self.key, str(self._session.id))

    async def close(self) -> None:
        await self._session.close()
        await self._client.close()

    async def problem(self) -> str:
        """What is wrong with it; empty: nothing."""
        if self._session.lost.is_set():
            return f"{self.key}: {self._session.lost_reason}"
        found = await self._client.get(self.key, timeout_s=10.0)
        if found is None or found.session != self._session.id:
            return f"{self.key} is {found}, although session {self._session.id} lives"
        if found.version != 1:
            return f"{self.key} was written {found.version} times"
        return ""
