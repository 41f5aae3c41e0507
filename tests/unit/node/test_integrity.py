"""Members that differ are found, whoever they are, and whoever leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from coordinator.config import Timing
from coordinator.consensus.configuration import Configuration, with_learner, without
from coordinator.consensus.interface import Peer
from coordinator.errors import FatalError, RequestError
from coordinator.node.integrity import GRACE_S, REPORTS_MAX, SKIPPED_MAX, Integrity
from coordinator.node.interface import AlarmKind
from coordinator.node.messages import DigestReport, decode_message
from coordinator.state.commands import (
    Command,
    DigestCheck,
    LeaderElected,
    Put,
    Write,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.machine import StateMachine
from coordinator.state.results import Outcome
from coordinator.state.tally import DEFINITION
from tests.bus import Bus

OFTEN = Timing(digest_check_ms=1, session_check_ms=5)
OURS = StateMachine().digest()


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def put(key: str) -> Write:
    return Write(Put(key.encode(), b""))


def entry(command: Command) -> bytes:
    return encode_bundle([encode_proposal(9, 1, encode_command(command))])


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.005)


class Lookout:
    """What member 1 of several concludes, by itself."""

    def __init__(self, names: str = "abc") -> None:
        self.bus = Bus(names)
        self.bus.leader = 1
        self.failures: list[FatalError] = []
        self.offered: list[Command] = []
        self.state = StateMachine()
        self.integrity = Integrity(
            self.bus.members[0], self.state, 1, Timing(), self._offer, self.failures.append
        )

    def _offer(self, command: Command) -> asyncio.Future[Outcome]:
        self.offered.append(command)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        future.cancel()
        return future

    def own(self, index: int) -> None:
        self.integrity.checked(index, DEFINITION)

    def told(self, member: int, index: int, digest: str = OURS) -> None:
        self.integrity.received(member, DigestReport(index, digest))

    def wait_long(self) -> None:
        self.integrity.check(soon(GRACE_S + 1))

    @property
    def alarms(self) -> list[tuple[AlarmKind, int]]:
        return [(alarm.kind, alarm.member) for alarm in self.integrity.alarms()]


DISAGREEMENT = (AlarmKind.DISAGREEMENT, 0)


async def test_members_that_agree_have_nothing_to_tell() -> None:
    lookout = Lookout()
    lookout.own(7)
    lookout.told(2, 7)
    lookout.told(3, 7)
    lookout.wait_long()
    assert not lookout.failures and not lookout.alarms


@pytest.mark.parametrize("own_first", [True, False])
async def test_who_differs_from_a_majority_stops(own_first: bool) -> None:
    lookout = Lookout()
    if own_first:
        lookout.own(7)
    lookout.told(2, 7, "other")
    assert not lookout.failures
    lookout.told(3, 7, "other")
    if not own_first:
        assert not lookout.failures
        lookout.own(7)
    (failure,) = lookout.failures
    assert "index 7" in str(failure) and "member remove" in str(failure)


async def test_another_that_differs_is_told_of_until_it_agrees_or_leaves() -> None:
    lookout = Lookout()
    lookout.own(7)
    lookout.told(3, 7, "other")
    assert not lookout.alarms
    lookout.told(2, 7)
    assert lookout.alarms == [(AlarmKind.DIVERGED, 3)]
    assert "state of c" in lookout.integrity.alarms()[0].message
    lookout.own(9)
    lookout.told(2, 9)
    assert lookout.alarms == [(AlarmKind.DIVERGED, 3)]
    lookout.told(3, 9)
    assert not lookout.alarms
    lookout.told(3, 7, "other")  # a word of yesterday
    assert not lookout.alarms and not lookout.failures
    lookout.own(11)
    lookout.told(2, 11, "other")
    lookout.told(3, 11)
    assert lookout.alarms == [(AlarmKind.DIVERGED, 2)]
    lookout.bus.configuration = without(lookout.bus.configuration, 2)
    assert not lookout.alarms


async def test_without_a_majority_nobody_stops_and_all_are_told() -> None:
    lookout = Lookout()
    lookout.own(7)
    lookout.told(2, 7, "other")
    assert not lookout.alarms
    lookout.told(3, 7, "yet another")
    assert lookout.alarms == [DISAGREEMENT] and not lookout.failures
    lookout.own(9)
    lookout.told(2, 9)
    assert not lookout.alarms


async def test_a_member_that_is_down_is_waited_for_a_while() -> None:
    lookout = Lookout()
    lookout.own(7)
    lookout.told(2, 7, "other")
    lookout.integrity.check(soon(GRACE_S - 1))
    assert not lookout.alarms
    lookout.wait_long()
    assert lookout.alarms == [DISAGREEMENT]
    lookout.told(3, 7)
    assert lookout.alarms == [(AlarmKind.DIVERGED, 2)] and not lookout.failures


async def test_two_that_differ_are_a_disagreement_at_once() -> None:
    lookout = Lookout("ab")
    lookout.own(7)
    lookout.told(2, 7, "other")
    assert lookout.alarms == [DISAGREEMENT] and not lookout.failures


async def test_learners_are_judged_and_do_not_judge() -> None:
    lookout = Lookout("ab")
    lookout.bus.configuration = with_learner(lookout.bus.configuration, Peer(3, "c", "c:1"))
    lookout.bus.configuration = with_learner(lookout.bus.configuration, Peer(4, "d", "d:1"))
    lookout.told(3, 7, "other")
    lookout.told(4, 7, "other")
    lookout.own(7)
    assert not lookout.failures and not lookout.alarms
    lookout.told(2, 7)
    assert lookout.alarms == [(AlarmKind.DIVERGED, 3), (AlarmKind.DIVERGED, 4)]


async def test_a_learner_that_differs_stops() -> None:
    lookout = Lookout()
    this, *others = lookout.bus.configuration.members
    members = (msgspec.structs.replace(this, voter=False), *others)
    lookout.bus.configuration = Configuration(members)
    lookout.own(7)
    lookout.told(2, 7, "other")
    assert not lookout.failures
    lookout.told(3, 7, "other")
    assert len(lookout.failures) == 1


async def test_strangers_and_floods_of_reports_count_nothing() -> None:
    lookout = Lookout()
    lookout.own(7)
    for stranger in (8, 9, 10):
        lookout.told(stranger, 7, "other")
    for index in range(1_000, 1_000 + 2 * REPORTS_MAX):
        lookout.told(2, index, "junk")
    lookout.told(3, 7)
    lookout.told(2, 7, "other")  # too old beside what it said already
    assert not lookout.alarms and not lookout.failures


async def test_what_was_told_of_a_replaced_state_stops_nobody() -> None:
    lookout = Lookout()
    lookout.own(7)
    lookout.told(2, 7, "other")
    lookout.integrity.state_replaced()
    lookout.told(3, 7, "other")
    lookout.wait_long()
    assert not lookout.failures and not lookout.alarms


async def test_another_definition_of_the_digest_is_not_compared() -> None:
    lookout = Lookout()
    sent: list[int] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        sent.append(member)
        return True

    lookout.bus.tap = tap
    lookout.integrity.checked(7, DEFINITION + 1)
    lookout.integrity.peer_connected(2)
    assert not sent
    lookout.own(8)
    assert sent == [2, 3]


async def test_a_new_connection_brings_the_newest_report() -> None:
    lookout = Lookout()
    sent: list[tuple[int, object]] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        sent.append((member, decode_message(payload)))
        return True

    lookout.bus.tap = tap
    lookout.bus.cut = {(1, 2), (1, 3)}
    lookout.own(7)
    lookout.own(9)
    lookout.bus.cut.clear()
    lookout.integrity.peer_connected(3)
    assert sent == [(3, DigestReport(9, OURS))]


async def test_the_leader_asks_when_something_changed() -> None:
    lookout = Lookout()
    lookout.integrity.check(soon(29))
    assert not lookout.offered
    for _ in range(2):
        lookout.integrity.check(soon(31))
        await asyncio.sleep(0)
        assert lookout.offered == [DigestCheck(DEFINITION)]
    lookout.own(7)
    lookout.integrity.check(soon(100))
    assert len(lookout.offered) == 1
    lookout.state.apply(entry(put("/a")))
    lookout.integrity.check(soon(200))
    assert len(lookout.offered) == 2
    await asyncio.sleep(0)
    lookout.own(8)
    lookout.told(2, 8, "other")
    lookout.told(3, 8, lookout.state.digest())
    lookout.integrity.check(soon(300))  # for as long as something is wrong
    assert len(lookout.offered) == 3
    await asyncio.sleep(0)
    lookout.bus.leader = 2
    lookout.integrity.check(soon(400))
    assert len(lookout.offered) == 3


async def test_now_and_then_it_asks_though_nothing_changed_here() -> None:
    lookout = Lookout()
    lookout.integrity.check(soon(31))
    await asyncio.sleep(0)
    lookout.own(7)
    for round_ in range(1, SKIPPED_MAX + 1):
        lookout.integrity.check(soon(100 * round_))
        assert len(lookout.offered) == 1
    lookout.integrity.check(soon(100_000))
    assert len(lookout.offered) == 2


async def test_who_is_alone_has_nobody_to_compare_with() -> None:
    lookout = Lookout("a")
    lookout.integrity.check(soon(31))
    assert not lookout.offered


# --- a cluster --------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [1, 3])
async def test_a_member_whose_state_was_altered_stops_and_the_others_go_on(odd: int) -> None:
    async with Bus("abc", timing=OFTEN) as bus:
        node, member = bus.nodes[odd - 1], bus.members[odd - 1]
        await bus.nodes[1].propose(put("/a"), soon())
        await node.read(local=True, min_revision=2, deadline=soon())
        node.state.apply(entry(put("/by nobody")))
        await until(lambda: member.failure is not None)
        assert "differs from that of a majority" in str(member.failure)
        others = [other for other in bus.nodes if other is not node]
        if odd == 1:
            bus.elect(2)
        await others[0].propose(put("/b"), soon())
        await until(lambda: all(len(other.alarms()) == 1 for other in others))
        assert {other.alarms()[0].member for other in others} == {odd}
        assert not any(other.failure for other in bus.members if other is not member)
        with pytest.raises(RequestError) as caught:
            await node.read(local=True, min_revision=0, deadline=soon())
        assert caught.value.reason == "STOPPING"
        with pytest.raises(RequestError):
            await node.propose(put("/c"), soon())


async def test_a_cluster_that_agrees_says_so_for_ever() -> None:
    async with Bus("abc", timing=OFTEN) as bus:
        for i in range(20):
            await bus.nodes[i % 3].propose(put(f"/{i}"), soon())
            await asyncio.sleep(0.01)
        await until(lambda: not _changed_since_check(bus))
        length = len(bus.log)
        await asyncio.sleep(0.05)
        assert len(bus.log) - length <= 2  # nothing changed, so it is compared but now and then
        assert not any(node.alarms() for node in bus.nodes)
        assert not any(member.failure for member in bus.members)


def _changed_since_check(bus: Bus) -> bool:
    last = StateMachine()
    checked = ""
    for _, content in bus.log:
        if last.apply(content).check is not None:
            checked = last.digest()
    return checked != bus.nodes[0].state.digest()


async def test_a_check_that_an_installed_state_skipped_is_not_reported() -> None:
    async with Bus("abc", timing=Timing(session_check_ms=5)) as bus:
        bus.behind = {3}
        await bus.nodes[0].propose(put("/a"), soon())
        bus.append(entry(DigestCheck(DEFINITION)))
        await bus.settle()
        told: list[DigestReport] = []

        def tap(origin: int, member: int, payload: bytes) -> bool:
            message = decode_message(payload)
            if origin == 3 and isinstance(message, DigestReport):
                told.append(message)
            return True

        bus.tap = tap
        capture = bus.nodes[0].state.capture()
        bus.members[2].applied = bus.committed
        prepared = bus.nodes[2].prepare(list(capture.encode()))
        bus.nodes[2].restore(bus.committed, bus.term, prepared)
        bus.behind = set()
        bus.append(entry(LeaderElected(99, 1)))
        check = bus.append(entry(DigestCheck(DEFINITION)))
        await bus.settle()
        assert told == [DigestReport(check, bus.nodes[0].state.digest())] * 2
        assert not any(member.failure for member in bus.members)
        assert not any(node.alarms() for node in bus.nodes)
