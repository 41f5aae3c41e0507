"""Numbered writes under faults by chance: whatever happens, what the program is told is true."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from coordinator.state.commands import SessionClose
from coordinator_client import OutcomeUnknown, Unavailable, aio
from tests.unit.client.stage import Stage

CALLERS = 12
FAULTS = 25
ALL = {0, 1, 2}


class Chaos:
    """Callers that write keys of their own, and someone who breaks things under them."""

    def __init__(self, stage: Stage, client: aio.Client, seed: int) -> None:
        self._stage = stage
        self._client = client
        self._chance = random.Random(seed)
        self._up = set(ALL)
        self.told: dict[str, str] = {}
        """By key, how its write ended."""

    async def write(self, caller: int, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            key = f"/s/{caller}/{number}"
            timeout_s = self._chance.choice([0.2, 1.0, 3.0])
            task = asyncio.create_task(self._client.put(key, timeout_s=timeout_s))
            if self._chance.random() < 0.1:
                await asyncio.sleep(self._chance.uniform(0, 0.02))
                task.cancel()
            try:
                async with asyncio.timeout(timeout_s + 3):
                    await task
                self.told[key] = "applied"
            except asyncio.CancelledError:
                self.told[key] = "canceled"
            except OutcomeUnknown:
                self.told[key] = "unknown"
            except Unavailable:
                self.told[key] = "refused"

    async def break_things(self) -> None:
        faults: list[Callable[[], Awaitable[None]]] = [
            self._lose_front,
            self._lose_front,
            self._elect,
            self._hold,
            self._end_session,
        ]
        for _ in range(FAULTS):
            await asyncio.sleep(self._chance.uniform(0, 0.1))
            await self._chance.choice(faults)()
        for index in ALL - self._up:
            await self._stage.start_front(index)

    async def _lose_front(self) -> None:
        """One node can't be reached any more, or again; one always can."""
        index = self._chance.choice(sorted(ALL))
        if index not in self._up:
            await self._stage.start_front(index)
            self._up.add(index)
        elif len(self._up) > 1:
            self._up.remove(index)
            await self._stage.stop_front(index)

    async def _elect(self) -> None:
        await self._stage.elect(None)
        await asyncio.sleep(self._chance.uniform(0, 0.2))
        await self._stage.elect(self._chance.choice(sorted(ALL)))

    async def _hold(self) -> None:
        """For a while, what is appended is not committed."""
        bus = self._stage.bus
        bus.held = True
        await asyncio.sleep(self._chance.uniform(0, 0.2))
        bus.held = False
        bus.commit()

    async def _end_session(self) -> None:
        """The session that numbers the writes is gone, as after its TTL."""
        node = self._stage.bus.nodes[0]
        deadline = asyncio.get_running_loop().time() + 3
        for session in list(node.state.sessions()):
            await node.propose(SessionClose(session.id), deadline)


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_is_told_is_true(stage: Stage, seed: int) -> None:
    async with (
        aio.connect(stage.addresses, request_window=5, request_ttl_s=2) as client,
        aio.connect(stage.addresses, numbered_writes=False) as reader,
    ):
        chaos = Chaos(stage, client, seed)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(chaos.write(caller, stop))
            await chaos.break_things()
            stop.set()
        # Nothing is left behind that would hold up what comes.
        last = await client.put("/last", timeout_s=3)
        found = {kv.name: kv async for kv in reader.range_all("/s/", prefix=True)}
    assert all(kv.version == 1 and kv.mod_revision != last.revision for kv in found.values())
    wrong = [
        (key, how)
        for key, how in chaos.told.items()
        if (how == "applied" and key not in found) or (how == "refused" and key in found)
    ]
    assert not wrong, f"seed {seed}: {wrong}"
    assert Counter(chaos.told.values())["applied"] > 100
    assert found.keys() <= chaos.told.keys()
