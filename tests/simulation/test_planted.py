"""Mistakes that are made on purpose: each of them must come to light; most do within a few seeds.

Each breaks one promise of the engine or the node in the way in which it would be broken by an oversight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from coordinator.consensus.codec import Message
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.durability import Durability
from coordinator.consensus.engine.member import Engine
from coordinator.consensus.engine.replication import Replication
from coordinator.consensus.interface import ConsensusStatus, Role
from coordinator.node.proposals import Proposals
from coordinator.node.sessions import SessionExpirer
from coordinator.node.watches import WatchHub
from coordinator.state.sessions import Sessions
from tests.simulation.__main__ import run_quietly

SEEDS = range(1, 501)

Plant = Callable[[pytest.MonkeyPatch], None]


def speak_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    """Acknowledgements and votes do not wait for the fsync."""

    def hold(self: Durability, member: int, message: Message) -> None:
        self._send(member, message)

    patch.setattr(Durability, "hold", hold)


def count_oneself_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    """A leader counts entries that are not on its own disk yet, and that of one follower is enough."""

    def quorum_index(self: Replication) -> int:
        return self._core.last_index

    patch.setattr(Replication, "quorum_index", quorum_index)


def read_without_asking(patch: pytest.MonkeyPatch) -> None:
    """A leader reads without a question to the others."""
    barrier = Engine.read_barrier

    async def read_barrier(self: Engine, timeout_s: float) -> bool:
        if self.status.role is Role.LEADER:
            await asyncio.sleep(0)
            return True
        return await barrier(self, timeout_s)

    patch.setattr(Engine, "read_barrier", read_barrier)


def confirm_without_asking(patch: pytest.MonkeyPatch) -> None:
    """A leader confirms keep-alives without a question to the others."""

    async def confirm(self: Engine, timeout_s: float) -> int | None:
        await asyncio.sleep(0)
        return self.status.term if self.status.role is Role.LEADER else None

    patch.setattr(Engine, "confirm", confirm)


def offer_again_too_early(patch: pytest.MonkeyPatch) -> None:
    """A change of leaders passes for proof that what was handed over is lost."""
    changed = Proposals.leadership_changed

    def leadership_changed(self: Proposals, status: ConsensusStatus) -> None:
        changed(self, status)
        self._again(lambda pending: 0 < pending.sent_term < status.term)

    patch.setattr(Proposals, "leadership_changed", leadership_changed)


def forget_numbers(patch: pytest.MonkeyPatch) -> None:
    """Results of numbered writes are not kept."""

    def keep(*_: object) -> None:
        pass

    patch.setattr(Sessions, "keep", keep)


def skip_history_after_a_snapshot(patch: pytest.MonkeyPatch) -> None:
    """Watches go on after a snapshot as if nothing was in it."""

    def state_replaced(self: WatchHub) -> None:
        self._revision = self.state.revision

    patch.setattr(WatchHub, "state_replaced", state_replaced)


def keep_deadlines_of_an_old_term(patch: pytest.MonkeyPatch) -> None:
    """A new leader gives sessions only a tenth of their time."""
    start = SessionExpirer.term_opened

    def term_opened(self: SessionExpirer, term: int) -> None:
        start(self, term)
        for session_id in self._deadlines:
            session = self._state.session(session_id)
            assert session is not None
            self._deadlines[session_id] -= 0.9 * session.ttl_ms / 1_000
            self._push(session_id)

    patch.setattr(SessionExpirer, "term_opened", term_opened)


def vote_for_all(patch: pytest.MonkeyPatch) -> None:
    """A vote is forgotten as soon as it is given."""
    deliver = Core.take_vote_request

    def take_vote_request(self: Core, member: int, request: object) -> None:
        self._SyncObj__votedForNodeId = None
        deliver(self, member, request)  # type: ignore[arg-type]  # handed on as it came

    patch.setattr(Core, "take_vote_request", take_vote_request)


PLANTS: Sequence[Plant] = (
    speak_before_the_disk,
    count_oneself_before_the_disk,
    read_without_asking,
    confirm_without_asking,
    offer_again_too_early,
    forget_numbers,
    skip_history_after_a_snapshot,
    keep_deadlines_of_an_old_term,
    vote_for_all,
)


@pytest.mark.full
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_mistake_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in SEEDS:
        report = run_quietly(seed)
        if report.complaints:
            # A mistake that does not even run proves nothing.
            assert "TypeError" not in report.complaints[0]
            assert "AttributeError" not in report.complaints[0]
            print(f"{plant.__name__}: seed {seed}: {report.complaints[0]}")
            return
    pytest.fail(f"{plant.__name__} was not found by seeds {SEEDS[0]} to {SEEDS[-1]}")
