"""ZooKeeper behind the interface of the workloads, with the bare client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.peers.clients import Background, Seen
from benchmarks.peers.zookeeper_client import (
    EPHEMERAL,
    NODE_CHANGED,
    NODE_DELETED,
    PERSISTENT,
    PERSISTENT_RECURSIVE,
    ZooKeeperClient,
    ZooKeeperError,
)

BAD_VERSION, NODE_EXISTS = -103, -110
NO_NODE = -101


class ZooKeeperAdapter(Background):
    """A read that is true of the cluster is a `sync` and a read, sent together.

    Events carry no value: a watcher reads it, as a program has to that wants it. A server tells each connection once,
    however many watchers share it.
    """

    exact = False

    def __init__(self, client: ZooKeeperClient) -> None:
        super().__init__()
        self._client = client
        self._wrong: list[BaseException] = []
        self._parents: set[str] = set()

    async def prepare(self, keys: list[str], value: bytes) -> None:
        await self._create_parents(keys[0], value)
        await asyncio.gather(*(self._create(key, value) for key in keys))

    async def fill(self, keys: list[str], value: bytes) -> None:
        await self.prepare(keys, value)

    async def _create_parents(self, key: str, value: bytes) -> None:
        parts = key.strip("/").split("/")
        for depth in range(1, len(parts)):
            parent = "/" + "/".join(parts[:depth])
            if parent not in self._parents:
                await self._create(parent, value)
                self._parents.add(parent)

    async def _create(self, path: str, value: bytes) -> None:
        try:
            await self._client.create(path, value)
        except ZooKeeperError as error:
            if error.code != NODE_EXISTS:
                raise

    async def put(self, key: str, value: bytes) -> object:
        return await self._client.set(key, value)

    async def get(self, key: str) -> object:
        return await self._client.get_synced(key)

    async def get_local(self, key: str) -> bytes | None:
        try:
            return (await self._client.get(key))[0]
        except ZooKeeperError as error:
            if error.code == NO_NODE:
                return None
            raise

    async def range(self, prefix: str) -> int:
        names = await self._client.children(prefix.rstrip("/"))
        return len(await asyncio.gather(*(self._client.get(prefix + name) for name in names)))

    async def read_version(self, key: str) -> int:
        return (await self._client.get(key))[1]

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        try:
            return await self._client.set(key, value, version)
        except ZooKeeperError as error:
            if error.code == BAD_VERSION:
                return None
            raise

    async def watch(self, key: str, count: int, seen: Seen, first: int) -> None:
        numbers = range(first, first + count)

        def read(number: int) -> None:
            def take(reading: asyncio.Future[tuple[bytes, int]]) -> None:
                if (error := reading.exception()) is not None:
                    self._wrong.append(error)
                else:
                    seen(number, *reading.result())

            asyncio.ensure_future(self._client.get(key)).add_done_callback(take)

        def hear(kind: int, path: str) -> None:
            if kind == NODE_CHANGED and path == key:
                for number in numbers:
                    read(number)

        self._client.on_event = hear
        await self._client.add_watch(key, PERSISTENT)

    async def watch_removals(self, prefix: str, gone: Callable[[str], None]) -> None:
        def hear(kind: int, path: str) -> None:
            if kind == NODE_DELETED:
                gone(path)

        self._client.on_event = hear
        await self._client.add_watch(prefix.rstrip("/"), PERSISTENT_RECURSIVE)

    def check(self) -> None:
        if self._wrong:
            raise self._wrong[0]

    async def close(self) -> None:
        await self._client.close()


class ZooKeeperSessions:
    """Sessions, each with a connection of its own: no client lets them share one."""

    def __init__(self, endpoint: str, ttl_s: float) -> None:
        self._endpoint = endpoint
        self._ttl_s = ttl_s
        self._sessions: list[ZooKeeperClient] = []

    async def open(self) -> None:
        client = await ZooKeeperClient.connect(self._endpoint, int(self._ttl_s * 1000))
        self._sessions.append(client)

    async def own(self, number: int, key: str) -> None:
        await self._sessions[number].create(key, b"", EPHEMERAL)

    async def abandon(self) -> list[float]:
        until = []
        for session in self._sessions:
            session.check()
            until.append(session.lives_until_s)
            await session.close()
        return until
