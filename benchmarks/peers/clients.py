"""What the workloads ask of a client, and ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from coordinator_client import EventType, Key, Put, aio

Seen = Callable[[int, bytes, int], None]
"""Called with the number of a watcher, the value that it saw, and the value's revision."""


class Client(Protocol):
    """What the workloads ask for. Callers share it. Keys are made by `prepare` before anything else is asked."""

    exact: bool
    """Whether a watcher sees every value; else it may see a later one in its place."""

    async def prepare(self, keys: list[str], value: bytes) -> None: ...

    async def fill(self, keys: list[str], value: bytes) -> None:
        """Like `prepare`, many keys in one write where that is possible; all below one key."""
        ...

    async def put(self, key: str, value: bytes) -> object: ...

    async def get(self, key: str) -> object:
        """Reads what is true of the cluster, as far as the system offers that."""
        ...

    async def get_local(self, key: str) -> bytes | None:
        """Reads what the server in use knows."""
        ...

    async def range(self, prefix: str) -> int:
        """Reads keys and values of all that is directly below a prefix, which ends with a slash; returns how many."""
        ...

    async def read_version(self, key: str) -> int:
        """Returns the version, for a write that fails if it is not the newest."""
        ...

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        """Writes if the key has the version; returns the new one, None if it had another."""
        ...

    async def watch(self, key: str, count: int, seen: Seen, first: int) -> None:
        """Lets `count` watchers of a key, with numbers from `first` on, stand; returns then."""
        ...

    async def watch_removals(self, prefix: str, gone: Callable[[str], None]) -> None:
        """Calls `gone` with every key that goes below a prefix, from the return on."""
        ...

    def check(self) -> None:
        """Raises what made a watcher end."""
        ...

    async def close(self) -> None: ...


class Sessions(Protocol):
    """Sessions of many programs, over one connection where a client lets sessions share it. Times are monotonic."""

    async def open(self) -> None:
        """Opens one and keeps it alive."""
        ...

    async def own(self, number: int, key: str) -> None:
        """Makes a key that goes with the session that was opened as the `number`th, from 0."""
        ...

    async def abandon(self) -> list[float]:
        """Stops all keep-alives; returns until when each session lives: its last keep-alive and the TTL."""
        ...


class Background:
    """Tasks that are to run until they are cancelled."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def check(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError("a watcher ended")

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class CoordinatorClient(Background):
    """Ours, with the client library."""

    exact = True

    def __init__(self, endpoints: list[str]) -> None:
        super().__init__()
        self._client = aio.connect(endpoints)

    async def prepare(self, keys: list[str], value: bytes) -> None:
        await asyncio.gather(*(self._client.put(key, value) for key in keys))

    async def fill(self, keys: list[str], value: bytes) -> None:
        result = await self._client.txn().then(*(Put(key, value) for key in keys)).commit()
        assert result.succeeded

    async def put(self, key: str, value: bytes) -> object:
        return await self._client.put(key, value)

    async def get(self, key: str) -> object:
        return await self._client.get(key)

    async def get_local(self, key: str) -> bytes | None:
        found = await self._client.get(key, local=True)
        return None if found is None else found.value

    async def range(self, prefix: str) -> int:
        return len((await self._client.range(prefix, prefix=True)).kvs)

    async def read_version(self, key: str) -> int:
        found = await self._client.get(key)
        assert found is not None
        return found.mod_revision

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        txn = self._client.txn().when(Key(key).mod_revision == version).then(Put(key, value))
        result = await txn.commit()
        return result.revision if result.succeeded else None

    async def watch(self, key: str, count: int, seen: Seen, first: int) -> None:
        watches = [self._client.watch(key) for _ in range(count)]
        await asyncio.gather(*(watch.open() for watch in watches))
        for number, watch in enumerate(watches, first):
            self._tasks.append(asyncio.create_task(self._follow(watch, number, seen)))

    @staticmethod
    async def _follow(watch: aio.Watch, number: int, seen: Seen) -> None:
        async for batch in watch:
            for event in batch.events:
                seen(number, event.kv.value, event.kv.mod_revision)

    async def watch_removals(self, prefix: str, gone: Callable[[str], None]) -> None:
        watch = await self._client.watch(prefix, prefix=True, puts=False).open()

        async def follow() -> None:
            async for batch in watch:
                for event in batch.events:
                    assert event.type is EventType.DELETE
                    gone(event.key.decode())

        self._tasks.append(asyncio.create_task(follow()))

    async def close(self) -> None:
        await self.cancel()
        await self._client.close()


class CoordinatorSessions:
    """Sessions of one client of ours."""

    def __init__(self, endpoints: list[str], ttl_s: float) -> None:
        self._client = aio.connect(endpoints)
        self._ttl_s = ttl_s
        self._sessions: list[aio.Session] = []

    async def open(self) -> None:
        self._sessions.append(await self._client.session(self._ttl_s).open())

    async def own(self, number: int, key: str) -> None:
        await self._sessions[number].put(key)

    async def abandon(self) -> list[float]:
        for session in self._sessions:
            session.check_alive()
        now_s = time.monotonic()
        until = [now_s + session.remaining_s for session in self._sessions]
        await self._client.close()
        return until
