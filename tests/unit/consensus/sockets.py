"""What the tests of the transport share: free ports, listeners that take notes, and strangers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator.consensus.codec import PROTOCOL_VERSION, Hello, Message, encode_frame
from coordinator.consensus.interface import Peer
from coordinator.consensus.settings import EngineConfig, split_address
from coordinator.consensus.transport import TcpTransport

CLUSTER_KEY = 77


def free_peers(count: int) -> tuple[Peer, ...]:
    """Members on loopback ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    return tuple(
        Peer(number, f"n{number}", f"127.0.0.1:{port}") for number, port in enumerate(ports, 1)
    )


def make_config(peers: tuple[Peer, ...], member: int, **settings: Any) -> EngineConfig:
    values: dict[str, Any] = {
        "cluster_key": CLUSTER_KEY,
        "data_dir": Path("unused"),
        "client_address": f"client:{member}",
        "heartbeat_ms": 30,
        "election_timeout_ms_min": 150,
        "election_timeout_ms_max": 300,
        "snapshot_chunk_size_bytes": 4_096,
        "append_size_bytes": 4_096,
        "frame_size_bytes_max": 64 * 1024,
        "send_window_bytes_max": 128 * 1024,
    }
    return EngineConfig(name=peers[member - 1].name, peers=peers, **values | settings)


class NotedListener:
    """A transport's listener that remembers everything and wakes who waits."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, Message]] = []
        self.connections: list[tuple[int, str]] = []
        self.losses: list[int] = []
        self.refusals: list[int] = []
        self.writable: list[int] = []
        self.removals = 0
        self._changed = asyncio.Event()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    def peer_connected(self, member: int, client_address: str) -> None:
        self.connections.append((member, client_address))
        self._changed.set()

    def peer_lost(self, member: int) -> None:
        self.losses.append(member)
        self._changed.set()

    def peer_refused(self, member: int) -> None:
        self.refusals.append(member)
        self._changed.set()

    def peer_writable(self, member: int) -> None:
        self.writable.append(member)
        self._changed.set()

    def removed(self) -> None:
        self.removals += 1
        self._changed.set()

    def message_received(self, member: int, message: Message) -> None:
        self.messages.append((member, message))
        self._changed.set()


class End:
    """A transport with its listener."""

    def __init__(self, peers: tuple[Peer, ...], member: int, **settings: Any) -> None:
        self.listener = NotedListener()
        self.config = make_config(peers, member, **settings)
        self.transport = TcpTransport(self.config, self.listener)
        self.transport.set_peers(peers, ())

    async def __aenter__(self) -> End:
        await self.transport.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.stop()


class Stranger:
    """A plain socket to a member, for saying things that a member would not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, peer: Peer) -> Stranger:
        return cls(*await asyncio.open_connection(*split_address(peer.address)))

    def say(self, *messages: Message) -> None:
        self.writer.write(b"".join(map(encode_frame, messages)))

    def write(self, content: bytes) -> None:
        self.writer.write(content)

    async def rest(self) -> bytes:
        """Everything that comes until the other side closes."""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read(-1)
        return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def hello(member: int, **changes: Any) -> Hello:
    fields: dict[str, Any] = {
        "protocol": PROTOCOL_VERSION,
        "cluster_key": CLUSTER_KEY,
        "member": member,
        "name": f"n{member}",
        "client_address": f"client:{member}",
    }
    return Hello(**fields | changes)
