"""What tests of locks, semaphores and elections ask the cluster, and how they spoil an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from coordinator_client import aio, calls

WAIT_S = 10


async def wait_count(client: aio.Client, prefix: str, count: int) -> None:
    """Waits until so many keys begin with the prefix."""
    async with asyncio.timeout(WAIT_S), client.watch(prefix, prefix=True) as watch:
        while (await client.range(prefix, prefix=True, count_only=True)).count != count:
            await watch.next()


async def keys_of(client: aio.Client, prefix: str) -> list[bytes]:
    """Returns all keys with the prefix, the oldest first."""
    kvs = (await client.range(prefix, prefix=True)).kvs
    return [kv.key for kv in sorted(kvs, key=lambda kv: kv.create_revision)]


def replace_txn(
    client: aio.Client, how: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
) -> None:
    """From now on transactions of the client that write go through `how`, which is given the real call."""
    writes = client._writes
    real = writes.call

    async def call(method: Any, request: Any, timeout_s: float | None = None) -> Any:
        if method is not calls.TXN:
            return await real(method, request, timeout_s)
        return await how(lambda: real(method, request, timeout_s))

    writes.call = call  # type: ignore[method-assign]  # stands in between
