"""A bare ZooKeeper client on asyncio: requests of all callers travel in one stream, answers come in its order.

It does what a measurement needs and no more: it costs less than any full client, so that the servers get the machine.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

CREATE, GET_DATA, SET_DATA, CHILDREN, SYNC, PING, ADD_WATCH = 1, 4, 5, 8, 9, 11, 106
EPHEMERAL = 1
PERSISTENT, PERSISTENT_RECURSIVE = 0, 1
NODE_DELETED, NODE_CHANGED = 2, 3
"""Kinds of events."""
PING_XID, WATCH_XID = -2, -1
ANYONE = struct.pack("!ii", 1, 31) + b"\0\0\0\5world" + b"\0\0\0\6anyone"
VERSION_OFFSET = 32
"""In the record that tells of a node: four numbers of eight bytes come first."""
PINGS_PER_TIMEOUT = 3


class ZooKeeperError(Exception):
    """A request was refused; `code` as ZooKeeper numbers it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ZooKeeper error {code}")
        self.code = code


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("!i", len(encoded)) + encoded


class ZooKeeperClient(asyncio.Protocol):
    """One session with one server."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._outgoing: list[bytes] = []
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._xid = 0
        self._connected: asyncio.Future[int] = self._loop.create_future()
        self._pinging: asyncio.Task[None] | None = None
        self._lost: Exception | None = None
        self._pinged_s = self._heard_s = 0.0
        self._granted_s = 0.0
        self.on_event: Callable[[int, str], None] = lambda kind, path: None
        """Called with the kind and the path of every event of a watch."""

    @property
    def lives_until_s(self) -> float:
        """Until when the session lives if nothing more is sent, on the monotonic clock."""
        return self._heard_s + self._granted_s

    @classmethod
    async def connect(cls, address: str, timeout_ms: int = 10_000) -> ZooKeeperClient:
        """Opens a session at host:port. Raises OSError."""
        host, _, port = address.rpartition(":")
        _, client = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        hello = struct.pack("!iqiqi16s?", 0, 0, timeout_ms, 0, 16, bytes(16), False)
        client._pinged_s = client._heard_s = time.monotonic()
        client._send(hello)
        try:
            granted_ms = await client._connected
        except asyncio.CancelledError:
            await client.close()
            raise
        client._granted_s = granted_ms / 1000
        client._pinging = asyncio.create_task(client._ping(granted_ms / 1000 / PINGS_PER_TIMEOUT))
        return client

    async def _ping(self, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            self._pinged_s = time.monotonic()
            self._send(struct.pack("!ii", PING_XID, PING))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        lost = error or ConnectionError("the server closed the connection")
        self._lost = lost
        waiting: list[asyncio.Future[Any]] = [self._connected, *self._waiting]
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(lost)
        if self._pinging is not None:
            self._pinging.cancel()

    def _send(self, frame: bytes) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(struct.pack("!i", len(frame)) + frame)

    def _flush(self) -> None:
        if self._transport is not None and self._lost is None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while len(buffer) - start >= 4:
            (length,) = struct.unpack_from("!i", buffer, start)
            if len(buffer) - start - 4 < length:
                break
            self._take(buffer[start + 4 : start + 4 + length])
            start += 4 + length
        self._buffer = buffer[start:]

    def _take(self, frame: bytes) -> None:
        if not self._connected.done():
            _, granted_ms = struct.unpack_from("!ii", frame)
            self._connected.set_result(granted_ms)
            return
        xid, _, code = struct.unpack_from("!iqi", frame)
        if xid == PING_XID:
            self._heard_s = self._pinged_s
            return
        if xid == WATCH_XID:
            kind, _, length = struct.unpack_from("!iii", frame, 16)
            self.on_event(kind, frame[28 : 28 + length].decode())
            return
        waiter = self._waiting.popleft()
        if waiter.done():
            return
        if code:
            waiter.set_exception(ZooKeeperError(code))
        else:
            waiter.set_result(frame[16:])

    def _ask(self, operation: int, body: bytes) -> asyncio.Future[bytes]:
        self.check()
        self._xid += 1
        waiter: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.append(waiter)
        self._send(struct.pack("!ii", self._xid, operation) + body)
        return waiter

    async def create(self, path: str, value: bytes, flags: int = 0) -> None:
        """Makes a node; with EPHEMERAL it goes when the session ends. Raises ZooKeeperError."""
        body = _text(path) + struct.pack("!i", len(value)) + value + ANYONE
        await self._ask(CREATE, body + struct.pack("!i", flags))

    async def children(self, path: str) -> list[str]:
        """Returns the names of the nodes below one. Raises ZooKeeperError."""
        reply = await self._ask(CHILDREN, _text(path) + b"\0")
        (count,) = struct.unpack_from("!i", reply)
        names, offset = [], 4
        for _ in range(count):
            (length,) = struct.unpack_from("!i", reply, offset)
            names.append(reply[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        return names

    async def add_watch(self, path: str, mode: int) -> None:
        """Lets the server tell all changes of a node, and if recursive of all below it. Raises ZooKeeperError."""
        await self._ask(ADD_WATCH, _text(path) + struct.pack("!i", mode))

    async def get(self, path: str) -> tuple[bytes, int]:
        """Returns a node's value and version, as the server knows them. Raises ZooKeeperError."""
        reply = await self._ask(GET_DATA, _text(path) + b"\0")
        (length,) = struct.unpack_from("!i", reply)
        (version,) = struct.unpack_from("!i", reply, 4 + length + VERSION_OFFSET)
        return reply[4 : 4 + length], version

    async def get_synced(self, path: str) -> tuple[bytes, int]:
        """Like `get`, once the server has caught up with the leader. Raises ZooKeeperError."""
        synced = self._ask(SYNC, _text(path))
        found = await self.get(path)
        await synced
        return found

    async def set(self, path: str, value: bytes, version: int = -1) -> int:
        """Writes a node, if it has the version (-1: any); returns its new one. Raises ZooKeeperError."""
        body = _text(path) + struct.pack("!i", len(value)) + value + struct.pack("!i", version)
        reply = await self._ask(SET_DATA, body)
        new: int = struct.unpack_from("!i", reply, VERSION_OFFSET)[0]
        return new

    def check(self) -> None:
        """Raises ConnectionError if the connection is lost."""
        if self._lost is not None:
            raise ConnectionError("the connection is lost") from self._lost

    async def close(self) -> None:
        """Closes the connection; the session lives on until its time is up."""
        if self._pinging is not None:
            self._pinging.cancel()
        if self._transport is not None:
            self._transport.close()
