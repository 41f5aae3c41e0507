"""How a leader feeds its followers. Member 1 leads; the tests answer for the others."""

from __future__ import annotations

from pathlib import Path

from coordinator.consensus.codec import Append, AppendAck
from tests.unit.consensus.stage import Stage


async def lead_with(stage: Stage, entries: int) -> int:
    """Member 1 leads, member 2 has the no-op, and some entries are proposed, the messages not looked at yet."""
    term = await stage.lead()
    stage.acknowledge(2, 2)
    await stage.settle()
    stage.clear()
    for number in range(entries):
        stage.engine.propose(b"%d" % number)
    return term


async def test_entries_leave_in_the_pass_they_were_proposed_in(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with(stage, 3)
        stage.engine.parts.driver.run()
        (append,) = stage.take(Append, 2)
        assert (append.prev_index, append.prev_term, len(append.entries)) == (2, term, 3)


async def test_what_is_on_its_way_is_not_sent_again(tmp_path: Path) -> None:
    """An acknowledgement of an early entry moves nothing back over the later ones."""
    async with Stage(tmp_path) as stage:
        await lead_with(stage, 0)
        for number in range(10):
            stage.engine.propose(b"%d" % number)
            await stage.settle()
        appends = stage.take(Append, 2)
        sent = [
            append.prev_index + offset
            for append in appends
            for offset in range(1, len(append.entries) + 1)
        ]
        assert sent == list(range(3, 13))
        for index in range(3, 13):
            stage.acknowledge(2, index)
            await stage.settle()
        assert not any(append.entries for append in stage.take(Append, 2))


async def test_the_window_bounds_what_is_on_its_way(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead_with(stage, 0)
        for number in range(100):
            stage.engine.propose(b"%d" % number)
            await stage.settle()
        full = stage.config.appends_in_flight_max
        sent = [append for append in stage.take(Append, 2) if append.entries]
        assert len(sent) == full
        stage.acknowledge(2, 2 + full)
        await stage.settle()
        rest = [append for append in stage.take(Append, 2) if append.entries]
        assert sum(len(append.entries) for append in rest) == 100 - full


async def test_the_window_bounds_bytes_too(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead_with(stage, 0)
        for _ in range(20):
            stage.engine.propose(b"x" * 400_000)
        await stage.settle()
        sent = [append for append in stage.take(Append, 2) if append.entries]
        assert len(sent) == 11, "4 MiB, and the message that crosses them"


async def test_messages_stay_small_and_a_large_entry_travels_alone(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead_with(stage, 0)
        for size in (10, 300_000, 300_000, 3_000_000, 10):
            stage.engine.propose(b"x" * size)
        await stage.settle()
        assert [len(append.entries) for append in stage.take(Append, 2)] == [2, 1, 1, 1]


async def test_a_commit_is_told_at_once(tmp_path: Path) -> None:
    """A follower need not wait for the next heartbeat or entry to apply."""
    async with Stage(tmp_path) as stage:
        term = await lead_with(stage, 1)
        await stage.settle()
        stage.acknowledge(3, 2)
        await stage.settle()
        stage.clear()
        stage.acknowledge(2, 3)
        await stage.settle()
        assert stage.take(Append, 2) == [Append(term, 3, term, 3, (), True)]
        assert stage.take(Append, 3)[-1] == Append(term, 3, term, 3, (), True)
        stage.acknowledge(2, 3)
        await stage.settle()
        assert not stage.take(Append), "once"


async def test_back_pressure_holds_entries_back(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead_with(stage, 0)
        stage.transport.refusing = True
        stage.engine.propose(b"a")
        await stage.settle()
        stage.transport.refusing = False
        stage.engine.peer_writable(2)
        await stage.settle()
        (append,) = [append for append in stage.take(Append, 2) if append.entries]
        assert append.prev_index == 2


async def test_a_follower_is_probed_until_its_log_is_known(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        for number in range(30):
            stage.append(2, 1, (1 + number, min(number, 1)), 1, (1, b"%d" % number))
        await stage.settle()
        term = await stage.lead()
        (probe,) = stage.take(Append, 3)
        assert (probe.prev_index, probe.prev_term, len(probe.entries)) == (31, 1, 1)
        stage.engine.propose(b"new")
        await stage.settle()
        assert not stage.take(Append, 3), "one at a time"
        stage.receive(3, AppendAck(term, True, 31, 5))
        await stage.settle()
        (probe,) = stage.take(Append, 3)
        assert (probe.prev_index, probe.prev_term, len(probe.entries)) == (4, 1, 29)
        stage.receive(3, AppendAck(term, True, 31, 2))
        await stage.settle()
        assert not stage.take(Append, 3), "the echo of a rejection that was dealt with"
        stage.acknowledge(3, 33)
        await stage.settle()
        stage.clear()
        stage.engine.propose(b"newer")
        stage.engine.parts.driver.run()
        (append,) = stage.take(Append, 3)
        assert append.prev_index == 33


async def test_a_late_rejection_does_not_undo_an_acknowledgement(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with(stage, 5)
        await stage.settle()
        stage.acknowledge(2, 7)
        await stage.settle()
        stage.clear()
        stage.receive(2, AppendAck(term, True, 2, 2))
        await stage.settle()
        assert not stage.take(Append, 2)
        assert stage.engine.status.commit_index == 7


async def test_after_a_new_connection_what_was_on_its_way_is_sent_again(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        await lead_with(stage, 5)
        await stage.settle()
        stage.disconnect(2)
        stage.clear()
        stage.connect(2)
        await stage.settle()
        (append,) = stage.take(Append, 2)
        assert (append.prev_index, len(append.entries)) == (2, 5)


async def test_a_follower_that_lost_its_log_is_fed_from_the_start(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        term = await lead_with(stage, 5)
        await stage.settle()
        stage.acknowledge(2, 7)
        await stage.settle()
        stage.disconnect(2)
        stage.connect(2)
        stage.engine.propose(b"more")
        await stage.settle()
        stage.clear()
        stage.receive(2, AppendAck(term, True, 7, 2))
        await stage.settle()
        (append,) = stage.take(Append, 2)
        assert (append.prev_index, len(append.entries)) == (1, 7)


async def test_an_entry_of_an_earlier_term_is_committed_with_one_of_the_present(
    tmp_path: Path,
) -> None:
    """Raft, section 3.6.2: copies on a majority are not enough."""
    async with Stage(tmp_path) as stage:
        stage.append(2, 1, (1, 0), 1, (1, b"old"))
        await stage.settle()
        await stage.lead()
        stage.acknowledge(2, 2)
        await stage.settle()
        assert stage.engine.status.commit_index == 1
        stage.acknowledge(2, 3)
        await stage.settle()
        assert stage.engine.status.commit_index == 3
        assert stage.application.contents == [b"old"]
