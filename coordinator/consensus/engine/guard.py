"""What other members may make this one do.

`SyncObj` trusts its network. Here every message is checked first: who sent it, in which term, and whether the log
allows what it asks for. What passes is handed on in a form in which `SyncObj` does the right thing with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from coordinator.consensus.codec import (
    Append,
    AppendAck,
    Farewell,
    Message,
    Payload,
    PreVote,
    PreVoteGrant,
    Probe,
    ProbeAck,
    ReadReply,
    ReadRequest,
    RequestVote,
    SnapshotAck,
    SnapshotChunk,
    TermNotice,
    TimeoutNow,
    Vote,
)
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.durability import Durability, Send
from coordinator.consensus.engine.elections import Elections
from coordinator.consensus.engine.log import KINDS, MEMBERS
from coordinator.consensus.engine.membership import read_members
from coordinator.consensus.engine.reads import Reads
from coordinator.consensus.engine.replication import Replication
from coordinator.consensus.engine.transfer import SnapshotReceiver, SnapshotSender
from coordinator.consensus.interface import Role
from coordinator.consensus.journal import Journal
from coordinator.errors import FatalError, MemberRemoved

_log = logging.getLogger(__name__)


class _Inbox(Protocol):
    def message_received(self, member: int, payload: bytes) -> None: ...


class Guard:
    """Checks messages and passes them on."""

    def __init__(
        self,
        core: Core,
        journal: Journal,
        durability: Durability,
        replication: Replication,
        elections: Elections,
        reads: Reads,
        sender: SnapshotSender,
        receiver: SnapshotReceiver,
        inbox: _Inbox,
        send: Send,
        removed: Callable[[int], bool],
    ) -> None:
        """`removed` says whether a member was removed from the cluster, and that is committed."""
        self._core = core
        self._journal = journal
        self._durability = durability
        self._replication = replication
        self._elections = elections
        self._reads = reads
        self._sender = sender
        self._receiver = receiver
        self._inbox = inbox
        self._send = send
        self._removed = removed
        self._voters: set[int] = set()
        self._voters_term = 0

    def receive(self, member: int, message: Message) -> None:
        """Takes a message from another member. What raises here must stop this member.

        The sender may be one that this member's log does not name yet: a leader and a candidate are heard all the
        same, for they may know more; votes and answers to a leader count from voters only.
        """
        match message:
            case Append():
                self._take_append(member, message)
            case AppendAck():
                if self._answers_this_term(message.term):
                    self._replication.take_ack(member, message)
            case Payload():
                self._inbox.message_received(member, message.content)
            case RequestVote():
                self._take_vote_request(member, message)
            case Vote():
                self._take_vote(member, message)
            case PreVote():
                self._take_pre_vote(member, message)
            case PreVoteGrant():
                # The next pass finds that there are enough and begins the election.
                self._elections.take_grant(member, message.term)
            case TimeoutNow():
                self._elections.campaign_for(member, message.term)
            case Farewell():
                raise MemberRemoved
            case TermNotice():
                self._note_term(message.term)
            case Probe():
                if self._accept_leader(member, message.term):
                    self._send(member, ProbeAck(message.term, message.round))
            case ProbeAck():
                if self._answers_this_term(message.term):
                    self._core.note_answer(member)
                    if self._core.is_voter(member):
                        self._reads.take_probe_ack(member, message.round)
            case ReadRequest():
                self._reads.take_request(member, message.round)
            case ReadReply():
                self._reads.take_reply(member, message.round, message.index)
            case SnapshotChunk():
                if self._accept_leader(member, message.term):
                    self._receiver.take_chunk(member, message)
            case SnapshotAck():
                if self._answers_this_term(message.term):
                    self._core.note_answer(member)
                    self._sender.take_ack(member, message)
            case _:
                _log.warning("member %d sent a message out of place", member)

    def _note_term(self, term: int) -> bool:
        """Joins a newer term; returns whether it was newer."""
        if term <= self._core.term:
            return False
        self._core.follow_term(term)
        return True

    def _answers_this_term(self, term: int) -> bool:
        """Whether an answer was given to this leader in its present term; an older one says nothing about now."""
        return not self._note_term(term) and term == self._core.term and self._core.leading

    # Elections.

    def _take_pre_vote(self, member: int, question: PreVote) -> None:
        core = self._core
        if self._removed(member):
            # A leader that came after its removal does not send it the log that would tell.
            self._send(member, Farewell())
        elif question.term <= core.term:
            self._send(member, TermNotice(core.term))
        elif self._elections.grants(member, question):
            self._send(member, PreVoteGrant(question.term))

    def _take_vote_request(self, member: int, request: RequestVote) -> None:
        core = self._core
        if request.term < core.term:
            self._send(member, TermNotice(core.term))
            return
        if self._elections.ignores(request):
            return
        if request.term == core.term and core.vote == member and core.role is Role.FOLLOWER:
            # The vote was given, and perhaps lost on its way.
            self._durability.hold(member, Vote(core.term))
            return
        core.take_vote_request(member, request)

    def _take_vote(self, member: int, vote: Vote) -> None:
        core = self._core
        if self._note_term(vote.term) or vote.term != core.term or core.role is not Role.CANDIDATE:
            return
        if not core.is_voter(member):
            return
        if self._voters_term != vote.term:
            self._voters_term, self._voters = vote.term, set()
        if member not in self._voters:
            self._voters.add(member)
            # `SyncObj` has counted this member's own vote. Where that does not count, and the number of voters is even,
            # it takes one vote more.
            if core.voting or len(core.others) % 2 or len(self._voters) > 1:
                core.take_vote(member, vote.term)

    # Entries.

    def _accept_leader(self, member: int, term: int, commit_index: int = 0) -> bool:
        """Whether the sender leads the present term; if so, its being alive is noted."""
        core = self._core
        if term < core.term:
            self._send(member, TermNotice(core.term))
            return False
        if core.leading and term == core.term:
            raise FatalError(f"member {member} and this one both lead term {term}")
        core.take_leader(member, term, commit_index)
        self._elections.leader_heard()
        return True

    def _take_append(self, member: int, append: Append) -> None:
        if not self._accept_leader(member, append.term):
            return
        for _, content in append.entries:
            if content[:1] not in KINDS:
                raise FatalError(
                    f"member {member} sent an entry of a kind that this version does not know: run "
                    "the same version on all members"
                )
            if content[:1] == MEMBERS:
                read_members(content)
        core = self._core
        if append.prev_index < core.first_index:
            self._take_old_append(member, append)
            return
        previous = core.entry(append.prev_index)
        if previous is None:
            self._reject(member, append.prev_index, core.last_index + 1)
        elif previous.term != append.prev_term:
            if previous.index <= core.commit_index:
                raise FatalError(
                    f"committed entry {previous.index} is of term {previous.term} here and of term "
                    f"{append.prev_term} on leader {member}"
                )
            self._reject(member, append.prev_index, self._term_start(previous.index))
        else:
            self._take_entries(member, append)

    def _take_old_append(self, member: int, append: Append) -> None:
        """The message begins before our log: that part is in our snapshot, hence committed, hence equal."""
        core = self._core
        known = core.first_index - append.prev_index
        if known >= len(append.entries):
            self._acknowledge_known(member, append.prev_index + len(append.entries), append)
            return
        self._take_entries(
            member,
            Append(
                append.term,
                core.first_index,
                core.term_at(core.first_index),
                append.commit_index,
                append.entries[known:],
                append.notice,
            ),
        )

    def _take_entries(self, member: int, append: Append) -> None:
        """Adds what is new. Entries that match are never cut, however old the message is."""
        core = self._core
        matching = 0
        for term, _ in append.entries:
            mine = core.entry(append.prev_index + 1 + matching)
            if mine is None or mine.term != term:
                break
            matching += 1
        if matching == len(append.entries):
            self._acknowledge_known(member, append.prev_index + matching, append)
            return
        if append.prev_index + 1 + matching <= core.commit_index:
            raise FatalError(
                f"leader {member} would overwrite entry {append.prev_index + 1 + matching}, and "
                f"entries up to {core.commit_index} are committed"
            )
        core.take_entries(member, append, matching)

    def _acknowledge_known(self, member: int, end: int, append: Append) -> None:
        """The message told nothing new but, perhaps, the commit index, which is valid as far as the message goes.

        The answer is a sign of life as well and does not wait for the disk: it vouches for what is there already.
        """
        core = self._core
        core.take_leader(member, append.term, min(append.commit_index, end))
        if append.notice:
            return
        synced = min(end, self._journal.synced_index)
        self._send(member, AppendAck(core.term, False, append.prev_index, synced))
        if synced < end:
            self.acknowledge(member, end)

    def acknowledge(self, member: int, match: int) -> None:
        """Tells the leader, once it is on disk here, that the log equals its own up to `match`."""
        self._durability.hold(member, AppendAck(self._core.term, False, 0, match))

    def _reject(self, member: int, prev_index: int, next_index: int) -> None:
        self._send(member, AppendAck(self._core.term, True, prev_index, next_index))

    def _term_start(self, index: int) -> int:
        """The first entry after the commit index that has the term of the entry at `index`."""
        core = self._core
        term = core.term_at(index)
        while index > core.commit_index + 1:
            before = core.entry(index - 1)
            if before is None or before.term != term:
                break
            index -= 1
        return index
