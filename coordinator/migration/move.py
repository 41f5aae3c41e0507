"""Copies a store into another one, follows it until told to stop, and compares both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from coordinator.gateways.etcd.pb import kv_pb2, mvcc_pb2
from coordinator.migration.plans import Difference, bounds, compare, op_of, put_of, transactions
from coordinator.migration.store import Compacted, Store, StoreError

LEASES_EVERY_S = 1.0
"""How often it is seen to that leases live in the target as long as in the source."""
TTL_S_MIN = 5
"""Of a lease in the target: it must outlast the time between two looks at it."""
DIFFERENCES_MAX = 20
"""That are told; the rest are counted."""


class Occupied(StoreError):
    """The target has keys already."""


@dataclass
class Report:
    """What came of it."""

    copied: int = 0
    followed: int = 0
    """Revisions of the source."""
    revision: int = 0
    """Of the source, up to which the target is a copy."""
    compared: int = 0
    differences: int = 0
    shown: list[Difference] = field(default_factory=list)


class Move:
    """One copy under way."""

    def __init__(
        self, source: Store, target: Store, prefix: bytes, progress: Callable[[int, int], None]
    ) -> None:
        """`progress` is told how many keys are copied, and of how many."""
        self._source = source
        self._target = target
        self._bounds = bounds(prefix)
        self._progress = progress
        self._leases: set[int] = set()
        self.report = Report()

    async def copy(self, *, overwrite: bool) -> None:
        """Copies all keys as they are at one revision. Raises StoreError; Occupied without `overwrite`."""
        count, _ = await self._target.count(*self._bounds)
        if count and not overwrite:
            raise Occupied(
                f"{self._target.name} has {count} keys there already; --overwrite replaces them"
            )
        total, revision = await self._source.count(*self._bounds)
        done = 0
        self._progress(done, total)
        async for kvs in self._source.pages(*self._bounds, revision):
            await self._hold(kv.lease for kv in kvs)
            await self._write([put_of(self._held(kv)) for kv in kvs])
            done += len(kvs)
            self._progress(done, total)
        if count:
            await self._clear(revision)
        self.report.copied, self.report.revision = done, revision

    async def _clear(self, revision: int) -> None:
        """Deletes what the source does not have."""
        _, now = await self._target.count(*self._bounds)
        gone: list[kv_pb2.RequestOp] = []
        async for source, target in self._pairs(revision, now):
            if source is None and target is not None:
                delete = kv_pb2.DeleteRangeRequest(key=target.key)
                gone.append(kv_pb2.RequestOp(request_delete_range=delete))
        await self._write(gone)

    async def follow(self, stop: asyncio.Event) -> None:
        """Does in the target what happens in the source, until told to stop. Raises StoreError or Compacted."""
        applying = asyncio.create_task(self._apply())
        keeping = asyncio.create_task(self._keep_leases())
        stopping = asyncio.create_task(stop.wait())
        tasks: tuple[asyncio.Task[Any], ...] = (applying, keeping, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (applying, keeping):
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _apply(self) -> None:
        report = self.report
        async for events in self._source.follow(*self._bounds, report.revision + 1):
            await self._hold(event.kv.lease for event in events)
            for event in events:
                event.kv.CopyFrom(self._held(event.kv))
            # Not torn apart by an end in between: a revision is applied as a whole, or counts as not applied.
            await asyncio.shield(self._write([op_of(event) for event in events]))
            report.followed += 1
            report.revision = events[-1].kv.mod_revision

    async def _write(self, ops: Sequence[kv_pb2.RequestOp]) -> None:
        for group in transactions(ops):
            await self._target.write(group)

    # --- leases ---------------------------------------------------------------------------------------

    async def _hold(self, leases: Iterable[int]) -> None:
        """Grants leases of the source in the target, for as long as they have left."""
        for lease in sorted(set(leases) - self._leases - {0}):
            left = await self._source.time_left(lease)
            if left >= 0:
                await self._target.grant(lease, max(left, TTL_S_MIN))
                self._leases.add(lease)

    def _held(self, kv: mvcc_pb2.KeyValue) -> mvcc_pb2.KeyValue:
        """Returns a key without a lease that has ended meanwhile: its end is told as an event soon."""
        if kv.lease and kv.lease not in self._leases:
            kv.lease = 0
        return kv

    async def _keep_leases(self) -> None:
        """Renews leases in the target as long as they live in the source, and lets go of the others."""
        while True:
            await asyncio.sleep(LEASES_EVERY_S)
            for lease in sorted(self._leases):
                if await self._source.time_left(lease) < 0:
                    self._leases.discard(lease)
            if self._leases:
                await self._target.keep_alive(sorted(self._leases))

    # --- comparing ------------------------------------------------------------------------------------

    async def verify(self) -> None:
        """Compares the target with the source as it was at the revision of the report."""
        report = self.report
        _, now = await self._target.count(*self._bounds)
        async for source, target in self._pairs(report.revision, now):
            report.compared += 1
            difference = compare(source, target)
            if difference is not None:
                report.differences += 1
                if len(report.shown) < DIFFERENCES_MAX:
                    report.shown.append(difference)

    async def _pairs(
        self, revision: int, target_revision: int
    ) -> AsyncIterator[tuple[mvcc_pb2.KeyValue | None, mvcc_pb2.KeyValue | None]]:
        """Yields each key as it is in the source and in the target, ascending; None: it is not there."""
        source = _flat(self._source.pages(*self._bounds, revision))
        target = _flat(self._target.pages(*self._bounds, target_revision))
        one, other = await anext(source, None), await anext(target, None)
        while one is not None or other is not None:
            if other is None or (one is not None and one.key < other.key):
                yield one, None
                one = await anext(source, None)
            elif one is None or other.key < one.key:
                yield None, other
                other = await anext(target, None)
            else:
                yield one, other
                one, other = await anext(source, None), await anext(target, None)


async def _flat(
    pages: AsyncIterator[Sequence[mvcc_pb2.KeyValue]],
) -> AsyncIterator[mvcc_pb2.KeyValue]:
    async for page in pages:
        for kv in page:
            yield kv


async def move(
    source: Store,
    target: Store,
    prefix: bytes,
    progress: Callable[[int, int], None],
    *,
    stop: asyncio.Event | None,
    overwrite: bool,
) -> Report:
    """Copies, follows until `stop` (None: not at all), and compares. Raises StoreError."""
    moving = Move(source, target, prefix, progress)
    await moving.copy(overwrite=overwrite)
    while stop is not None and not stop.is_set():
        try:
            await moving.follow(stop)
        except Compacted:
            # It fell too far behind: what is there is brought up to date as a whole.
            await moving.copy(overwrite=True)
    with contextlib.suppress(Compacted):
        await moving.verify()
        return moving.report
    raise StoreError(
        f"{source.name} has compacted revision {moving.report.revision}, so that the copy can't be compared"
    )
