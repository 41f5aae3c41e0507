"""Members compare what their states come to, and one that differs from a majority takes itself out of service.

Every now and then the leader puts a `DigestCheck` in the log. Whoever applies it notes the digest of its state at that
very index and tells all others. As soon as a majority of the voters agrees on one digest, members know who is right.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from coordinator.config import Timing
from coordinator.consensus.interface import Consensus, Role
from coordinator.errors import FatalError
from coordinator.node.errands import Errand, Offer
from coordinator.node.interface import Alarm, AlarmKind
from coordinator.node.messages import DigestReport, encode_message
from coordinator.state.commands import DigestCheck
from coordinator.state.machine import StateMachine
from coordinator.state.tally import DEFINITION

REPORTS_MAX = 16
"""Of each member, the ones of the highest indices."""
GRACE_S = 5.0
"""How long members that differ wait for more reports before they call it a disagreement."""
SKIPPED_MAX = 10
"""Periods that pass without a comparison while the leader's state does not change: another's may."""
WAY_OUT = (
    "It must not serve what it has: remove it from the cluster (coordctl member remove), empty its data folder, "
    "add it again and start it with --join; see docs/operations.md"
)

log = structlog.get_logger()


class Integrity:
    """The reports of all members, this one too, and what follows from them."""

    def __init__(
        self,
        consensus: Consensus,
        state: StateMachine,
        member_id: int,
        timing: Timing,
        offer: Offer,
        fail: Callable[[FatalError], None],
    ) -> None:
        self._consensus = consensus
        self._state = state
        self._member_id = member_id
        self._period_s = timing.digest_check_ms / 1000
        self._errand = Errand(offer, "compare digests")
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._next_at = self._loop.time() + self._period_s
        self._checked_digest = ""
        self._skipped = 0
        # member -> index -> digest
        self._reports: dict[int, dict[int, str]] = {}
        # Indices of this member's own that nothing was decided about, and until when more reports may come.
        self._open: dict[int, float] = {}
        # member -> the highest index at which it was found to differ.
        self._diverged: dict[int, int] = {}
        # member -> the highest index at which it was judged.
        self._judged: dict[int, int] = {}
        self._agreed_at = 0
        self._disagreed_at = 0

    def check(self, now: float) -> None:
        """Stops waiting for reports; as leader lets all compare, if it is time and something changed."""
        for index in [index for index, until in self._open.items() if now >= until]:
            del self._open[index]
            self._judge(index, late=True)
        if not self._period_s or now < self._next_at or self._errand.busy:
            return
        alone = len(self._consensus.members) == 1
        if not alone and self._consensus.status.role is Role.LEADER:
            self._next_at = now + self._period_s
            self._skipped += 1
            changed = self._state.digest() != self._checked_digest
            if changed or self.alarms() or self._skipped > SKIPPED_MAX:
                self._errand.run(DigestCheck(DEFINITION))

    def checked(self, index: int, definition: int) -> None:
        """The entry at `index`, just applied, held a `DigestCheck`: notes what the state is, and tells."""
        self._next_at = self._loop.time() + self._period_s
        self._skipped = 0
        if definition != DEFINITION:
            return
        digest = self._checked_digest = self._state.digest()
        self._note(self._member_id, index, digest)
        self._open[index] = self._loop.time() + GRACE_S
        for forgotten in self._open.keys() - self._reports[self._member_id].keys():
            del self._open[forgotten]
        report = encode_message(DigestReport(index, digest))
        for peer in self._consensus.members:
            if peer.id != self._member_id:
                self._consensus.send(peer.id, report)
        self._judge(index)

    def received(self, member: int, message: DigestReport) -> None:
        """Another member tells what its state was at an index."""
        if any(peer.id == member for peer in self._consensus.members):
            self._note(member, message.index, message.digest)
            self._judge(message.index)

    def _note(self, member: int, index: int, digest: str) -> None:
        reports = self._reports.setdefault(member, {})
        reports[index] = digest
        if len(reports) > REPORTS_MAX:
            del reports[min(reports)]

    def peer_connected(self, member: int) -> None:
        """Tells a member the newest of what it may have missed."""
        own = self._reports.get(self._member_id)
        if own:
            index = max(own)
            self._consensus.send(member, encode_message(DigestReport(index, own[index])))

    def state_replaced(self) -> None:
        """A snapshot took the place of the state that was reported of: whatever it was, it is gone."""
        self._reports.pop(self._member_id, None)
        self._open.clear()

    # --- deciding -----------------------------------------------------------------------------------

    def _judge(self, index: int, *, late: bool = False) -> None:
        voters = {peer.id for peer in self._consensus.members if peer.voter}
        self._forget_others_than({peer.id for peer in self._consensus.members})
        found = {m: reports[index] for m, reports in self._reports.items() if index in reports}
        votes = Counter(digest for member, digest in found.items() if member in voters)
        for digest, count in votes.most_common(1):
            if 2 * count > len(voters):
                self._decide(index, found, digest)
                return
        if len(set(found.values())) > 1 and (late or votes.total() == len(voters)):
            self._disagree(index)

    def _forget_others_than(self, members: set[int]) -> None:
        for known in (self._reports, self._diverged, self._judged):
            for member in known.keys() - members:
                del known[member]

    def _decide(self, index: int, found: dict[int, str], digest: str) -> None:
        self._open.pop(index, None)
        self._agreed_at = max(self._agreed_at, index)
        if found.get(self._member_id, digest) != digest:
            self._fail(
                FatalError(
                    f"the state of this member differs from that of a majority at index {index} of the log. {WAY_OUT}"
                )
            )
            return
        for member, told in found.items():
            if index < self._judged.get(member, 0):
                continue
            self._judged[member] = index
            if told == digest:
                if self._diverged.pop(member, None) is not None:
                    log.info("a member agrees again", member=self._name(member), index=index)
            else:
                if member not in self._diverged:
                    log.error("a member differs", member=self._name(member), index=index)
                self._diverged[member] = index

    def _disagree(self, index: int) -> None:
        if index > self._agreed_at:
            if not self._disagreement:
                log.error("members differ, and no majority agrees", index=index)
            self._disagreed_at = max(self._disagreed_at, index)

    @property
    def _disagreement(self) -> bool:
        return self._disagreed_at > self._agreed_at

    def _name(self, member: int) -> str:
        return next((p.name for p in self._consensus.members if p.id == member), str(member))

    def alarms(self) -> list[Alarm]:
        """What is wrong as far as this member knows."""
        members = {peer.id: peer.name for peer in self._consensus.members}
        found = [
            Alarm(
                AlarmKind.DIVERGED,
                member,
                f"the state of {members[member]} differs from that of a majority since index {index}: "
                "remove it, and add it again with an empty data folder",
            )
            for member, index in sorted(self._diverged.items())
            if member in members
        ]
        if self._disagreement:
            message = (
                f"states of members differ at index {self._disagreed_at}, and no majority agrees"
            )
            found.append(Alarm(AlarmKind.DISAGREEMENT, 0, message))
        return found
