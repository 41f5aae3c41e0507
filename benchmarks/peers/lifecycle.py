"""A cluster from its start on: the first write, idleness, memory under many keys, and a node that comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time

from benchmarks.peers.clients import Client
from benchmarks.peers.report import Sample
from benchmarks.peers.systems import MEMBERS, System, until
from benchmarks.peers.usage import cpu_s, resident_mib

VALUE = b"v" * 128
CALLERS = 256
KEYS_PER_FILL = 100
RECOVERY_S_MAX = 600.0
NEWEST = "/kept/newest"


def key_of(number: int) -> str:
    return f"/kept/{number:07}"


async def first_write(system: System, began_s: float) -> Sample:
    """The value is the time from the start of the first process to an acknowledged write, in seconds."""
    client = await system.connect()
    await until(lambda: client.prepare(["/kept"], b""))
    elapsed_s = time.perf_counter() - began_s
    await client.close()
    return Sample(elapsed_s)


async def idle(system: System, calm_s: float, seconds: float) -> Sample:
    """The value is the processor time of all servers while nothing is asked of them, in percent of a core."""
    await asyncio.sleep(calm_s)
    before, began = cpu_s(system.processes), time.perf_counter()
    await asyncio.sleep(seconds)
    spent = cpu_s(system.processes) - before
    return Sample(spent / (time.perf_counter() - began) * 100)


async def fill(client: Client, first: int, last: int) -> None:
    """Makes keys, many in one write where a system can. Raises what any write raised."""
    starts = iter(range(first, last, KEYS_PER_FILL))

    async def run() -> None:
        for start in starts:
            keys = [key_of(n) for n in range(start, min(start + KEYS_PER_FILL, last))]
            await client.fill(keys, VALUE)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS // KEYS_PER_FILL + 2):
            tasks.create_task(run())


async def put_each(client: Client, count: int) -> None:
    """Makes keys, each with a write of its own, as programs do."""
    numbers = iter(range(count))

    async def run() -> None:
        for number in numbers:
            await client.prepare([key_of(number)], VALUE)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(run())


async def memory(system: System, wanted: list[int], calm_s: float) -> list[Sample]:
    """Makes more and more keys; returns the memory of a node with each of the numbers, in MiB."""
    client = await system.connect()
    await client.prepare(["/kept/newest"], b"0")
    samples, made = [], 0
    for count in wanted:
        if made == 0:
            await put_each(client, min(count, wanted[0]))
        else:
            await fill(client, made, count)
        made = count
        await asyncio.sleep(calm_s)
        samples.append(Sample(statistics.mean(resident_mib(pid) for pid in system.processes)))
    last = await client.get_local(key_of(made - 1))
    if last != VALUE:
        raise RuntimeError(f"{key_of(made - 1)} is {last!r}")
    await client.close()
    return samples


async def recovery(system: System) -> Sample:
    """Kills a follower, writes, and starts it; the value is the time until it answers with that write, in seconds."""
    leader = await system.find_leader()
    member = (leader + 1) % MEMBERS
    os.kill(system.processes[member], signal.SIGKILL)
    client = await system.connect(leader)
    await client.put(NEWEST, b"1")
    await client.close()
    began = time.perf_counter()
    reviving = asyncio.create_task(asyncio.to_thread(system.revive, member))

    async def look() -> None:
        node = await system.connect_to(member)
        try:
            if await node.get_local(NEWEST) != b"1":
                raise RuntimeError("the node that came back lacks the newest write")
        finally:
            await node.close()

    await until(look, RECOVERY_S_MAX)
    elapsed = time.perf_counter() - began
    await reviving
    return Sample(elapsed)
