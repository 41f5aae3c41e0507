"""When this member campaigns, and whom it lets campaign.

Before a member raises its term it asks the others whether they would vote for it (PreVote, Ongaro 2014, section 9.6);
whoever hears from a leader refuses (section 4.2.3). So a member that was cut off, or that alone can't hear the leader,
disturbs nobody when it comes back.

A member that is about to be removed stands for election until it knows that its removal is committed (section 4.2.2):
it may be the only one that has the entry, and the others then can't elect anybody without it. Its own vote does not
count.

A leader whose connection broke is suspected, for most leaders die with their process, and then the operating system
closes their connections. If it also refuses a new one, the leader is gone: this member says so to whoever asks, and
asks itself a moment later, at random, as the others have seen the same. A connection that breaks and is made anew is no
reason to doubt a leader. One that can't be made is after a while, which is shorter than an election timeout. All this
is worth a question, no more: the leader stays if a majority still hears it.
"""

from __future__ import annotations

import random

from coordinator.consensus.codec import PreVote, RequestVote
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.durability import Send
from coordinator.consensus.settings import EngineConfig

SUSPICION_SHARE_MIN = 0.25
SUSPICION_SHARE_MAX = 0.5
"""Of the shortest election timeout: how long a leader whose connection broke may take to come back."""

REFUSED_S_MAX = 0.015
"""Within that, at random, a member asks for votes when the leader's process has ended."""
ASK_AGAIN_S = 0.05
"""Who did not grant a vote is asked again after that: it may learn only now that the leader is gone."""

RACE_SHARE = 0.25
"""Of the shortest election timeout: for so long a member that asks holds its own against another that does."""


class Elections:
    """Pre-votes, stickiness, and elections that a leader asked for."""

    def __init__(self, config: EngineConfig, core: Core, send: Send) -> None:
        self._core = core
        self._send = send
        self._timeout_s_min = config.election_timeout_ms_min / 1_000
        self._race_s = RACE_SHARE * self._timeout_s_min
        self._asked_at: float | None = None
        """When the round of pre-votes under way began; None: there is none."""
        self._asked_again_at = 0.0
        self._granted: set[int] = set()
        self._heard_at = 0.0
        """When a leader was last heard; 0: not lately."""
        self._suspected: int | None = None
        """The leader, while its connection is broken."""
        self._gone_at = 0.0
        """When a leader that is suspected counts as not heard any more."""
        self.transfer_term = 0
        """The term of the election that the leader asked this member for; 0: none."""

    def may_campaign(self) -> bool:
        """Whether to raise the term, now that no leader was heard for an election timeout."""
        core = self._core
        if not core.standing:
            return False
        if self.transfer_term == core.term + 1:
            return True
        if core.is_quorum(len(self._granted)):
            self._granted.clear()
            self._asked_at = None
            return True
        now = core.now()
        if self._asked_at is None or now - self._asked_at > self._timeout_s_min / 2:
            self._asked_at = self._asked_again_at = now
            self._granted.clear()
        elif now - self._asked_again_at < ASK_AGAIN_S:
            return False
        self._asked_again_at = now
        for member in core.others:
            if member not in self._granted:
                self._ask(member)
        return False

    def _ask(self, member: int) -> None:
        core = self._core
        question = PreVote(core.term + 1, core.last_index, core.term_at(core.last_index))
        self._send(member, question)

    def take_grant(self, member: int, term: int) -> bool:
        """Counts one; returns whether they are enough."""
        core = self._core
        if self._asked_at is None or term != core.term + 1 or not core.is_voter(member):
            return False
        self._granted.add(member)
        return core.is_quorum(len(self._granted))

    def grants(self, member: int, question: PreVote) -> bool:
        """Whether this member would vote for the one that asks."""
        core = self._core
        if question.term <= core.term or self.leader_stands():
            return False
        mine = (core.term_at(core.last_index), core.last_index)
        theirs = (question.last_term, question.last_index)
        if theirs < mine:
            return False
        asking = self._asked_at is not None and core.now() - self._asked_at < self._race_s
        if asking and (theirs, member) < (mine, core.this):
            return False  # both ask at once, and would split the votes: the other one gives way
        if asking:
            self._asked_at = None
            self._granted.clear()
            core.delay_election(self._race_s)
        return True

    def ignores(self, request: RequestVote) -> bool:
        """Whether a request for votes is not to be heard, because there is a leader already."""
        return request.term > self._core.term and not request.transfer and self.leader_stands()

    def leader_stands(self) -> bool:
        """Whether this member leads with a quorum behind it, or heard from a leader just now."""
        core = self._core
        if core.leading:
            return core.quorum_answered_within(self._timeout_s_min)
        now = core.now()
        if self._suspected is not None and self._suspected == core.leader and now >= self._gone_at:
            return False
        return core.leader is not None and now - self._heard_at < self._timeout_s_min

    def leader_heard(self) -> None:
        """A leader of this term is there."""
        self._heard_at = self._core.now()
        self._asked_at = self._suspected = None
        self._granted.clear()

    def peer_lost(self, member: int) -> None:
        """A connection broke; if it was the leader's, the leader may be gone."""
        core = self._core
        if core.leading or core.leader != member:
            return
        share = random.uniform(SUSPICION_SHARE_MIN, SUSPICION_SHARE_MAX)
        self._suspected = member
        self._gone_at = core.now() + share * self._timeout_s_min
        core.hasten_election(share * self._timeout_s_min)

    def peer_refused(self, member: int) -> None:
        """Nobody listens where a member was whose connection broke; if it led, it leads no more."""
        core = self._core
        if core.leading or self._suspected != member:
            return
        self._gone_at = core.now()
        core.hasten_election(random.uniform(REFUSED_S_MAX / 15, REFUSED_S_MAX))

    def peer_connected(self, member: int) -> None:
        """A connection was made; what was sent to this member before may be lost."""
        core = self._core
        if self._suspected == member and not core.leading:
            self._suspected = None
            core.postpone_election()
        elif self._asked_at is not None and core.is_voter(member):
            self._ask(member)

    def campaign_for(self, leader: int, term: int) -> None:
        """The leader asks this member to take over."""
        core = self._core
        if core.voting and not core.leading and core.leader == leader and core.term == term:
            self.transfer_term = term + 1

    def drive(self) -> None:
        """Before a pass: what else arrived from the leader that hands over is no reason to wait any longer."""
        if self.transfer_term == self._core.term + 1 and not self._core.leading:
            self._core.hasten_election(0.0)
