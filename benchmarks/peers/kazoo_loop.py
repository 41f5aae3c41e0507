"""Puts by threads through kazoo, the client that Python programs of ZooKeeper use."""

from __future__ import annotations

import asyncio
import threading
import time

from benchmarks.peers.loops import VALUE, key_of, summed_up
from benchmarks.peers.report import Sample
from benchmarks.peers.usage import cpu_s

JOIN_S_MAX = 60.0


def _loop(endpoint: str, processes: list[int], callers: int, seconds: float) -> Sample:
    from kazoo.client import KazooClient  # only benchmarks install it

    client = KazooClient(hosts=endpoint)
    client.start(timeout=JOIN_S_MAX)
    times: list[float] = []
    wrong: list[Exception] = []
    before, began = cpu_s(processes), time.perf_counter()
    end = began + seconds

    def run(caller: int) -> None:
        try:
            while (start := time.perf_counter()) < end and not wrong:
                client.set(key_of(caller), VALUE)
                times.append(time.perf_counter() - start)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_S_MAX)
    elapsed, spent = time.perf_counter() - began, cpu_s(processes) - before
    client.stop()
    client.close()
    if wrong:
        raise wrong[0]
    if any(thread.is_alive() for thread in threads):
        raise RuntimeError("kazoo did not answer")
    return summed_up(times, elapsed, spent, 0)


async def kazoo_puts(endpoint: str, processes: list[int], callers: int, seconds: float) -> Sample:
    """Lets threads put, each its own key again and again, over one session. Raises what any of them raised."""
    return await asyncio.to_thread(_loop, endpoint, processes, callers, seconds)
