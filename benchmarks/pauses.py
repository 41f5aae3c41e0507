"""Measures how long one callback keeps the loop of a node busy while a snapshot of many keys is taken.

    python benchmarks/pauses.py --keys 1000000

A real node runs alone in this process, on a loop that takes the CPU time of each callback, garbage collection in it
included. A writer goes on all the while.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordinator.config import Config, Limits
from coordinator.consensus.interface import Role
from coordinator.joining import find_origin
from coordinator.node.member import MemberNode
from coordinator.server import Server
from coordinator.state.commands import Put, Txn, Write

PUTS_PER_TXN = 100


class Clock:
    """CPU times of the callbacks of this thread's loop, in milliseconds."""

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self.worst_of = ""
        self.long = 0
        """Callbacks of more than 10 ms."""
        self.collections = 0

    @contextmanager
    def watching(self) -> Iterator[Clock]:
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            run(handle)
            took_ms = (time.thread_time() - began) * 1e3
            self.long += took_ms > 10
            if took_ms > self.worst_ms:
                self.worst_ms, self.worst_of = took_ms, repr(handle)[:200]

        def collected(phase: str, details: dict[str, int]) -> None:
            self.collections += phase == "stop" and details["generation"] == 2

        asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]  # for the time of a measurement
        gc.callbacks.append(collected)
        try:
            yield self
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]  # as it was
            gc.callbacks.remove(collected)


def free_address() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def soon() -> float:
    return asyncio.get_running_loop().time() + 60


async def fill(node: MemberNode, keys: int) -> None:
    for start in range(0, keys, 20 * PUTS_PER_TXN):
        await asyncio.gather(
            *(
                node.propose(
                    Write(
                        Txn(
                            (),
                            tuple(
                                Put(b"/keys/%08d" % key, b"v" * 100)
                                for key in range(first, first + PUTS_PER_TXN)
                            ),
                        )
                    ),
                    soon(),
                )
                for first in range(start, min(start + 20 * PUTS_PER_TXN, keys), PUTS_PER_TXN)
            )
        )


async def write_on(node: MemberNode, times_ms: list[float]) -> None:
    number = 0
    while True:
        number += 1
        began = time.perf_counter()
        await node.propose(Write(Put(b"/busy/%d" % (number % 1000), b"w" * 100)), soon())
        times_ms.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0.002)


async def measure(keys: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            data_dir=folder,
            client_address=free_address(),
            peer_address=free_address(),
            limits=Limits(journal_size_bytes_max=1 << 34),
        )
        server = Server(config, await find_origin(config))
        await server.start()
        node, engine = server.node, server._engine
        while node.consensus_status.role is not Role.LEADER:
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        await fill(node, keys)
        filled_s = time.perf_counter() - began
        assert node.state.key_count == keys, f"{node.state.key_count} keys"
        times_ms: list[float] = []
        quiet, during = Clock(), Clock()
        writer = asyncio.create_task(write_on(node, times_ms))
        with quiet.watching():
            await asyncio.sleep(5)
        before, times_ms[:] = sorted(times_ms), []
        began = time.perf_counter()
        with during.watching():
            await engine.compact_now()
            asyncio.get_running_loop().call_soon(gc.collect)  # a full one, whenever it would come
            await asyncio.sleep(0.1)
        took_s = time.perf_counter() - began
        writer.cancel()
        times_ms.sort()
        status = node.consensus_status
        await server.stop()
        return {
            "keys": keys,
            "filled_s": round(filled_s, 1),
            "snapshot_s": round(took_s, 2),
            "snapshot_size_bytes": status.snapshot_size_bytes,
            "worst_callback_ms_quiet": round(quiet.worst_ms, 2),
            "worst_callback_ms": round(during.worst_ms, 2),
            "worst_callback": during.worst_of,
            "callbacks_over_10_ms": during.long,
            "full_collections": during.collections,
            "put_p99_ms_before": round(before[int(len(before) * 0.99)], 2),
            "put_p99_ms_during": round(times_ms[int(len(times_ms) * 0.99)], 2),
            "put_worst_ms_during": round(times_ms[-1], 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    print(json.dumps(asyncio.run(measure(parser.parse_args().keys)), indent=2))


if __name__ == "__main__":
    main()
