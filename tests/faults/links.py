"""Connections between members, each through a proxy of its own that can be disturbed, direction by direction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from scripts.localcluster.layout import HOST

CHUNK_SIZE_BYTES = 64 * 1024
CHUNKS_HELD_MAX = 64
"""Read and not yet written on; then the sender has to wait, as with any network."""
ACCEPT_TURNS = 10


@dataclass
class Direction:
    """What happens to bytes from one member to another."""

    delay_s: float = 0.0
    rate_bytes_s: float = 0.0
    """0: as fast as it goes."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    """Not set: bytes are held back, and nobody is told."""

    def __post_init__(self) -> None:
        self.flowing.set()

    def heal(self) -> None:
        self.delay_s = self.rate_bytes_s = 0.0
        self.flowing.set()


class Link:
    """The way from a member that dials to the one that listens, and back."""

    def __init__(self, target: str, there: Direction, back: Direction) -> None:
        self._target = target
        self._there = there
        self._back = back
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.cut = False

    @property
    def address(self) -> str:
        """What the dialing member takes for the address of the other."""
        assert self._server is not None
        return f"{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        # A connection that was just accepted needs some turns of the loop until somebody owns it.
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        await self.drop()
        await self._server.wait_closed()

    async def drop(self) -> None:
        """Closes what is open, both ways; what was on its way is lost."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if not self.cut:
                await self._carry(reader, writer)
        except asyncio.CancelledError:
            # Only `drop` cancels; the server would call it an error that nobody looked at.
            return
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return
        ways = [
            asyncio.ensure_future(pump(reader, far_writer, self._there)),
            asyncio.ensure_future(pump(far_reader, writer, self._back)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            far_writer.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)


async def pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
) -> None:
    """Carries bytes until one side closes."""
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_HELD_MAX)
    writing = asyncio.ensure_future(_write(held, writer, direction))
    loop = asyncio.get_running_loop()
    try:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_SIZE_BYTES):
                await held.put((loop.time() + direction.delay_s, chunk))
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _write(
    held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, direction: Direction
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due_s, chunk = await held.get()
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        await direction.flowing.wait()
        writer.write(chunk)
        await writer.drain()
        if direction.rate_bytes_s:
            await asyncio.sleep(len(chunk) / direction.rate_bytes_s)


class Links:
    """All links of a cluster. Members are named by their numbers."""

    def __init__(self, addresses: dict[int, str]) -> None:
        pairs = [(a, b) for a in addresses for b in addresses if a != b]
        self._directions = {pair: Direction() for pair in pairs}
        self._links = {
            (a, b): Link(addresses[b], self._directions[a, b], self._directions[b, a])
            for a, b in pairs
        }

    async def start(self) -> None:
        for link in self._links.values():
            await link.start()

    async def stop(self) -> None:
        for link in self._links.values():
            await link.stop()

    def address(self, dialer: int, target: int) -> str:
        """Where `dialer` finds `target`."""
        return self._links[dialer, target].address

    def stall(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Holds back what goes from the first to the second of each pair."""
        for pair in pairs:
            self._directions[pair].flowing.clear()

    def slow(self, pairs: Iterable[tuple[int, int]], delay_s: float, rate_bytes_s: float) -> None:
        for pair in pairs:
            self._directions[pair].delay_s = delay_s
            self._directions[pair].rate_bytes_s = rate_bytes_s

    async def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Closes connections between the two of each pair, and lets none be made."""
        for a, b in pairs:
            for way in ((a, b), (b, a)):
                self._links[way].cut = True
                await self._links[way].drop()

    def heal(self) -> None:
        """Everything flows again; what was held back arrives now."""
        for link in self._links.values():
            link.cut = False
        for direction in self._directions.values():
            direction.heal()
