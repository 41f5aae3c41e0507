"""Random faults side by side with writes and reads. What was acknowledged stays, and all members agree."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.consensus.cluster import Cluster


class Chaos:
    """One run. The seed decides the faults; how they meet the traffic depends on the machine as well."""

    def __init__(self, cluster: Cluster, seed: int, seconds: float) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.seconds = seconds
        self.acknowledged: list[bytes] = []
        self.terms: dict[int, int] = {}
        self.reads = 0
        self._down: set[int] = set()
        self._over = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name in range(4):
                group.create_task(self._write(name))
            for _ in range(2):
                group.create_task(self._read())
            group.create_task(self._watch_leaders())
            await self._break_things()
            await self._heal()
            self._over = True
        await self._check()

    async def _write(self, name: int) -> None:
        number = 0
        while not self._over:
            leaders = self.cluster.leaders()
            if not leaders:
                await asyncio.sleep(0.005)
                continue
            member = self.chance.choice(leaders)
            number += 1
            content = b"%d:%d:" % (name, number) + bytes(self.chance.randint(0, 300))
            application = self.cluster.applications[member]
            index = self.cluster.engines[member].propose(content)
            for _ in range(200):
                if index is None or (application.applied and application.applied[-1][0] >= index):
                    break
                await asyncio.sleep(0.002)
            if index is not None and any(
                at == index and found == content for at, _, found in application.applied[-500:]
            ):
                self.acknowledged.append(content)

    async def _read(self) -> None:
        while not self._over:
            running = list(self.cluster.engines)
            if not running:
                await asyncio.sleep(0.005)
                continue
            member = self.chance.choice(running)
            expected = len(self.acknowledged)
            application = self.cluster.applications[member]
            if await self.cluster.engines[member].read_barrier(0.5):
                seen = set(application.contents)
                missing = [c for c in self.acknowledged[:expected] if c not in seen]
                assert not missing, f"member {member} read without {missing[:3]}"
                self.reads += 1
            await asyncio.sleep(0.01)

    async def _watch_leaders(self) -> None:
        while not self._over:
            for member in self.cluster.leaders():
                term = self.cluster.engines[member].status.term
                assert self.terms.setdefault(term, member) == member, f"two leaders in term {term}"
            await asyncio.sleep(0.001)

    async def _break_things(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds
        faults: list[Callable[[], object]] = [
            self._part_some,
            self._isolate_one,
            self._slow_disk,
            self._compact,
        ]
        while loop.time() < end:
            await asyncio.sleep(self.chance.uniform(0.05, 0.4))
            action = self.chance.random()
            if action < 0.3:
                await self._crash_some()
            elif action < 0.6:
                await self._heal()
            else:
                self.chance.choice(faults)()

    def _pick(self) -> int:
        return self.chance.choice(self.cluster.peers).id

    def _part_some(self) -> None:
        one, two = self._pick(), self._pick()
        if one != two:
            self.chance.choice([self.cluster.network.part, self.cluster.network.silence])(one, two)

    def _isolate_one(self) -> None:
        self.cluster.isolate(self._pick(), silently=self.chance.random() < 0.5)

    def _slow_disk(self) -> None:
        disk = self.cluster.disks[self._pick()]
        disk.hold_syncs()
        asyncio.get_running_loop().call_later(self.chance.uniform(0.01, 0.4), disk.release_syncs)

    def _compact(self) -> None:
        member = self._pick()
        if member in self.cluster.engines:
            self.cluster.engines[member].parts.compaction.begin()

    async def _crash_some(self) -> None:
        for member in self.chance.sample(
            [p.id for p in self.cluster.peers], self.chance.randint(1, 3)
        ):
            if member in self.cluster.engines:
                self.cluster.disks[member].release_syncs()
                await self.cluster.lose_power(member, self.chance)
                self._down.add(member)

    async def _heal(self) -> None:
        self.cluster.mend_all()
        for disk in self.cluster.disks.values():
            disk.release_syncs()
        for member in sorted(self._down):
            await self.cluster.start(member)
        self._down.clear()

    async def _check(self) -> None:
        leader = await self.cluster.leader()
        async with asyncio.timeout(20):
            while not await self.cluster.engines[leader].read_barrier(2):
                leader = await self.cluster.leader()
        contents = await self.cluster.agreement()
        assert len(set(contents)) == len(contents), "an entry was applied twice"
        assert set(self.acknowledged) <= set(contents), "an acknowledged entry is lost"
        assert not self.cluster.failures


async def chaos(folder: Path, seed: int, count: int, seconds: float) -> Chaos:
    settings = {"retained_entries": 20, "journal_size_bytes_max": 32 * 1024}
    async with Cluster(folder, count, **settings) as cluster:
        await cluster.leader()
        run = Chaos(cluster, seed, seconds)
        await run.run()
        return run


@pytest.mark.parametrize(("seed", "count"), [(1, 3), (2, 5)])
async def test_a_few_seconds_of_faults(tmp_path: Path, seed: int, count: int) -> None:
    run = await chaos(tmp_path, seed, count, 1.5)
    assert len(run.acknowledged) > 20
    assert run.reads > 5


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 130))
async def test_many_seconds_of_faults(tmp_path: Path, seed: int) -> None:
    run = await chaos(tmp_path, seed, 3 + seed % 2 * 2, 10.0)
    assert len(run.acknowledged) > 50
