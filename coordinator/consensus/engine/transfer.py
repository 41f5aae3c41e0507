"""Brings a snapshot to a follower whose next entry is not in the leader's log any more.

The file travels in chunks, a few at a time, each acknowledged by offset; a follower that misses something says what it
has. It uses nothing before all of it is checked and on its disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from coordinator.consensus.codec import SnapshotAck, SnapshotChunk
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.durability import Send
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Snapshot, SnapshotStore
from coordinator.errors import DamageError, FatalError

_log = logging.getLogger(__name__)


@dataclass
class _Sending:
    snapshot: Snapshot
    acked: int = 0
    sent: int = 0
    heard_at: float = 0.0


class SnapshotSender:
    """The leader's side."""

    def __init__(
        self,
        config: EngineConfig,
        core: Core,
        store: SnapshotStore,
        newest: Callable[[], Snapshot | None],
        send: Send,
    ) -> None:
        self._config = config
        self._core = core
        self._store = store
        self._newest = newest
        self._send = send
        self._sending: dict[int, _Sending] = {}

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
        chunk_size = self._config.snapshot_chunk_size_bytes
        window = chunk_size * self._config.snapshot_chunks_in_flight_max
        snapshot = sending.snapshot
        while sending.sent < snapshot.size and sending.sent - sending.acked < window:
            try:
                content = self._store.read(snapshot, sending.sent, chunk_size)
            except FileNotFoundError:
                # A newer snapshot took its place: begin again with that one.
                del self._sending[member]
                return
            chunk = SnapshotChunk(
                self._core.term,
                snapshot.index,
                snapshot.term,
                snapshot.size,
                sending.sent,
                content,
            )
            if not self._send(member, chunk):
                return
            sending.sent += len(content)

    def note_match(self, member: int, match: int) -> None:
        """The follower has everything up to `match`: it needs no snapshot of that any more."""
        sending = self._sending.get(member)
        if sending is not None and sending.snapshot.index <= match:
            del self._sending[member]

    def forget_all(self) -> None:
        self._sending.clear()

    def note_connection(self, member: int) -> None:
        """What was on its way to this member may be lost."""
        sending = self._sending.get(member)
        if sending is not None:
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
        install: Callable[[Snapshot], None],
        acknowledge: Callable[[int, int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`install` takes a whole, checked snapshot; `acknowledge` tells the leader how far the log is its own."""
        self._config = config
        self._core = core
        self._store = store
        self._send = send
        self._install = install
        self._acknowledge = acknowledge
        self._failed = failed
        self._receiving: _Receiving | None = None
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
        await asyncio.to_thread(self._store.receive, chunk.offset, chunk.content)
        end = chunk.offset + len(chunk.content)
        if end < chunk.size:
            self._send(member, SnapshotAck(self._core.term, chunk.index, end, False))
            return
        try:
            snapshot = await asyncio.to_thread(self._store.accept)
        except DamageError as error:
            _log.warning("the snapshot from member %d is unusable: %s", member, error)
            if self._receiving is receiving:
                self._receiving = None
            self._send(member, SnapshotAck(self._core.term, chunk.index, 0, True))
            return
        if self._receiving is receiving:
            self._receiving = None
        self._install(snapshot)
        leader = self._core.leader
        if leader is not None and leader != self._core.this:
            self._acknowledge(leader, min(snapshot.index, self._core.commit_index))
