"""Snapshots on their way. In part the engine sends, in part it receives; the tests are the other side."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

from coordinator.consensus.codec import Append, AppendAck, SnapshotAck, SnapshotChunk
from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.snapshots import Description, Snapshot, SnapshotStore
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import Stage, make_peers
from tests.unit.consensus.toy import ToyApplication

TERM = 4


class Leader:
    """Member 2 with a snapshot to send."""

    def __init__(self, stage: Stage, index: int, term: int = TERM, salt: bytes = b"") -> None:
        self.stage = stage
        application = ToyApplication()
        application.applied = [(at, 1, b"%d" % at + salt) for at in range(2, index + 1)]
        store = SnapshotStore(FaultDisk())
        self.snapshot: Snapshot = store.write(
            Description(index, term, configuration_of(make_peers(3))), application.slices()
        )
        self.content = store.read(self.snapshot, 0, self.snapshot.size)
        self.applied = application.applied

    def send(self, offset: int, size: int = 100, content: bytes | None = None) -> None:
        """One chunk of the file, or of something else in its place."""
        piece = (content or self.content)[offset : offset + size]
        chunk = SnapshotChunk(
            TERM, self.snapshot.index, self.snapshot.term, self.snapshot.size, offset, piece
        )
        self.stage.receive(2, chunk)

    async def send_all(self, content: bytes | None = None) -> None:
        for offset in range(0, self.snapshot.size, 100):
            self.send(offset, 100, content)
            expected = min(offset + 100, self.snapshot.size)
            if expected < self.snapshot.size:
                await self.stage.until(
                    lambda offset=expected: self.acked() == offset  # type: ignore[misc]  # bound now
                )

    def acked(self) -> int:
        acks = [m for _, m in self.stage.transport.sent if isinstance(m, SnapshotAck)]
        return acks[-1].offset if acks else -1


# Receiving.


async def test_a_snapshot_takes_the_place_of_state_and_log(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        leader = Leader(stage, 50)
        await leader.send_all()
        await stage.until(lambda: stage.application.restored == [50])
        await stage.settle()
        assert stage.application.applied == leader.applied
        status = stage.engine.status
        assert (status.commit_index, status.applied_index, status.last_index) == (50, 50, 50)
        assert status.snapshot_index == 50
        assert stage.take(AppendAck)[-1] == AppendAck(TERM, False, 0, 50)
        stage.append(2, TERM, (50, TERM), 51, (TERM, b"next"))
        await stage.settle()
        assert stage.application.contents[-1] == b"next"
    async with Stage(tmp_path, disk=stage.disk) as again:
        assert again.application.restored == [50]
        assert again.application.applied == [*leader.applied, (51, TERM, b"next")]


async def test_the_acknowledgement_of_a_snapshot_waits_for_the_disk(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        leader = Leader(stage, 50)
        await leader.send_all()
        stage.disk.hold_syncs()
        await stage.settle()
        assert not stage.take(AppendAck)
        stage.disk.release_syncs()
        await stage.until(lambda: stage.application.restored == [50])
        await stage.settle()
        assert stage.take(AppendAck)


async def test_entries_after_the_snapshot_stay(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, TERM, (1, 0), 1, *((TERM, b"%d" % at) for at in range(2, 60)))
        await stage.settle()
        leader = Leader(stage, 50)
        await leader.send_all()
        await stage.until(lambda: stage.application.restored == [50])
        assert stage.engine.status.last_index == 59
        assert stage.engine.status.commit_index == 50


async def test_a_log_that_parts_from_the_snapshot_goes(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1, *((1, b"lost") for _ in range(80)))
        await stage.settle()
        await Leader(stage, 50).send_all()
        await stage.until(lambda: stage.application.restored == [50])
        assert stage.engine.status.last_index == 50
        assert b"lost" not in stage.application.contents


async def test_an_older_snapshot_changes_nothing(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, TERM, (1, 0), 30, *((TERM, b"%d" % at) for at in range(2, 31)))
        await stage.settle()
        stage.clear()
        Leader(stage, 20).send(0)
        await stage.settle()
        assert stage.take(AppendAck) == [AppendAck(TERM, False, 0, 30)]
        assert not stage.application.restored
        assert stage.engine.status.applied_index == 30


async def test_a_snapshot_that_was_overtaken_on_its_way_to_the_disk_changes_nothing(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        stage.disk.hold_syncs()
        leader = Leader(stage, 50)
        await leader.send_all()
        await stage.settle()
        stage.append(2, TERM, (1, 0), 60, *((TERM, b"%d" % at) for at in range(2, 61)))
        await stage.settle()
        assert stage.engine.status.applied_index == 60
        stage.disk.release_syncs()
        await stage.until(lambda: stage.engine.status.snapshot_index == 50)
        await stage.settle()
        assert not stage.application.restored
        assert stage.engine.status.applied_index == 60


async def test_a_snapshot_that_is_overtaken_while_it_is_read_changes_nothing(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        leader = Leader(stage, 50)
        reading, read = threading.Event(), threading.Event()
        prepare = stage.application.prepare

        def prepare_slowly(slices: Iterable[bytes]) -> object:
            reading.set()
            read.wait(10)
            return prepare(slices)

        stage.application.prepare = prepare_slowly  # type: ignore[method-assign]  # for this one
        await leader.send_all()
        await stage.until(reading.is_set)
        stage.append(3, TERM, (1, 0), 60, *((TERM, b"%d" % at) for at in range(2, 61)))
        await stage.settle()
        read.set()
        await stage.until(lambda: stage.engine.status.snapshot_index == 50)
        assert not stage.application.restored
        assert stage.engine.status.applied_index == 60


async def test_a_damaged_snapshot_is_asked_for_again(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        stage.append(2, TERM, (1, 0), 2, (TERM, b"mine"))
        await stage.settle()
        stage.clear()
        leader = Leader(stage, 50)
        garbled = bytearray(leader.content)
        garbled[len(garbled) // 2] ^= 1
        await leader.send_all(bytes(garbled))
        await stage.until(lambda: leader.acked() == 0)
        assert not stage.take(AppendAck), "that is no success"
        assert stage.application.contents == [b"mine"]
        assert stage.engine.status.commit_index == 2
        stage.clear()
        await leader.send_all()
        await stage.until(lambda: stage.application.restored == [50])


async def test_a_missing_chunk_is_asked_for(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        leader = Leader(stage, 50)
        leader.send(0)
        await stage.until(lambda: leader.acked() == 100)
        leader.send(200)
        await stage.settle()
        assert stage.take(SnapshotAck)[-1] == SnapshotAck(TERM, 50, 100, True)


async def test_another_leader_s_snapshot_starts_afresh(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        first, second = Leader(stage, 50), Leader(stage, 60, salt=b"!")
        first.send(0)
        await stage.until(lambda: first.acked() == 100)
        stage.clear()
        await second.send_all()
        await stage.until(lambda: stage.application.restored == [60])
        assert stage.application.applied == second.applied


async def test_heartbeats_during_a_transfer_commit_nothing(tmp_path: Path) -> None:
    """An uncommitted tail of an old term is not applied because a leader says that much is committed."""
    async with Stage(tmp_path) as stage:
        stage.append(3, 1, (1, 0), 1, *((1, b"unsure") for _ in range(5)))
        await stage.settle()
        leader = Leader(stage, 50)
        leader.send(0)
        stage.receive(2, Append(TERM, 0, 0, 0, ()))
        stage.receive(2, Append(TERM, 0, 0, 50, ()))
        await stage.settle()
        assert stage.engine.status.commit_index == 1
        assert not stage.application.applied


# Sending.


async def lead_with_snapshot(stage: Stage) -> int:
    """Member 1 leads and has cut its log; member 3 knows nothing of it."""
    object.__setattr__(stage.config, "retained_entries", 2)
    term = await stage.lead()
    for number in range(100):
        stage.engine.propose(b"content %d" % number)
    await stage.settle()
    stage.acknowledge(2, stage.engine.status.last_index)
    await stage.settle()
    stage.clear()
    assert await stage.engine.compact_now() == 102
    await stage.settle()
    return term


async def sent(stage: Stage, count: int = 1) -> list[SnapshotChunk]:
    """Waits until member 3 was sent so many chunks, which are read on another thread, and takes them."""
    await stage.until(lambda: len(stage.kept(SnapshotChunk)) >= count)
    return stage.take(SnapshotChunk, 3)


async def test_a_follower_behind_the_log_gets_the_snapshot(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with_snapshot(stage)
        content, size = b"", 1
        while len(content) < size:
            chunks = await sent(stage)
            assert len(chunks) <= stage.config.snapshot_chunks_in_flight_max
            for chunk in chunks:
                assert chunk.offset == len(content)
                content += chunk.content
                size = chunk.size
            stage.receive(3, SnapshotAck(term, 102, len(content), False))
            await stage.settle()
        newest = stage.engine.parts.compaction.newest
        assert newest is not None
        assert content == stage.disk.read(newest.name)
        stage.acknowledge(3, 102)
        stage.engine.propose(b"after")
        await stage.settle()
        assert stage.take(Append, 3)[-1].prev_index >= 102
        assert not stage.take(SnapshotChunk)


async def test_a_snapshot_is_sent_no_faster_than_allowed(tmp_path: Path) -> None:
    async with Stage(tmp_path, snapshot_bytes_per_s_max=2_000) as stage:
        began = time.monotonic()
        term = await lead_with_snapshot(stage)
        taken = 0
        while taken < 400:
            taken += sum(len(chunk.content) for chunk in await sent(stage))
            stage.receive(3, SnapshotAck(term, 102, taken, False))
        # The first chunk waits for nothing.
        assert time.monotonic() - began >= (taken - 64) / 2_000 - 0.01


async def test_a_follower_that_misses_something_gets_it_again(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with_snapshot(stage)
        stage.clear()
        stage.receive(3, SnapshotAck(term, 102, 64, True))
        assert (await sent(stage))[0].offset == 64


async def test_a_new_connection_goes_on_where_it_was(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with_snapshot(stage)
        stage.receive(3, SnapshotAck(term, 102, 128, False))
        await stage.settle()
        stage.disconnect(3)
        stage.clear()
        stage.connect(3)
        assert (await sent(stage))[0].offset == 128


async def test_heartbeats_of_the_sender_carry_no_commit_index(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with_snapshot(stage)
        stage.clear()
        stage.engine.parts.send_heartbeats()
        assert stage.take(Append, 3) == [Append(term, 0, 0, 0, ())]


async def test_a_snapshot_that_is_being_sent_is_kept_with_the_entries_after_it(
    tmp_path: Path,
) -> None:
    """Else a follower could be behind again each time that it has all of one."""
    async with Stage(tmp_path) as stage:
        term = await lead_with_snapshot(stage)
        stage.receive(3, SnapshotAck(term, 102, 64, False))
        await sent(stage)
        index = 0
        for _ in range(20):
            index = stage.engine.propose(b"more") or 0
        stage.acknowledge(2, index)
        await stage.settle()
        assert await stage.engine.compact_now() == index == 122
        await stage.settle()
        assert f"snapshot-{102:016x}" in stage.disk.names()
        assert stage.engine.parts.core.first_index <= 102
        stage.receive(3, SnapshotAck(term, 102, 64, True))
        assert (await sent(stage))[0].index == 102
        stage.acknowledge(3, 102)
        await stage.until(lambda: bool(stage.kept(Append)))
        assert stage.engine.parts.sender.in_use == []


async def test_a_follower_that_restarts_while_it_takes_a_snapshot_over_gets_it_again(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with_snapshot(stage)
        size = (await sent(stage))[0].size
        stage.receive(3, SnapshotAck(term, 102, size, False))
        await stage.settle()
        stage.clear()
        stage.disconnect(3)
        stage.connect(3)
        assert (await sent(stage))[0].offset == 0


async def test_a_lost_file_ends_its_transfer(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with_snapshot(stage)
        await sent(stage)
        (sending,) = stage.engine.parts.sender.in_use
        stage.disk.remove(sending.name)
        stage.receive(3, SnapshotAck(term, 102, 64, True))
        await stage.until(lambda: not stage.engine.parts.sender.in_use)
        assert not stage.failures
