"""The client library aetcd: run as `python program_aetcd.py HOST:PORT`; speaks to its parent by lines."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aetcd


def tell(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def main() -> None:
    host, _, port = sys.argv[1].rpartition(":")
    async with aetcd.Client(host=host, port=int(port)) as client:
        await client.put(b"/k/a", b"1")
        tell(got=(await client.get(b"/k/a")).value.decode())
        ok, _ = await client.transaction(
            compare=[client.transactions.value(b"/k/a") == b"1"],
            success=[client.transactions.put(b"/k/b", b"2")],
            failure=[],
        )
        tell(txn=ok, read=(await client.get(b"/k/b")).value.decode())
        lease = await client.lease(30)
        await client.put(b"/k/l", b"x", lease=lease)
        tell(granted=await lease.granted_ttl(), keys=[k.decode() for k in await lease.keys()])
        await lease.revoke()
        tell(gone=await client.get(b"/k/l") is None)
        lock = client.lock(b"name", ttl=10)
        tell(locked=await lock.acquire(timeout=5))
        await lock.release()
        watch = await client.watch_prefix(b"/k/w")
        writing = asyncio.create_task(write(client))
        seen: list[str] = []
        async for event in watch:
            seen.append(event.kv.key.decode())
            if len(seen) == 20:
                break
        await writing
        await watch.cancel()
        tell(seen=seen)


async def write(client: Any) -> None:
    for number in range(20):
        if number == 10:
            tell(half=True)
            await asyncio.to_thread(sys.stdin.readline)
        while True:
            try:
                await client.put(b"/k/w%02d" % number, b"x")
                break
            except (
                aetcd.exceptions.ConnectionFailedError,
                aetcd.exceptions.ConnectionTimeoutError,
            ):
                await asyncio.sleep(0.1)


asyncio.run(asyncio.wait_for(main(), 60))
