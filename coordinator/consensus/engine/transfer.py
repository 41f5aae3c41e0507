"""Brings a snapshot to a follower whose next entry is not in the leader's log any more.

The file travels in chunks, a few at a time, each acknowledged by offset; a follower that misses something says what it
has. It uses nothing before all of it is checked and on its disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from coordinator.consensus.codec import SnapshotAck, SnapshotChunk
from coordinator.consensus.engine.background import BackgroundThread
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.durability import Send
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Snapshot, SnapshotStore
from coordinator.errors import DamageError, FatalError

_log = logging.getLogger(__name__)
_PAUSE_S_MAX = 0.1
"""How long it may take until a pause for the sake of the pace notices that nothing more is to be sent."""


@dataclass
class _Sending:
    snapshot: Snapshot
    acked: int = 0
    sent: int = 0
    heard_at: float = 0.0
    paced_until: float = 0.0
    """Nothing more is sent before this time."""
    reading: bool = False
    """Whether the next chunk is being read from the file."""


class SnapshotSender:
    """The leader's side. Files are read on another thread, one chunk at a time for each member."""

    def __init__(
        self,
        config: EngineConfig,
        core: Core,
        store: SnapshotStore,
        newest: Callable[[], Snapshot | None],
        send: Send,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._config = config
        self._core = core
        self._store = store
        self._newest = newest
        self._send = send
        self._failed = failed
        self._sending: dict[int, _Sending] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_use(self) -> Sequence[Snapshot]:
        """The snapshots that are being sent."""
        return [sending.snapshot for sending in self._sending.values()]

    def feed(self, member: int) -> None:
        """Sends as much as the window allows; begins if nothing is being sent to this member."""
        sending = self._sending.get(member)
        if sending is None:
            newest = self._newest()
            if newest is None:
                raise FatalError("the log does not begin at its start, and there is no snapshot")
            sending = self._sending[member] = _Sending(newest, heard_at=self._core.now())
            _log.info("sending the snapshot of entry %d to member %d", newest.index, member)
        if self._core.now() - sending.heard_at > self._config.silence_ms_max / 1_000:
            sending.sent, sending.heard_at = sending.acked, self._core.now()
        if not sending.reading and self._window_open(sending):
            sending.reading = True
            task = asyncio.get_running_loop().create_task(self._read(member, sending))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Returns when no file is being read any more."""
        self.forget_all()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _window_open(self, sending: _Sending) -> bool:
        window = self._config.snapshot_chunk_size_bytes * self._config.snapshot_chunks_in_flight_max
        return sending.sent < sending.snapshot.size and sending.sent - sending.acked < window

    async def _read(self, member: int, sending: _Sending) -> None:
        """Reads and sends chunk after chunk while the window is open."""
        snapshot, size = sending.snapshot, self._config.snapshot_chunk_size_bytes
        try:
            while self._sending.get(member) is sending and self._window_open(sending):
                pause_s = sending.paced_until - self._core.now()
                if pause_s > 0:
                    await asyncio.sleep(min(pause_s, _PAUSE_S_MAX))
                    continue
                offset = sending.sent
                content = await asyncio.to_thread(self._store.read, snapshot, offset, size)
                if self._sending.get(member) is not sending or offset != sending.sent:
                    continue
                chunk = SnapshotChunk(
                    self._core.term, snapshot.index, snapshot.term, snapshot.size, offset, content
                )
                if not self._send(member, chunk):
                    return
                sending.sent += len(content)
                rate = self._config.snapshot_bytes_per_s_max
                sending.paced_until = self._core.now() + len(content) / rate
        except FileNotFoundError:
            # A newer snapshot took its place: begin again with that one.
            if self._sending.get(member) is sending:
                del self._sending[member]
        except Exception as error:
            failure = FatalError(f"can't read the snapshot {snapshot.name}: {error}")
            failure.__cause__ = error
            self._failed(failure)
        finally:
            sending.reading = False

    def note_match(self, member: int, match: int) -> None:
        """The follower has everything up to `match`."""
        sending = self._sending.get(member)
        if sending is not None and sending.snapshot.index <= match:
            del self._sending[member]

    def forget(self, member: int) -> None:
        """Nothing more is sent to this member."""
        self._sending.pop(member, None)

    def forget_all(self) -> None:
        self._sending.clear()

    def note_connection(self, member: int) -> None:
        """What was on its way to this member may be lost."""
        sending = self._sending.get(member)
        if sending is not None:
            if sending.acked >= sending.snapshot.size:
                # It had all of it, and has perhaps lost that with a restart. If not, it says so.
                sending.acked = 0
            sending.sent = sending.acked

    def take_ack(self, member: int, ack: SnapshotAck) -> None:
        sending = self._sending.get(member)
        if sending is None or sending.snapshot.index != ack.index:
            return
        sending.heard_at = self._core.now()
        sending.acked = min(ack.offset, sending.snapshot.size)
        if ack.resend or sending.sent < sending.acked:
            sending.sent = sending.acked
        self.feed(member)


@dataclass
class _Receiving:
    key: tuple[int, int, int, int, int]
    """(sender, term, index, term of the snapshot, size)."""
    received: int = 0
    """Bytes taken in, written or about to be."""
    asked_at: float = 0.0
    """When the leader was last told what is missing."""


class SnapshotReceiver:
    """The follower's side. Files are written on another thread, one chunk after the other."""

    def __init__(
        self,
        config: EngineConfig,
        core: Core,
        store: SnapshotStore,
        send: Send,
        *,
        background: BackgroundThread,
        install: Callable[[Snapshot], Awaitable[None]],
        acknowledge: Callable[[int, int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`install` takes a whole, checked snapshot; `acknowledge` tells the leader how far the log is its own."""
        self._config = config
        self._core = core
        self._store = store
        self._send = send
        self._background = background
        self._install = install
        self._acknowledge = acknowledge
        self._failed = failed
        self._receiving: _Receiving | None = None
        self._installing_index = 0
        """Index of the whole snapshot that is about to take the place of the state; 0: there is none."""
        self._queue: asyncio.Queue[tuple[_Receiving, int, SnapshotChunk]] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._writer = asyncio.get_running_loop().create_task(self._write())

    async def stop(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    def take_chunk(self, member: int, chunk: SnapshotChunk) -> None:
        """Takes a chunk of the present leader's."""
        if chunk.index <= self._core.commit_index:
            # All that it holds is here: never go back.
            self._acknowledge(member, self._core.commit_index)
            return
        if chunk.index <= self._installing_index:
            # All of it is here, or more.
            self._send(member, SnapshotAck(self._core.term, chunk.index, chunk.size, False))
            return
        if chunk.size > self._config.snapshot_size_bytes_max:
            raise FatalError(
                f"the leader's snapshot has {chunk.size} bytes, and this member takes at most "
                f"{self._config.snapshot_size_bytes_max}"
            )
        key = (member, chunk.term, chunk.index, chunk.snapshot_term, chunk.size)
        receiving = self._receiving
        if receiving is None or receiving.key != key:
            receiving = self._receiving = _Receiving(key)
        if chunk.offset != receiving.received:
            if self._core.now() - receiving.asked_at > self._config.heartbeat_ms / 1_000:
                receiving.asked_at = self._core.now()
                ack = SnapshotAck(self._core.term, chunk.index, receiving.received, True)
                self._send(member, ack)
            return
        receiving.asked_at = 0.0
        if not chunk.content or receiving.received + len(chunk.content) > chunk.size:
            return
        if self._queue.qsize() > 2 * self._config.snapshot_chunks_in_flight_max:
            return
        receiving.received += len(chunk.content)
        self._queue.put_nowait((receiving, member, chunk))

    async def _write(self) -> None:
        try:
            while True:
                receiving, member, chunk = await self._queue.get()
                if receiving is self._receiving:
                    await self._write_chunk(receiving, member, chunk)
        except Exception as error:
            failure = FatalError(f"can't take in the leader's snapshot: {error}")
            failure.__cause__ = error
            self._failed(failure)

    async def _write_chunk(self, receiving: _Receiving, member: int, chunk: SnapshotChunk) -> None:
        await self._background.run(self._store.receive, chunk.offset, chunk.content)
        end = chunk.offset + len(chunk.content)
        if end < chunk.size:
            self._send(member, SnapshotAck(self._core.term, chunk.index, end, False))
            return
        try:
            snapshot = await self._background.run(self._store.accept)
        except DamageError as error:
            _log.warning("the snapshot from member %d is unusable: %s", member, error)
            if self._receiving is receiving:
                self._receiving = None
            self._send(member, SnapshotAck(self._core.term, chunk.index, 0, True))
            return
        if self._receiving is receiving:
            self._receiving = None
        self._installing_index = snapshot.index
        try:
            await self._install(snapshot)
        finally:
            self._installing_index = 0
        leader = self._core.leader
        if leader is not None and leader != self._core.this:
            self._acknowledge(leader, min(snapshot.index, self._core.commit_index))
