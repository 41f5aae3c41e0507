"""The engine of this product as a member of a scenario."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from coordinator.consensus.codec import Append, Message
from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.engine.member import Engine
from coordinator.consensus.interface import AddLearner, MemberChange, Remove, Role
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Description, SnapshotStore
from coordinator.errors import CoordinatorError, DamageError
from tests.audit.member import Member, Proposal, RefusedToStart, Setting
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import CLUSTER_KEY, ScriptedTransport, make_peers
from tests.unit.consensus.toy import Applied, ToyApplication, ToyCapture


class WatchedCapture(ToyCapture):
    """Notes on which threads its parts are encoded."""

    def __init__(self, applied: list[Applied], encoders: list[int]) -> None:
        super().__init__(applied)
        self._encoders = encoders

    def read(self) -> Callable[[], bytes] | None:
        encode = super().read()
        if encode is None:
            return None

        def encode_and_tell(encode: Callable[[], bytes] = encode) -> bytes:
            self._encoders.append(threading.get_ident())
            return encode()

        return encode_and_tell


class CarefulApplication(ToyApplication):
    """Also remembers what it could not take."""

    def __init__(self) -> None:
        super().__init__()
        self.when_applied: Callable[[], None] = lambda: None
        self.encoders: list[int] = []
        """The thread of each encoded part of a snapshot."""
        self.given: list[bytes] = []
        self.refuses: bytes | None = None

    def apply(self, index: int, term: int, entry: bytes) -> None:
        self.given.append(entry)
        if entry == self.refuses:
            raise ValueError("a mistake of the application")
        super().apply(index, term, entry)
        self.when_applied()

    def capture(self) -> ToyCapture:
        return WatchedCapture(list(self.applied), self.encoders)


class HardenedMember(Member):
    """On a disk in memory, without sockets."""

    def __init__(self, setting: Setting, number: int = 1) -> None:
        super().__init__(setting, number)
        self.disk = FaultDisk()
        self.application = CarefulApplication()
        self.chance = random.Random(number)
        self._places: list[tuple[Proposal, int, int]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._running = self._writing = False

    @property
    def core(self) -> Any:
        return self.engine.parts.core

    async def start(self) -> None:
        self.transport = ScriptedTransport()
        self.transport.sent = self.outbox
        self.application = CarefulApplication()
        self.application.refuses = self.refuses
        peers = make_peers(self.setting.count)
        config = EngineConfig(
            name=f"n{self.number}",
            peers=peers,
            cluster_key=CLUSTER_KEY,
            data_dir=self.setting.folder / f"n{self.number}",
            client_address=f"127.0.0.1:{self.number}",
            heartbeat_ms=10_000,
            election_timeout_ms_min=60_000,
            election_timeout_ms_max=120_000,
            append_size_bytes=self.setting.batch_bytes,
            snapshot_chunk_size_bytes=64,
            retained_entries=2,
            journal_size_bytes_max=256 * 1024,
        )
        self.engine = Engine(
            config,
            self.application,
            on_fatal=self.errors.append,
            disk=self.disk,
            make_transport=lambda *_: self.transport,
        )
        try:
            await self.engine.start()
        except DamageError as error:
            raise RefusedToStart(str(error)) from error
        self._running = True
        self._watch_writing()

    async def kill(self) -> None:
        if not self._running:
            return
        self._running = False
        self.disk.release_syncs()
        self.engine.parts.driver.stop()
        self.engine.parts.durability.abandon()
        await self.engine.stop()
        for task in self._tasks:
            with contextlib.suppress(CoordinatorError):
                await task
        self._tasks.clear()

    async def lose_power(self) -> None:
        await self.kill()
        self.disk.lose_power(self.chance)

    async def settle(self) -> None:
        parts = self.engine.parts
        for _ in range(2):
            if not self.engine.stopped:
                parts.driver.run()
            for _ in range(10):
                await asyncio.sleep(0)
            while parts.durability.syncing and not self.disk.holding and not self.engine.stopped:
                await asyncio.sleep(0.0005)
        self._note_outcomes()

    def connect(self, member: int) -> None:
        self.transport.peers.add(member)
        self.engine.peer_connected(member, f"127.0.0.1:{member}")

    def disconnect(self, member: int) -> None:
        self.transport.peers.discard(member)
        self.engine.peer_lost(member)

    def deliver(self, sender: int, native: Any) -> None:
        self.engine.message_received(sender, native)

    def to_native(self, message: Message) -> Message:
        return message

    def from_native(self, native: Any) -> Message | None:
        return native  # type: ignore[no-any-return]  # the engine's own

    def offer(self, content: bytes) -> Proposal:
        proposal = Proposal(content)
        index = self.engine.propose(content)
        if index is None:
            proposal.outcome = "not done"
        else:
            self._places.append((proposal, index, self.term))
        return proposal

    def _note_outcomes(self) -> None:
        """As a node does: a proposal ends when it is applied, or with the term in which it was made."""
        applied = set(self.application.applied)
        for proposal, index, term in self._places:
            if proposal.outcome is None:
                if (index, term, proposal.content) in applied:
                    proposal.outcome = "done"
                elif any(
                    status.term > term or status.role is not Role.LEADER
                    for status in self.application.statuses
                    if status.term >= term and status.last_index >= index
                ):
                    proposal.outcome = "unknown"

    def offer_with_failing_caller(self, content: bytes) -> None:
        def fail() -> None:
            raise RuntimeError("the caller went away")

        self.application.when_applied = fail
        self.engine.propose(content)

    def future_entry(self, term: int, prev: tuple[int, int]) -> Append:
        return Append(term, *prev, prev[0] + 1, ((term, b"\7future"),))

    async def read(self) -> list[bytes] | None:
        return self.applied if await self.engine.read_barrier(0.05) else None

    @property
    def applied(self) -> list[bytes]:
        return self.application.contents

    @property
    def given(self) -> list[bytes]:
        """What the application was given, whether it could take it or not."""
        return self.application.given

    def rows(self) -> list[Any]:
        return list(self.engine.parts.journal.entries)

    def log(self) -> list[tuple[int, int]]:
        return [(entry.index, entry.term) for entry in self.rows()]

    def hold_syncs(self) -> None:
        self.disk.hold_syncs()

    async def release_syncs(self) -> None:
        self.disk.release_syncs()
        await self.settle()

    def snapshot_of(self, index: int, term: int, contents: list[bytes]) -> bytes:
        application = ToyApplication()
        first = index - len(contents) + 1
        application.applied = [(first + at, term, one) for at, one in enumerate(contents)]
        store = SnapshotStore(FaultDisk())
        members = configuration_of(make_peers(self.setting.count))
        written = store.write(Description(index, term, members), application.slices())
        return store.read(written, 0, written.size)

    async def compact(self) -> None:
        await self.engine.compact_now()
        await self.settle()

    async def write_snapshot_only(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.engine.parts.compaction, "_shorten_journal", lambda _: None)
            await self.engine.compact_now()

    async def crash_while_compacting(self, step: int) -> bool:
        """A step is an operation on the disk."""
        self.disk.crash_at = self.disk.operations + step
        await self.compact()
        if not self.errors:
            self.disk.crash_at = None
            return False
        self.errors.clear()
        await self.lose_power()
        return True

    async def crash_while_writing(self, step: int) -> None:
        self.disk.crash_at = self.disk.operations + 1 + step % 2
        await self.hear_entries(2, self.term, (1, 0), 1, (self.term, b"entry"))
        assert self.errors
        await self.lose_power()

    async def sync(self) -> None:
        await self.settle()

    async def rest(self) -> None:
        receiver = self.engine.parts.receiver
        while self._writing or not receiver._queue.empty():
            await asyncio.sleep(0.0005)
        await self.settle()

    def _watch_writing(self) -> None:
        """Notes when a chunk of a snapshot is being written, on another thread."""
        receiver = self.engine.parts.receiver
        write_chunk = receiver._write_chunk

        async def write(*arguments: Any) -> None:
            self._writing = True
            try:
                await write_chunk(*arguments)
            finally:
                self._writing = False

        vars(receiver)["_write_chunk"] = write

    def watch_encoding(self) -> list[int]:
        return self.application.encoders

    def _file(self, prefix: str) -> str:
        return min(name for name in self.disk.names() if name.startswith(prefix))

    def flip_bit_in_log(self) -> None:
        name = self._file("journal")
        self.disk.flip(name, self.disk.read(name).index(b"entry"))

    def pretend_to_have_written(self, size_bytes: int) -> None:
        self.engine.parts.journal._active_size = size_bytes

    @property
    def log_size_bytes(self) -> int:
        return self.engine.status.journal_size_bytes

    def damage_snapshot(self) -> None:
        name = self._file("snapshot")
        self.disk.truncate(name, self.disk.size(name) // 2)

    def lose_log(self, share: float) -> None:
        name = self._file("journal")
        self.disk.truncate(name, int(self.disk.size(name) * (1 - share)))

    @property
    def members_in_snapshot(self) -> set[int]:
        newest = self.engine.parts.compaction.newest
        assert newest is not None
        return {peer.id for peer in newest.description.configuration.peers}

    async def add_member(self, number: int) -> None:
        await self._change(AddLearner(number, f"n{number}", f"127.0.0.1:{number}"))

    async def remove_member(self, number: int) -> None:
        await self._change(Remove(number))

    async def _change(self, change: MemberChange) -> None:
        call = self.engine.change_members(change, force=True, timeout_s=5)
        self._tasks.append(asyncio.create_task(call))
        await self.settle()

    @property
    def voters(self) -> set[int]:
        """The members; a new one learns before it votes."""
        return {peer.id for peer in self.engine.members}
