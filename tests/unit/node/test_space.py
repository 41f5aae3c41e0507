"""Writes that add to the state are refused while there is no room, wherever they come in; what frees room passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from coordinator.config import Limits, Timing
from coordinator.errors import RequestError, Status
from coordinator.node.interface import AlarmKind
from coordinator.node.messages import DiskReport, Forward, decode_message, encode_message
from coordinator.node.space import BELIEVED_S, Space, grows, grows_encoded
from coordinator.state.commands import (
    Command,
    Compact,
    DeleteRange,
    DigestCheck,
    LeaderElected,
    Put,
    Range,
    Selector,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Txn,
    Write,
    encode_command,
)
from tests.bus import Bus

QUOTA = 100_000
MINIMUM = 1_000
FREEING: list[Command] = [
    Write(DeleteRange(Selector(b"/a"))),
    Write(Txn((), (DeleteRange(Selector(b"/a")), Txn((), (Range(Selector(b"/")),))))),
    Compact(1),
    SessionClose(1),
    SessionExpire(1, (1,)),
    LeaderElected(1, 1),
    DigestCheck(1),
    SessionOpen(77, 1_000, None, (("name", "x" * 60),)),
]
GROWING: list[Command] = [
    Write(Put(b"/a", b"")),
    Write(Txn((), (), (Put(b"/a", b""),))),
    Write(Txn((), (Txn((), (Put(b"/a", b""),)),))),
    SessionOpen(1, 1_000, None, (("name", "x" * 61),)),
]


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    limits = Limits(state_size_bytes_max=QUOTA, disk_free_bytes_min=MINIMUM)
    async with Bus("abc", limits, Timing(session_check_ms=600_000)) as bus:
        yield bus


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def put(key: str, size: int = 0) -> Write:
    return Write(Put(key.encode(), b"x" * size))


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.005)


async def refused(bus: Bus, node: int, command: Command | None = None) -> str:
    with pytest.raises(RequestError) as caught:
        await bus.nodes[node - 1].propose(command or put("/x"), soon())
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    assert caught.value.reason == "SPACE_QUOTA" and caught.value.details == {"applied": "no"}
    return caught.value.message


async def fill(bus: Bus) -> int:
    """Writes live keys until no more fit; returns how many did."""
    for i in range(1_000):
        try:
            await bus.nodes[0].propose(put(f"/{i:03}", 1_000), soon())
        except RequestError as error:
            assert error.reason == "SPACE_QUOTA"
            return i
    raise AssertionError("never full")


def alarms(bus: Bus, node: int) -> list[tuple[AlarmKind, int]]:
    return [(alarm.kind, alarm.member) for alarm in bus.nodes[node - 1].alarms()]


@pytest.mark.parametrize("command", GROWING)
def test_what_grows(command: Command) -> None:
    assert grows(command) and grows_encoded(msgspec.Raw(encode_command(command)))


@pytest.mark.parametrize("command", FREEING)
def test_what_does_not(command: Command) -> None:
    assert not grows(command) and not grows_encoded(msgspec.Raw(encode_command(command)))


def test_junk_does_not_grow() -> None:
    assert not grows_encoded(msgspec.Raw(b"\xc1"))
    assert not grows_encoded(msgspec.Raw(b"\x91" * 100_000))


async def test_a_full_state_takes_what_frees_it_and_then_more(bus: Bus) -> None:
    count = await fill(bus)
    assert 60 < count < 100
    assert QUOTA < bus.nodes[0].state.size_bytes < QUOTA + 5_000
    assert "delete keys" in await refused(bus, 1)
    for node in (1, 2, 3):
        for command in GROWING:
            await refused(bus, node, command)
        for command in FREEING[2:]:
            await bus.nodes[node - 1].propose(command, soon())
        assert alarms(bus, node) == [(AlarmKind.SPACE_QUOTA, 0)]
    before = bus.nodes[0].state.revision
    delete = Write(DeleteRange(Selector(b"/000", b"/010")))
    await bus.nodes[1].propose(delete, soon())
    assert bus.nodes[0].state.revision == before + 1
    await refused(bus, 1)
    bus.nodes[0]._compaction.check(soon())  # as it does by itself all the time
    await bus.settle()
    assert bus.nodes[0].state.size_bytes < 0.95 * QUOTA
    for node in (1, 2, 3):
        await bus.nodes[node - 1].propose(put(f"/new{node}"), soon())
        assert not alarms(bus, node)


async def test_one_key_less_does_not_let_the_next_one_in(bus: Bus) -> None:
    node, state = bus.nodes[0], bus.nodes[0].state
    await fill(bus)
    for i in range(1_000):
        await node.propose(Compact(state.revision), soon())
        if state.size_bytes > QUOTA:
            break
        await node.propose(put(f"/more/{i}", 1_000), soon())
    await node.propose(Write(DeleteRange(Selector(b"/more/0"))), soon())
    await node.propose(Compact(state.revision), soon())
    assert 0.95 * QUOTA < state.size_bytes <= QUOTA
    await refused(bus, 1)


async def test_a_leader_refuses_what_a_member_that_lags_let_through(bus: Bus) -> None:
    bus.behind = {2}
    await fill(bus)
    assert not alarms(bus, 2)
    assert "delete keys" in await refused(bus, 2)
    for i, command in enumerate(FREEING[:4]):
        proposing = asyncio.create_task(bus.nodes[1].propose(command, soon()))
        await bus.settle()
        if i == 3:
            bus.apply(bus.members[1])
            await bus.settle()
        assert proposing.done() == (i == 3)
    await proposing


async def test_a_leader_s_full_disk_refuses_the_writes_of_all(bus: Bus) -> None:
    lost = True
    bus.tap = lambda o, m, payload: not (lost and isinstance(decode_message(payload), DiskReport))
    bus.disk_free_bytes[1] = MINIMUM - 1
    await bus.nodes[0]._space.look()
    assert "the disk of a has 999 bytes left" in await refused(bus, 1)
    assert not alarms(bus, 2)  # it was not told, but asks the leader
    assert "the disk of a" in await refused(bus, 2)
    lost = False
    await bus.nodes[0]._space.look()
    await bus.settle()
    assert alarms(bus, 2) == alarms(bus, 3) == [(AlarmKind.DISK, 1)]
    assert bus.nodes[0].disk_free_bytes == 999
    for command in FREEING:
        await bus.nodes[1].propose(command, soon())


async def test_a_follower_s_full_disk_stops_growth_until_it_is_well_again(bus: Bus) -> None:
    bus.disk_free_bytes[3] = MINIMUM - 1
    await bus.nodes[2]._space.look()
    await bus.settle()
    for node in (1, 2, 3):
        assert "the disk of c" in await refused(bus, node)
    bus.disk_free_bytes[3] = MINIMUM + 1  # hardly well
    await bus.nodes[2]._space.look()
    await bus.settle()
    await refused(bus, 1)
    bus.disk_free_bytes[3] = 2 * MINIMUM
    await bus.nodes[2]._space.look()
    await bus.settle()
    for node in (1, 2, 3):
        await bus.nodes[node - 1].propose(put(f"/{node}"), soon())


async def test_a_member_that_died_short_of_room_is_forgotten(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.nodes[0].message_received(3, encode_message(DiskReport(True, 5)))
    bus.nodes[0].message_received(9, encode_message(DiskReport(True, 5)))  # a stranger
    assert alarms(bus, 1) == [(AlarmKind.DISK, 3)]
    loop = asyncio.get_running_loop()
    now = loop.time() + BELIEVED_S + 0.1
    monkeypatch.setattr(loop, "time", lambda: now)
    assert not alarms(bus, 1)
    await bus.nodes[0].propose(put("/a"), now + 5)


async def test_a_member_that_died_short_of_room_says_after_its_start_that_it_is_well(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = 0

    def tap(origin: int, member: int, payload: bytes) -> bool:
        nonlocal told
        told += origin == 3 and isinstance(decode_message(payload), DiskReport)
        return True

    bus.tap = tap
    for node in bus.nodes[:2]:
        node.message_received(3, encode_message(DiskReport(True, 5)))
    await refused(bus, 2)
    again = Space(bus.members[2], bus.nodes[2].state, 3, Limits(), lambda: 1 << 40)
    await again.look()
    await bus.settle()
    assert not alarms(bus, 1) and not alarms(bus, 2) and told == 2
    await bus.nodes[1].propose(put("/a"), soon())
    loop = asyncio.get_running_loop()
    later = loop.time() + BELIEVED_S + 0.1
    monkeypatch.setattr(loop, "time", lambda: later)
    await again.look()
    await bus.settle()
    assert told == 2  # nobody can believe anything else by now


async def test_the_disk_is_looked_at_now_and_then(bus: Bus) -> None:
    """By itself, every second."""
    assert bus.nodes[0].disk_free_bytes == 1 << 40
    bus.disk_free_bytes[2] = 7
    await until(lambda: alarms(bus, 1) == [(AlarmKind.DISK, 2)])
    assert bus.nodes[1].disk_free_bytes == 7


async def test_a_disk_that_can_not_be_looked_at_stops_nobody() -> None:
    bus = Bus("a")

    def fail() -> int:
        raise OSError("gone")

    space = Space(bus.members[0], bus.nodes[0].state, 1, Limits(), fail)
    await space.look()
    await space.look()
    assert space.disk_free_bytes is None and not space.refuses()


async def test_looking_at_the_disk_can_be_turned_off() -> None:
    async with Bus("a", Limits(disk_free_bytes_min=0)) as bus:
        bus.disk_free_bytes[1] = 0
        await bus.nodes[0].propose(put("/a"), soon())
        assert bus.nodes[0].disk_free_bytes is None


async def test_a_refused_write_is_not_in_the_log(bus: Bus) -> None:
    bus.disk_free_bytes[1] = 0
    await bus.nodes[0]._space.look()
    await bus.settle()
    length = len(bus.log)
    forwarded = 0

    def tap(origin: int, member: int, payload: bytes) -> bool:
        nonlocal forwarded
        forwarded += isinstance(decode_message(payload), Forward)
        return True

    bus.tap = tap
    await refused(bus, 2)
    await refused(bus, 1)
    assert forwarded == 0 and len(bus.log) == length  # not even sent: it was told before
