"""The one place that touches the inside of `SyncObj`.

`Core` is `SyncObj` with our journal and transport under it. It gives the state of the engine typed names, offers as
methods what the rest of this package calls, and hands what it overrides to `CoreHooks`. DESIGN.md lists every private
name used here, with the reason; a test compares that list and this file with the pinned release.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pysyncobj.syncobj as syncobj
from pysyncobj import SyncObj, SyncObjConf

from coordinator.consensus.codec import Append, RequestVote
from coordinator.consensus.engine.hooks import CoreHooks
from coordinator.consensus.engine.log import MEMBERS, NO_OP, REGULAR, LogAdapter, Row
from coordinator.consensus.engine.stand_ins import Member, NoPoller, Outlet
from coordinator.consensus.interface import Role
from coordinator.consensus.journal import Entry, Journal
from coordinator.consensus.settings import EngineConfig
from coordinator.errors import FatalError

_ROLES = (Role.FOLLOWER, Role.CANDIDATE, Role.LEADER)


class Core(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """`SyncObj` with typed names; see the module."""

    _SyncObj__otherNodes: set[Any]
    _SyncObj__raftElectionDeadline: float

    def __init__(
        self, config: EngineConfig, journal: Journal, hooks: CoreHooks, voters: Collection[int]
    ) -> None:
        self._journal = journal
        self._hooks = hooks
        self._quorum_index = 0
        self._nodes: dict[int, Any] = {}
        self.this = config.this.id
        self.voting = self.this in voters
        """Whether this member votes."""
        self.standing = self.voting
        """Whether it may lead: it votes, or did until a removal that is not known to be committed."""
        others = [self._node(member) for member in sorted(voters) if member != self.this]
        make_journal = syncobj.createJournal
        syncobj.createJournal = lambda _: LogAdapter(journal)
        try:
            super().__init__(
                self._node(self.this),
                others,
                conf=_syncobj_conf(config),
                nodeClass=Member,
                transport=Outlet(hooks),
            )
        finally:
            syncobj.createJournal = make_journal
        self._poller = NoPoller()

    def _node(self, member: int) -> Any:
        """The object that stands for a member inside `SyncObj`."""
        node = self._nodes.get(member)
        if node is None:
            node = self._nodes[member] = Member(member)
        return node

    def set_voters(self, voters: Collection[int], *, standing: bool) -> None:
        """Takes note of who votes from now on, and whether this member may lead."""
        self.voting = self.this in voters
        self.standing = standing
        others: set[Any] = {self._node(member) for member in voters if member != self.this}
        for node in others - self._SyncObj__otherNodes:
            # A learner that votes now keeps what is known of its log.
            self._SyncObj__raftMatchIndex.setdefault(node, 0)
            self._SyncObj__lastResponseTime[node] = self.now()
        self._SyncObj__otherNodes = others

    # State under our names.

    @staticmethod
    def now() -> float:
        """The clock that all deadlines of the engine are measured with, in seconds."""
        return float(syncobj.monotonicTime())

    @property
    def role(self) -> Role:
        return _ROLES[self._SyncObj__raftState]

    @property
    def leading(self) -> bool:
        return self._SyncObj__raftState == syncobj._RAFT_STATE.LEADER  # type: ignore[no-any-return]  # pysyncobj has no types

    @property
    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def vote(self) -> int | None:
        """The member that got this one's vote in the term."""
        return self._SyncObj__votedForNodeId  # type: ignore[no-any-return]  # pysyncobj has no types

    @property
    def leader(self) -> int | None:
        node = self._SyncObj__raftLeader
        return None if node is None else int(node.id)

    @property
    def commit_index(self) -> int:
        return int(self._SyncObj__raftCommitIndex)

    @property
    def applied_index(self) -> int:
        return int(self._SyncObj__raftLastApplied)

    @applied_index.setter
    def applied_index(self, index: int) -> None:
        self._SyncObj__raftLastApplied = index

    @property
    def first_index(self) -> int:
        """The oldest entry of the log; what is before it is in a snapshot."""
        return self._journal.first_index

    @property
    def last_index(self) -> int:
        return self._journal.last_index

    @property
    def others(self) -> list[int]:
        """The other voters."""
        return [node.id for node in self._SyncObj__otherNodes]

    @property
    def term_opened(self) -> bool:
        """Whether the no-op of this leader's term is committed, and with it all that came before (section 6.4)."""
        no_op = self._SyncObj__noopIDx
        return no_op is not None and self.commit_index >= no_op

    def is_voter(self, member: int) -> bool:
        """Whether another member votes."""
        return self._nodes.get(member) in self._SyncObj__otherNodes

    def is_quorum(self, others: int) -> bool:
        """Whether that many other voters and this member, if it votes, are a majority."""
        return 2 * (others + self.voting) > len(self._SyncObj__otherNodes) + self.voting

    def entry(self, index: int) -> Entry | None:
        return self._journal.entry(index)

    def term_at(self, index: int) -> int:
        """Term of an entry that must be in the log."""
        entry = self._journal.entry(index)
        if entry is None:
            raise FatalError(f"entry {index} is not in the log")
        return entry.term

    # What a leader knows about followers.

    def match_index(self, member: int) -> int:
        """Up to where a follower's log is known to equal this leader's, on the follower's disk."""
        return int(self._SyncObj__raftMatchIndex.get(self._node(member), 0))

    def raise_match_index(self, member: int, index: int) -> None:
        if index > self.match_index(member):
            self._SyncObj__raftMatchIndex[self._node(member)] = index

    def note_answer(self, member: int) -> None:
        """The follower answered this leader just now; without a quorum of answers the leader steps down."""
        self._SyncObj__lastResponseTime[self._node(member)] = self.now()

    def answered_within(self, member: int, seconds: float) -> bool:
        """Whether a follower answered this leader within the last seconds."""
        answered_at = self._SyncObj__lastResponseTime.get(self._node(member), 0.0)
        return bool(answered_at > self.now() - seconds)

    def quorum_answered_within(self, seconds: float) -> bool:
        """Whether a quorum of voters, this leader one of them if it votes, answered within the last seconds."""
        return self.is_quorum(sum(self.answered_within(m, seconds) for m in self.others))

    def forgive_silence(self) -> None:
        """This leader did not listen for a while: the silence says nothing about its followers."""
        for member in self.others:
            self.note_answer(member)

    def postpone_heartbeats(self) -> None:
        """Everyone was told now: the next heartbeat is a period away."""
        self._SyncObj__newAppendEntriesTime = self.now() + self.conf.appendEntriesPeriod

    # What happens to this member.

    def tick(self) -> None:
        """One pass of the engine: elections, commit, heartbeats."""
        self._quorum_index = self._hooks.quorum_index() if self.leading else 0
        self.doTick(0)
        # `SyncObj` counts the leader itself, which is one too many where that does not vote.
        answered = self.voting or self.quorum_answered_within(self.conf.leaderFallbackTimeout)
        if self.leading and not answered:
            self._step_down()
        if not self.leading and self._SyncObj__raftElectionDeadline < self.now():
            # The time is over and there is nobody to campaign with: whoever led is not to be had.
            self._SyncObj__raftLeader = None

    def append(self, content: bytes) -> int:
        """Adds an entry of this leader's term to the log and returns its index."""
        index = self._journal.last_index + 1
        self._journal.append(REGULAR + content, index, self.term)
        return index

    def append_members(self, content: bytes) -> int:
        """Adds a configuration to the log of this leader, which counts from now on; returns its index."""
        index = self._journal.last_index + 1
        self._journal.append(MEMBERS + content, index, self.term)
        self._hooks.log_changed(index)
        return index

    @property
    def due_at(self) -> float:
        """When the next heartbeat is due, or the election timeout is over."""
        if self.leading:
            return float(self._SyncObj__newAppendEntriesTime)
        return float(self._SyncObj__raftElectionDeadline)

    def hasten_election(self, seconds: float) -> None:
        """Lets the election timeout end within some seconds, if not sooner."""
        deadline = min(self._SyncObj__raftElectionDeadline, self.now() + seconds)
        self._SyncObj__raftElectionDeadline = deadline if seconds > 0 else 0

    def delay_election(self, seconds: float) -> None:
        """Lets the election timeout not end within some seconds."""
        deadline = max(self._SyncObj__raftElectionDeadline, self.now() + seconds)
        self._SyncObj__raftElectionDeadline = deadline

    def postpone_election(self) -> None:
        """Gives the leader another election timeout to be heard."""
        deadline = self.now() + self._SyncObj__generateRaftTimeout()
        self._SyncObj__raftElectionDeadline = deadline

    def follow_term(self, term: int) -> None:
        """Another member is in a newer term: join it, without a leader for now."""
        self._SyncObj__setCurrentTerm(term, None)
        self._step_down()

    def _step_down(self) -> None:
        self._SyncObj__setState(syncobj._RAFT_STATE.FOLLOWER)
        self._SyncObj__raftLeader = None

    def take_vote_request(self, member: int, request: RequestVote) -> None:
        self._deliver(
            member,
            {
                "type": "request_vote",
                "term": request.term,
                "last_log_index": request.last_index,
                "last_log_term": request.last_term,
            },
        )

    def take_vote(self, member: int, term: int) -> None:
        self._deliver(member, {"type": "response_vote", "term": term})

    def take_leader(self, member: int, term: int, commit_index: int = 0) -> None:
        """Notes that a member leads this term and is alive; the commit index follows its own, the log stays."""
        self._deliver(
            member, {"type": "append_entries", "term": term, "commit_index": commit_index}
        )

    def take_entries(self, member: int, append: Append, skip: int) -> None:
        """Makes the log equal the leader's up to the end of the message, whose first `skip` entries are there."""
        previous = append.prev_index + skip
        entries = [
            (content, previous + 1 + position, term)
            for position, (term, content) in enumerate(append.entries[skip:])
        ]
        self._deliver(
            member,
            {
                "type": "append_entries",
                "term": append.term,
                "commit_index": min(append.commit_index, previous + len(entries)),
                "prevLogIdx": previous,
                "prevLogTerm": self.term_at(previous),
                "entries": entries,
            },
        )
        self._hooks.log_changed(previous + 1)

    def adopt_snapshot(self, index: int, term: int) -> None:
        """The application's state is now that of entry `index`: the log keeps what comes after it, or begins anew."""
        entry = self._journal.entry(index)
        if entry is None or entry.term != term:
            self._journal.clear()
            self._journal.append(NO_OP, index, term)
        self._SyncObj__raftLastApplied = index
        commit_index = max(index, min(self.commit_index, self.last_index))
        self._SyncObj__raftCommitIndex = self._journal.commit_index = commit_index
        if term > self.term:
            self._SyncObj__setCurrentTerm(term, None)

    def _deliver(self, member: int, message: dict[str, Any]) -> None:
        SyncObj._SyncObj__onMessageReceived(self, self._node(member), message)

    # Overrides. The names are those of `SyncObj`, private ones with the name of the class in front.

    def _applyCommand(self, *_: Any) -> None:
        raise FatalError("entries are appended to the log, not queued")

    def _checkCommandsToApply(self) -> None:
        pass

    def _SyncObj__getEntries(
        self, fromIDx: int, count: int | None = None, maxSizeBytes: int | None = None
    ) -> list[Row]:
        if count == 1 and fromIDx > self._quorum_index:
            return []
        return SyncObj._SyncObj__getEntries(self, fromIDx, count, maxSizeBytes)  # type: ignore[no-any-return]  # pysyncobj has no types

    def _SyncObj__sendAppendEntries(self) -> None:
        self.postpone_heartbeats()
        self._hooks.send_heartbeats()

    def _SyncObj__sendNextNodeIdx(
        self,
        node: Any,
        reset: bool = False,
        nextNodeIdx: int | None = None,
        success: bool = False,
    ) -> None:
        if reset or not success or nextNodeIdx is None:
            raise FatalError("pysyncobj refused entries that were checked before")
        self._hooks.acknowledge(node.id, nextNodeIdx - 1)

    def _SyncObj__applyLogEntries(self) -> bool:
        self._hooks.apply_committed()
        return False

    def _SyncObj__connectedToAnyone(self) -> bool:
        return self._hooks.may_campaign()

    def _SyncObj__onBecomeLeader(self) -> None:
        # What learners acknowledged to this member in an earlier term says nothing about this one.
        self._SyncObj__raftMatchIndex.clear()
        self._hooks.term_begins()
        SyncObj._SyncObj__onBecomeLeader(self)

    def _SyncObj__setState(self, newState: int) -> None:
        led = self.leading
        SyncObj._SyncObj__setState(self, newState)
        if led and not self.leading:
            # The deadline is as old as the leadership; without a new one the next tick would campaign at once.
            self.postpone_election()
            self._hooks.leadership_ends()

    def _SyncObj__tryLogCompaction(self) -> None:
        pass

    def _SyncObj__doApplyCommand(self, command: bytes) -> None:
        raise FatalError("entries are applied by the engine, not by pysyncobj")

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:
        raise FatalError("snapshots are loaded by the engine, not by pysyncobj")

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> None:
        return None


def _syncobj_conf(config: EngineConfig) -> SyncObjConf:
    election_s_max = config.election_timeout_ms_max / 1_000
    return SyncObjConf(
        autoTick=False,
        appendEntriesUseBatch=True,
        commandsWaitLeader=False,
        dynamicMembershipChange=False,
        fullDumpFile=None,
        useFork=False,
        raftMinTimeout=config.election_timeout_ms_min / 1_000,
        raftMaxTimeout=election_s_max,
        appendEntriesPeriod=config.heartbeat_ms / 1_000,
        leaderFallbackTimeout=election_s_max,
        connectionTimeout=config.silence_ms_max / 1_000,
    )
