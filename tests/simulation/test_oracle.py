"""The oracle: it sees at once when members differ."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from coordinator.config import Limits, Timing
from coordinator.consensus.interface import ConsensusStatus, Role
from coordinator.node.expiry import KeepNothing
from coordinator.state.commands import (
    Command,
    Heir,
    Keep,
    LeaderElected,
    Put,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Write,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.model import Cause
from tests.simulation.hosts import make_peer
from tests.simulation.loop import SimLoop, simulated
from tests.simulation.oracle import ObservedNode, Oracle


class Quiet(ObservedNode):
    """A node without an engine: it only keeps the state."""

    def apply(self, index: int, term: int, entry: bytes) -> None:
        self.state.apply(entry)
        self._oracle.applied(self, index, term, entry)
        self.previous = index


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    with simulated() as loop:
        yield loop


def make_nodes(loop: SimLoop, oracle: Oracle) -> list[Quiet]:
    async def make() -> list[Quiet]:
        return [Quiet(oracle, make_peer(n), "", Limits(), Timing(), KeepNothing()) for n in (1, 2)]

    return loop.run_until_complete(asyncio.ensure_future(make(), loop=loop))


def entry(value: bytes) -> bytes:
    return encode_bundle([encode_proposal(1, 1, encode_command(Write(Put(b"k", value))))])


def test_members_that_agree(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    for node in make_nodes(loop, oracle):
        for index in (2, 5, 64):
            node.apply(index, 1, entry(b"%d" % index))
    assert not oracle.complaints
    assert oracle.truth.revision == 4
    assert oracle.entry_count == 3


def test_another_entry_at_an_index(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, two = make_nodes(loop, oracle)
    one.apply(2, 1, entry(b"a"))
    two.apply(2, 1, entry(b"b"))
    assert "another entry 2" in oracle.complaints[0]


def test_an_entry_that_was_passed_over(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, two = make_nodes(loop, oracle)
    for index in (2, 3, 4):
        one.apply(index, 1, entry(b"%d" % index))
    two.apply(3, 1, entry(b"3"))
    assert "others have 2 there" in oracle.complaints[0]
    two.previous = 3
    two.apply(6, 1, entry(b"6"))
    assert "others have 4 there" in oracle.complaints[1]


def test_an_entry_applied_twice(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, _ = make_nodes(loop, oracle)
    one.apply(2, 1, entry(b"a"))
    one.apply(2, 1, entry(b"a"))
    assert oracle.complaints


def test_another_state_after_the_same_entries(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, two = make_nodes(loop, oracle)
    two.state.apply(entry(b"before"))
    for node in (one, two):
        node.apply(64, 1, entry(b"a"))
    assert "another state" in oracle.complaints[0]


def test_a_snapshot_of_another_revision(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, two = make_nodes(loop, oracle)
    for index in (2, 3):
        one.apply(index, 1, entry(b"%d" % index))
    two.state.apply(entry(b"2"))
    oracle.restored(two, 2)
    assert not oracle.complaints
    oracle.restored(two, 3)
    assert "restored revision 2 as of entry 3" in oracle.complaints[0]


def together(*commands: Command) -> bytes:
    """An entry with commands of one member."""
    return encode_bundle(
        [encode_proposal(1, number, encode_command(c)) for number, c in enumerate(commands, 1)]
    )


def test_two_leaders_of_one_term(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    status = ConsensusStatus(Role.LEADER, 3, 1, 0, 0, 0, 0, 0, 0)
    oracle.led(1, status)
    oracle.led(1, status)
    assert not oracle.complaints
    oracle.led(2, status)
    assert "both lead term 3" in oracle.complaints[0]


def test_an_expiry_of_an_earlier_leader_is_void(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, _ = make_nodes(loop, oracle)
    one.apply(2, 3, together(LeaderElected(3, 9), SessionOpen(7, 1_000), SessionOpen(8, 1_000)))
    late = SessionExpire(2, (7, 8), Cause.SESSION_EXPIRED)
    one.apply(3, 3, together(SessionClose(7), late))
    assert oracle.sessions[7].ended_at is not None and not oracle.sessions[7].expired
    one.apply(4, 3, together(SessionExpire(3, (8,), Cause.SESSION_EXPIRED)))
    assert oracle.sessions[8].ended_at is not None and oracle.sessions[8].expired


def test_a_session_that_ends_and_opens_again_within_one_entry(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, _ = make_nodes(loop, oracle)
    opening = SessionOpen(7, 1_000)
    one.apply(2, 3, together(LeaderElected(3, 9), opening))
    one.apply(3, 3, together(SessionExpire(3, (7,), Cause.SESSION_EXPIRED), opening))
    story = oracle.sessions[7]
    assert story.ended_at is None and [life.expired for life in story.earlier] == [True]
    one.apply(4, 3, together(SessionClose(7), opening, SessionClose(7)))
    story = oracle.sessions[7]
    assert story.ended_at is not None and not story.expired and len(story.earlier) == 2
    one.apply(5, 3, together(opening, SessionExpire(3, (7,), Cause.SESSION_EXPIRED)))
    assert oracle.sessions[7].expired and len(oracle.sessions[7].earlier) == 3


def test_what_took_over_keys_is_known(loop: SimLoop) -> None:
    oracle = Oracle(loop)
    one, _ = make_nodes(loop, oracle)
    put = Write(Put(b"k", b"v", session=7))
    one.apply(2, 3, together(LeaderElected(3, 9), SessionOpen(7, 1_000), put))
    heir = Heir(50, 2_000, (("coordinator.guard", "a"),))
    keep = Keep(7, b"k", 50, b"m", b"kept", 0)
    one.apply(3, 3, together(SessionExpire(3, (7,), Cause.SESSION_EXPIRED, (heir,), (keep,))))
    assert oracle.heirs == {50: 2.0} and oracle.sessions[50].ended_at is None
