"""Makes faults happen to a fleet. When one is over, what it did is undone; nodes may still be recovering."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.faults.disks import SmallDisk
from tests.faults.fleet import Fleet, FleetError
from tests.faults.plan import (
    Fault,
    FullDisk,
    Kill,
    Partition,
    Pause,
    Slow,
    Stop,
    SyncFails,
    Victims,
    choose,
    directions,
)

FAILING_END_TIMEOUT_S = 20.0
FULL_END_TIMEOUT_S = 6.0
EXITS_FINE = (1, 2)
"""It must stop; or it can't even start. Both say why."""


class Injector:
    """Does to a fleet what a plan says."""

    def __init__(self, fleet: Fleet, rng: random.Random) -> None:
        self._fleet = fleet
        self._rng = rng

    async def inject(self, fault: Fault) -> None:
        """Raises FleetError if nodes take it otherwise than they should."""
        fleet = self._fleet
        match fault:
            case Kill(victims, for_s):
                chosen = await self._choose(victims)
                await fleet.kill(*chosen)
                await asyncio.sleep(for_s)
                await fleet.start(*chosen)
            case Stop(victims, for_s):
                chosen = await self._choose(victims)
                await fleet.stop(*chosen)
                await asyncio.sleep(for_s)
                await fleet.start(*chosen)
            case Pause(victims, for_s):
                chosen = await self._choose(victims)
                for number in chosen:
                    fleet.pause(number)
                await asyncio.sleep(for_s)
                for number in chosen:
                    fleet.resume(number)
            case Partition():
                await self._separate(fault)
            case Slow():
                center = (await self._choose(fault.around))[0]
                pairs = directions(fault.shape, center, fleet.numbers, self._rng)
                fleet.links.slow(pairs, fault.delay_s, fault.rate_bytes_s)
                await asyncio.sleep(fault.for_s)
                fleet.links.heal()
            case FullDisk(victims):
                await self._fill((await self._choose(victims))[0])
            case SyncFails(victims):
                await self._fail_sync((await self._choose(victims))[0])

    async def _choose(self, victims: Victims) -> list[int]:
        return choose(victims, self._fleet.numbers, await self._fleet.leader(), self._rng)

    async def _separate(self, fault: Partition) -> None:
        links = self._fleet.links
        center = (await self._choose(fault.around))[0]
        pairs = directions(fault.shape, center, self._fleet.numbers, self._rng)
        if fault.cut:
            await links.cut(pairs)
        else:
            links.stall(pairs)
        await asyncio.sleep(fault.for_s)
        links.heal()

    async def _fail_sync(self, number: int) -> None:
        fleet = self._fleet
        name = fleet.nodes[number - 1].name
        fleet.trigger(number).touch()
        code = await fleet.wait_end(number, FAILING_END_TIMEOUT_S)
        fleet.trigger(number).unlink()
        if code is None:
            raise FleetError(f"{name} goes on although fsync fails")
        if code not in EXITS_FINE:
            raise FleetError(f"fsync failed, and {name} ended with {code}: {fleet.tail(number)}")
        await fleet.start(number)

    async def _fill(self, number: int) -> None:
        """Gives a node a small disk, fills it while the node runs, and gives it its own disk back."""
        fleet = self._fleet
        name = fleet.nodes[number - 1].name
        disk = SmallDisk(Path(fleet.nodes[number - 1].data_dir))
        await fleet.stop(number)
        await asyncio.to_thread(disk.mount)
        try:
            await fleet.start(number)
            await fleet.wait_leader()
            await asyncio.to_thread(disk.fill)
            code = await fleet.wait_end(number, FULL_END_TIMEOUT_S)
            await asyncio.to_thread(disk.clear)
            if code not in (None, *EXITS_FINE):
                raise FleetError(
                    f"the disk was full, and {name} ended with {code}: {fleet.tail(number)}"
                )
            await fleet.start(number)
            await fleet.wait_leader()
        finally:
            await fleet.kill(number)
            await asyncio.to_thread(disk.unmount)
        await fleet.start(number)
