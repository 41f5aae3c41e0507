"""For how long no write is acknowledged when the leader is killed, or stands still."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time

from benchmarks.peers.clients import Client
from benchmarks.peers.report import Sample
from benchmarks.peers.systems import MEMBERS, System, until

PERIOD_S = 0.01
STEADY_S = 1.0
ATTEMPT_S = 0.3
"""A client that knows one member only goes to the next if it has no answer by then."""
OPEN_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 2.0
OUTAGE_S_MAX = 90.0
PAUSE_S = 4.0
"""At least so long the leader stands still; in any case until writes are acknowledged again."""
KEY = "/outage"


class Writer:
    """Writes one key every few milliseconds, as a program does that wants each write acknowledged."""

    def __init__(self, system: System, leader: int) -> None:
        self.acknowledged_s: list[float] = []
        self._system = system
        # Where a client has one member, it begins with one that stays.
        self._member = (leader + 1) % MEMBERS
        self._roams = system.name == "coordinator"
        self._client: Client | None = None
        self.number = 0
        self.over = False
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while not self.over:
            began = time.monotonic()
            try:
                if self._client is None:
                    await asyncio.wait_for(self._connect(), OPEN_TIMEOUT_S)
                await self._write()
                self.acknowledged_s.append(time.monotonic())
                self.number += 1
            except Exception:
                # Outages are what is measured: whatever went wrong, the same write is tried again.
                if not self._roams:
                    await self._leave()
            await asyncio.sleep(max(0.0, began + PERIOD_S - time.monotonic()))

    async def _write(self) -> None:
        assert self._client is not None
        put = self._client.put(KEY, b"%012d" % self.number)
        await (put if self._roams else asyncio.wait_for(put, ATTEMPT_S))

    async def _connect(self) -> None:
        if self._roams:
            self._client = await self._system.connect()
        else:
            self._client = await self._system.connect_to(self._member)

    async def _leave(self) -> None:
        self._member = (self._member + 1) % MEMBERS
        client, self._client = self._client, None
        if client is not None:
            # Not waited for: a member that stands still may never let go of its connections.
            closing = asyncio.create_task(close_in_time(client))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def wait_acknowledged(self, since_s: float) -> None:
        """Returns once a write was acknowledged after a time. Raises RuntimeError if none is for too long."""
        deadline = time.monotonic() + OUTAGE_S_MAX
        while not self.acknowledged_s or self.acknowledged_s[-1] <= since_s:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no write was acknowledged for {OUTAGE_S_MAX:.0f} s")
            await asyncio.sleep(PERIOD_S)

    async def close(self) -> None:
        if self._client is not None:
            await close_in_time(self._client)
        await asyncio.gather(*self._closing)


async def close_in_time(client: Client) -> None:
    """Closes a client, or leaves it when that takes too long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.close(), CLOSE_TIMEOUT_S)


def longest_gap_s(times: list[float], from_s: float) -> float:
    """Returns the longest time without an acknowledgement that ends after a moment."""
    return max(
        (after - before for before, after in itertools.pairwise(times) if after > from_s),
        default=0.0,
    )


async def measure_outage(system: System, sign: signal.Signals) -> Sample:
    """Sends SIGKILL or SIGSTOP to the leader under a steady writer; the value is the gap of writes, in seconds."""
    leader = await system.find_leader()
    pid = system.processes[leader]
    client = await system.connect((leader + 1) % MEMBERS)
    await client.prepare([KEY], b"")
    await client.close()
    writer = Writer(system, leader)
    writing = asyncio.create_task(writer.run())
    try:
        await writer.wait_acknowledged(time.monotonic())
        await asyncio.sleep(STEADY_S)
        began = time.monotonic()
        os.kill(pid, sign)
        # Writes that were under way may still be acknowledged.
        await asyncio.sleep(ATTEMPT_S)
        await writer.wait_acknowledged(began + ATTEMPT_S)
        if sign == signal.SIGSTOP:
            await asyncio.sleep(max(0.0, began + PAUSE_S - time.monotonic()))
        gap = longest_gap_s(writer.acknowledged_s, began)
    finally:
        # First: what is to be closed may need the one that stands still.
        if sign == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
        # An attempt that ends as it is cancelled would go on with the next one.
        writer.over = True
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        await writer.close()
    if sign == signal.SIGKILL:
        await asyncio.to_thread(system.revive, leader)
    await _settle(system, leader)
    return Sample(gap)


async def _settle(system: System, member: int) -> None:
    """Returns once the member that was away knows what is written now.

    Not what the writer wrote last: an attempt that nobody waited for any more may still be carried out after it.
    """
    key = f"/settled-{time.monotonic_ns()}"
    client = await system.connect((member + 1) % MEMBERS)
    await until(lambda: client.prepare([key], b"1"))
    await client.close()

    async def look() -> None:
        node = await system.connect_to(member)
        try:
            if await node.get_local(key) != b"1":
                raise RuntimeError(f"member {member} lacks the newest write")
        finally:
            await node.close()

    await until(look)
