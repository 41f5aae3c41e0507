"""Automatic compaction: the leader proposes to forget history that is too long, too large, too old, or in the way.

How old a revision is, no state tells: the leader notes from time to time which revision it has come to. A new leader
has no notes, so that history lives longer than it was promised to, never shorter.
"""

from __future__ import annotations

from collections import deque

from coordinator.config import Limits, Timing
from coordinator.consensus.interface import Consensus, Role
from coordinator.node.errands import Errand, Offer
from coordinator.state.commands import Compact
from coordinator.state.machine import StateMachine

SLACK = 10
"""History may exceed a limit by one part in so many before some is compacted, to do it seldom."""
NOTES_MAX = 100
"""Notes in the span of `history_age_ms_max`: by one part in so many history may be older."""
CROWDED_SHARE, EASED_SHARE, LEAST_SHARE = 0.9, 0.8, 0.05
"""Above the first share of the quota history shrinks until the state takes the second, but not below the third."""


class Compaction:
    """Decides when to compact, and to which revision."""

    def __init__(
        self,
        consensus: Consensus,
        state: StateMachine,
        limits: Limits,
        timing: Timing,
        offer: Offer,
    ) -> None:
        self._consensus = consensus
        self._state = state
        self._limits = limits
        self._age_s_max = timing.history_age_ms_max / 1000
        self._errand = Errand(offer, "compact history")
        self._term = 0
        # (time, revision at that time), ascending.
        self._notes: deque[tuple[float, int]] = deque()

    def check(self, now: float) -> None:
        """Proposes to compact, if this member leads and there is reason to."""
        status = self._consensus.status
        if status.role is not Role.LEADER:
            return
        if status.term != self._term:
            self._term = status.term
            self._notes.clear()
        old = self._note(now)
        if not self._errand.busy:
            revision = max(old, self._beyond_limits() or 0)
            if revision > self._state.compacted_revision:
                self._errand.run(Compact(revision))

    def _note(self, now: float) -> int:
        """Notes the revision; returns the last one that is too old to keep, or 0."""
        if not self._age_s_max:
            return 0
        notes = self._notes
        if not notes or now - notes[-1][0] >= self._age_s_max / NOTES_MAX:
            notes.append((now, self._state.revision))
        while len(notes) > 1 and now - notes[1][0] >= self._age_s_max:
            notes.popleft()
        return notes[0][1] if now - notes[0][0] >= self._age_s_max else 0

    def _beyond_limits(self) -> int | None:
        state, limits = self._state, self._limits
        revisions_max = limits.history_revisions_max
        size_max = min(limits.history_size_bytes_max, self._room_for_history())
        revisions = state.revision - state.compacted_revision
        if (
            revisions <= revisions_max + revisions_max // SLACK
            and state.history_size_bytes <= size_max + size_max // SLACK
        ):
            return None
        return state.revision_to_compact(revisions_max, size_max)

    def _room_for_history(self) -> int:
        state, quota = self._state, self._limits.state_size_bytes_max
        if state.size_bytes <= CROWDED_SHARE * quota:
            return quota
        rest = state.size_bytes - state.history_size_bytes
        return int(max(LEAST_SHARE * quota, EASED_SHARE * quota - rest))
