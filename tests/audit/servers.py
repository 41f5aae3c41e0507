"""A member of either engine behind its real port, for those who are no members."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any

import pysyncobj.pickle as stock_bytes
from pysyncobj import SyncObj, SyncObjConf

from coordinator.consensus.codec import HEADER, Append, Message, encode_frame
from coordinator.consensus.engine.member import Engine
from tests.audit.scenario import Bench
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.sockets import Stranger, free_peers, hello, make_config
from tests.unit.consensus.toy import ToyApplication

HEARD_S_MAX = 10.0


def stock_frame(message: Any) -> bytes:
    """A message as the stock engine frames it."""
    content = zlib.compress(stock_bytes.dumps(message))
    return struct.pack("i", len(content)) + content


def pretend(payload: bytes) -> bytes:
    """A frame of our protocol around bytes of any kind."""
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


class Server(ABC):
    """Member 1 of `count`; the others are not there."""

    def __init__(self, bench: Bench, count: int) -> None:
        self.peers = free_peers(count)
        self.bench = bench
        self.answer = bytearray()
        """What the last stranger was sent."""

    @property
    @abstractmethod
    def core(self) -> Any:
        """The `SyncObj` within."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    def tick(self) -> None:
        """Does what a program does all the time."""

    @property
    @abstractmethod
    def members(self) -> int:
        """How many there are in its eyes."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """The bytes that it keeps of a message that is not complete."""

    @abstractmethod
    def introduction(self, member: int) -> bytes:
        """What a member says first."""

    @abstractmethod
    def append(self, term: int) -> bytes:
        """A frame that says that its sender leads a term."""

    @property
    def term(self) -> int:
        return int(self.core._SyncObj__raftCurrentTerm)

    @property
    def leads(self) -> bool:
        return bool(self.core._isLeader())

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(HEARD_S_MAX):
            while not done():
                self.tick()
                await asyncio.sleep(0.002)

    async def lead(self) -> None:
        self.core._SyncObj__raftElectionDeadline = 0
        await self.until(lambda: self.leads)

    async def hear(self, content: bytes, enough: Callable[[], bool]) -> None:
        """Connects, sends, and keeps the answer, until this member closes the connection or there is enough to see."""
        stranger = await Stranger.connect(self.peers[0])
        self.answer.clear()
        stranger.write(content)
        reading = asyncio.create_task(self._read(stranger.reader))
        await self.until(lambda: reading.done() or enough())
        reading.cancel()
        await asyncio.wait([reading])
        await stranger.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(4_096):
                self.answer += chunk


class HardenedServer(Server):
    """The engine of this product with its TCP transport."""

    @property
    def core(self) -> Any:
        return self.engine.parts.core

    async def start(self) -> None:
        folder = self.bench.folder / "n1"
        config = make_config(self.peers, 1, data_dir=folder, hello_timeout_ms=200)
        self.engine = Engine(config, ToyApplication(), disk=FaultDisk())
        await self.engine.start()

    async def stop(self) -> None:
        await self.engine.stop()

    def tick(self) -> None:
        assert self.engine.failure is None

    @property
    def members(self) -> int:
        return len(self.engine.members)

    @property
    def buffered(self) -> int:
        strangers = self.engine._transport._strangers  # type: ignore[attr-defined]  # it is TCP's
        return max((len(one._buffer) for one in strangers), default=0)

    def introduction(self, member: int) -> bytes:
        return encode_frame(hello(member))

    def append(self, term: int) -> bytes:
        return encode_frame(Append(term, 1, 0, 1, ()))


class StockServer(Server):
    """PySyncObj with its TCP transport."""

    @property
    def core(self) -> Any:
        return self._node

    async def start(self) -> None:
        this, *others = [peer.address for peer in self.peers]
        self._node = SyncObj(
            this,
            others,
            SyncObjConf(autoTick=False, bindAddress=this, dynamicMembershipChange=True),
        )
        await self.until(lambda: bool(self._node._SyncObj__transport.ready))

    async def stop(self) -> None:
        # `destroy` forgets connections that others took the place of. They are closed when their ends are seen.
        for _ in range(3):
            self.tick()
        self._node.destroy()

    def tick(self) -> None:
        with contextlib.suppress(Exception):  # Its own thread would log it and go on.
            self._node.doTick(0)

    @property
    def members(self) -> int:
        return 1 + len(self._node.otherNodes)

    @property
    def buffered(self) -> int:
        connections = self._node._SyncObj__transport._unknownConnections
        return max((len(one._TcpConnection__readBuffer) for one in connections), default=0)

    def introduction(self, member: int) -> bytes:
        return stock_frame(self.peers[member - 1].address)

    def append(self, term: int) -> bytes:
        message = {"type": "append_entries", "term": term, "commit_index": 1}
        return stock_frame(message | {"entries": [], "prevLogIdx": 1, "prevLogTerm": 0})


@contextlib.asynccontextmanager
async def serve(bench: Bench, count: int = 3) -> AsyncIterator[Server]:
    kind = HardenedServer if bench.engine == "hardened" else StockServer
    server = kind(bench, count)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def as_ours(*messages: Message) -> bytes:
    return b"".join(map(encode_frame, messages))
