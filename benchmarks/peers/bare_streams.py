"""A bare client of etcd's watches on HTTP/2: a stream for each watcher, as programs of many make them together.

A thousand streams of `grpc.aio` in one program would show what that program costs. This client knows just enough of
HTTP/2 (RFC 9113) to open streams, and to take apart what comes on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from benchmarks.peers.clients import Client, Seen
from benchmarks.peers.etcd_client import STAND_S_MAX, EtcdClient
from benchmarks.peers.systems import System
from coordinator.gateways.etcd.pb import watch_pb2
from coordinator.wire.http2.encoding import encode_block
from coordinator.wire.http2.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEAD_SIZE_BYTES,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    ping,
    settings,
    window_update,
)

PREFIX_BYTES = 5
"""Before every message of gRPC."""
GIVEN_BACK_BYTES = 1 << 29
"""Of the connection's window, each time that so much has come."""


class _Streams(asyncio.Protocol):
    """One connection, on which messages come for streams."""

    def __init__(self, take: Callable[[int, bytes], None], wrong: Callable[[str], None]) -> None:
        self._take = take
        self._wrong = wrong
        self._held = b""
        self._unfinished: dict[int, bytes] = {}
        self._came = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(
            PREFACE
            + settings([(INITIAL_WINDOW_SIZE, WINDOW_MAX)])
            + window_update(0, WINDOW_MAX - WINDOW_DEFAULT)
        )

    def open(self, stream_id: int, head: bytes, message: bytes) -> None:
        """Opens a stream with one message."""
        body = b"\0" + len(message).to_bytes(4, "big") + message
        self.transport.write(
            HEAD.pack(len(head) << 8 | HEADERS, END_HEADERS, stream_id)
            + head
            + HEAD.pack(len(body) << 8 | DATA, 0, stream_id)
            + body
        )

    def data_received(self, data: bytes) -> None:
        data = self._held + data
        position, size = 0, len(data)
        while size - position >= HEAD_SIZE_BYTES:
            word, flags, stream_id = HEAD.unpack_from(data, position)
            end = position + HEAD_SIZE_BYTES + (word >> 8)
            if end > size:
                break
            self._take_frame(word & 0xFF, flags, stream_id, data[position + HEAD_SIZE_BYTES : end])
            position = end
        self._held = data[position:]

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == DATA:
            self._came += len(payload)
            if self._came >= GIVEN_BACK_BYTES:
                self.transport.write(window_update(0, self._came))
                self._came = 0
            self._take_messages(stream_id, self._unfinished.pop(stream_id, b"") + payload)
        elif kind == SETTINGS and not flags & ACK:
            self.transport.write(SETTINGS_ACK)
        elif kind == PING and not flags & ACK:
            self.transport.write(ping(payload, ACK))
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self._wrong(f"the stream of a watcher ended: {payload!r}")

    def _take_messages(self, stream_id: int, data: bytes) -> None:
        position = 0
        while len(data) - position >= PREFIX_BYTES:
            end = position + PREFIX_BYTES + int.from_bytes(data[position + 1 : position + 5], "big")
            if end > len(data):
                break
            self._take(stream_id, data[position + PREFIX_BYTES : end])
            position = end
        if position < len(data):
            self._unfinished[stream_id] = data[position:]

    def connection_lost(self, error: Exception | None) -> None:
        self._wrong("the connection of watchers ended")


class BareWatching(EtcdClient):
    """As etcd's client, but each watcher has a stream, all on one connection."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._endpoint = endpoint
        self._streams: _Streams | None = None
        self._trouble = ""

    async def watch(self, key: str, count: int, seen: Seen, first: int) -> None:
        standing = 0
        stand = asyncio.Event()

        def take(stream_id: int, message: bytes) -> None:
            nonlocal standing
            reply = watch_pb2.WatchResponse.FromString(message)
            if reply.created:
                standing += 1
                if standing == count:
                    stand.set()
            for event in reply.events:
                seen(first + stream_id // 2, event.kv.value, event.kv.mod_revision)

        host, _, port = self._endpoint.rpartition(":")
        loop = asyncio.get_running_loop()
        _, streams = await loop.create_connection(
            lambda: _Streams(take, self._note), host, int(port)
        )
        self._streams = streams
        head = encode_block(
            (
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", b"/etcdserverpb.Watch/Watch"),
                (b":authority", self._endpoint.encode()),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
            )
        )
        create = watch_pb2.WatchCreateRequest(key=key.encode())
        message = watch_pb2.WatchRequest(create_request=create).SerializeToString()
        for number in range(count):
            streams.open(2 * number + 1, head, message)
        async with asyncio.timeout(STAND_S_MAX):
            await stand.wait()

    def _note(self, trouble: str) -> None:
        self._trouble = self._trouble or trouble

    def check(self) -> None:
        """Raises RuntimeError if a watcher ended."""
        super().check()
        if self._trouble:
            raise RuntimeError(self._trouble)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams.transport.abort()
        await super().close()


class BareWatched:
    """A cluster that speaks etcd's API, and whose watchers have a stream each."""

    def __init__(self, system: System) -> None:
        self._system = system

    @property
    def processes(self) -> list[int]:
        return self._system.processes

    async def connect(self, start: int = 0) -> Client:
        await (await self._system.connect(start)).close()
        endpoints = self._system.etcd_endpoints
        return BareWatching(endpoints[start % len(endpoints)])
