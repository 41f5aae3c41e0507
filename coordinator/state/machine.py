"""The replicated state machine: the same entries in the same order give the same state, on every node.

It knows no clock, no chance and no world outside. `apply` raises nothing, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from coordinator.state import commands, snapshot
from coordinator.state.capture import Capture
from coordinator.state.commands import (
    Command,
    Compact,
    DigestCheck,
    LeaderElected,
    Put,
    Range,
    RequestId,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Txn,
    Write,
)
from coordinator.state.hold import Hold
from coordinator.state.inheritance import Will, read_wills, settle
from coordinator.state.keyspace import Keyspace, parent_of
from coordinator.state.leftovers import Leftovers
from coordinator.state.model import Batch, Cause, Session
from coordinator.state.results import (
    Applied,
    Code,
    Done,
    Failure,
    Outcome,
    RangeResult,
    Result,
    SessionResult,
    TxnResult,
)
from coordinator.state.scrub import Scrub
from coordinator.state.sessions import Sessions
from coordinator.state.snapshot import Prepared
from coordinator.state.tally import Tally
from coordinator.state.transaction import UNDECODABLE, Transaction, nests_too_deep, put_alone
from coordinator.state.view import read_range

# Deeply nested bytes exhaust the decoder's stack; transactions that deep are refused in any case.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class StateMachine:
    """Keys, sessions and the results of numbered requests. Not thread-safe: one thread touches it."""

    def __init__(self) -> None:
        self._keyspace = Keyspace()
        self._sessions = Sessions()
        self._leftovers = Leftovers()
        self._cluster_id = 0
        self._leader_term = 0
        self._applied = Applied([], [], [], [])

    # --- what it is -----------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The number of the last change; that of the empty store is 1."""
        return self._keyspace.revision

    @property
    def compacted_revision(self) -> int:
        """Revisions up to this one are gone from history; 0: none."""
        return self._keyspace.compacted_revision

    @property
    def cluster_id(self) -> int:
        """Given by the first LeaderElected; 0 before."""
        return self._cluster_id

    @property
    def leader_term(self) -> int:
        """The highest term of any LeaderElected; 0 before the first."""
        return self._leader_term

    @property
    def key_count(self) -> int:
        return len(self._keyspace)

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    @property
    def hash_of_keys(self) -> int:
        """The sum of `tally.hash_of` of all keys: that at an earlier revision follows from what changed since."""
        return self._keyspace.hash_of_keys

    @property
    def sequence_parent_count(self) -> int:
        """Parents that a sequence number was ever counted for."""
        return len(self._keyspace.counters)

    def has_sequence_parent(self, key: bytes) -> bool:
        """Returns whether a sequence number was ever counted for the parent of a key."""
        return parent_of(key) in self._keyspace.counters

    @property
    def history_size(self) -> int:
        """Revisions kept."""
        return self._keyspace.history_size

    @property
    def history_size_bytes(self) -> int:
        """Of the revisions kept, with the old versions of keys; see `tally`."""
        return self._keyspace.history_size_bytes

    @property
    def held_size_bytes(self) -> int:
        """Of compacted revisions that wait for `tidy`, or for a capture or scrub to end; no part of the state."""
        return self._keyspace.held_size_bytes

    @property
    def size_bytes(self) -> int:
        """Of the whole; see `tally`. The same on every member, whatever it has tidied up."""
        return self._keyspace.size_bytes + self._sessions.size_bytes

    def revision_to_compact(self, revisions_max: int, size_bytes_max: int) -> int | None:
        """Returns the least revision to compact to so that history has at most so many revisions and bytes.

        None if it has. Costs a bisection.
        """
        return self._keyspace.revision_to_compact(revisions_max, size_bytes_max)

    # --- reading --------------------------------------------------------------------------------

    def range(self, query: Range, size_bytes_max: int | None = None) -> RangeResult | Failure:
        """Reads keys; a Failure if history does not hold the revision asked for.

        With `size_bytes_max` the result ends early, with `more` set, before its items grow beyond that many bytes as
        messages (see `view.size_of`); at least one item is returned.
        """
        view = self._keyspace.at(query.revision)
        return view if isinstance(view, Failure) else read_range(view, query, size_bytes_max)

    def evaluate(self, txn: Txn) -> TxnResult | Failure:
        """Runs a transaction that only reads, within the same bounds as one that writes.

        One that writes is a mistake of the caller's (AssertionError).
        """
        if nests_too_deep(txn):
            return UNDECODABLE
        transaction = Transaction(self._keyspace, self._sessions)
        result = transaction.txn(txn)
        assert not transaction.changed, "a transaction that writes must go through the log"
        return result

    def batches(self, first_revision: int, limit: int) -> Sequence[Batch] | Failure:
        """Returns history from a revision on, at most `limit` batches; a Failure if its start was compacted."""
        return self._keyspace.batches(first_revision, limit)

    def session(self, id: int) -> Session | None:
        return self._sessions.get(id)

    def sessions(self, start_after: int = 0) -> Iterator[Session]:
        """Yields the sessions with a greater id, ascending; to be used up before the next `apply`."""
        return self._sessions.above(start_after)

    def session_keys(self, id: int) -> tuple[bytes, ...]:
        """Returns the keys that a session owns, ascending."""
        return self._keyspace.keys_of(id)

    def session_key_count(self, id: int) -> int:
        return self._keyspace.key_count_of(id)

    def foresee(self, request: RequestId) -> Failure | None:
        """Returns the Failure of a numbered request for which its session, as known here, keeps too many results.

        None says nothing: the session may not be known here yet, and what is on its way may fill the window.
        """
        return self._sessions.foresee(request)

    # --- the whole ------------------------------------------------------------------------------

    def capture(self) -> Capture:
        """Returns the state as it is, held still until it is read or released."""
        return Capture(self._hold())

    def _hold(self) -> Hold:
        return Hold(self._keyspace, self._sessions, self._cluster_id, self._leader_term)

    @staticmethod
    def prepare(slices: Iterable[bytes]) -> Prepared:
        """Returns the state whose capture was read as these slices, cut in whatever way, for `restore` to take.

        Touches no machine, and may run on any thread. Raises DamageError if the bytes are not a state.
        """
        return snapshot.prepare(slices)

    def restore(self, prepared: Prepared) -> None:
        """Replaces the state with one that `prepare` returned, and that is put to use but once.

        Quick: what is replaced is freed by `tidy`.
        """
        self._leftovers.add(self._keyspace, self._sessions)
        head, self._keyspace, self._sessions = prepared.take()
        self._cluster_id, self._leader_term = head.cluster_id, head.leader_term

    def digest(self) -> str:
        """Returns a hash of the state, equal for equal states: 128 bits, in hexadecimal. Takes some microseconds."""
        return self._tally().digest(
            self.revision, self.compacted_revision, self._cluster_id, self._leader_term
        )

    def scrub(self) -> Scrub:
        """Returns what checks, step by step, that the content of memory is what the digest says."""
        return Scrub(self._hold(), self._tally())

    def _tally(self) -> Tally:
        keyspace, sessions = self._keyspace, self._sessions
        return Tally(
            keyspace.hash_of_keys,
            keyspace.hash_of_history,
            sessions.hash_of_sessions,
            sessions.hash_of_results,
            keyspace.hash_of_counters,
            self.size_bytes,
        )

    @property
    def untidy(self) -> bool:
        """Whether `tidy` has something to do. It may again when a capture was read or released."""
        return self._keyspace.untidy or self._leftovers.waiting

    def tidy(self, budget: int) -> bool:
        """Frees what compaction and `restore` left and no capture holds, in about `budget` steps; True if more is left.

        Changes nothing to be seen.
        """
        return self._keyspace.tidy(budget) or self._leftovers.free(budget)

    # --- applying -------------------------------------------------------------------------------

    def apply(self, entry: bytes) -> Applied:
        """Applies the commands of an entry, one by one; what can't be decoded changes nothing."""
        try:
            proposals = commands.decode_bundle(entry)
        except _UNREADABLE:
            return Applied([], [], [], [])
        applied = self._applied = Applied([], [], [], [])
        elected: int | None = None
        check: int | None = None
        for raw in proposals:
            origin = number = 0
            result: Result
            try:
                proposal = commands.decode_proposal(raw)
                origin, number = proposal.origin, proposal.number
                command = commands.decode_command(proposal.command)
            except _UNREADABLE:
                revision, result = self.revision, UNDECODABLE
            else:
                revision, result = self._execute(command)
                if isinstance(command, LeaderElected):
                    elected = command.term
                elif isinstance(command, DigestCheck):
                    check = command.definition
            applied.outcomes.append(Outcome(origin, number, revision, result))
        if elected is not None or check is not None:
            applied = msgspec.structs.replace(applied, elected=elected, check=check)
        return applied

    def _execute(self, command: Command) -> tuple[int, Result]:
        """Executes a command, or finds what it came to before; returns the revision after it, and the result."""
        request = _request_of(command)
        if request is None:
            result = self._change(command)
            return self._keyspace.revision, result  # The change has moved the revision.
        if request.session not in self._sessions:
            return self._keyspace.revision, Failure(
                Code.REQUEST_FORGOTTEN,
                "the session that numbered the request does not exist",
                value=request.session,
            )
        stored = self._sessions.admit(request)
        if isinstance(stored, Failure):
            return self._keyspace.revision, stored
        if stored is not None:
            return stored
        result = self._change(command)
        self._sessions.keep(request.session, request.sequence, self._keyspace.revision, result)
        return self._keyspace.revision, result

    def _change(self, command: Command) -> Result:
        if isinstance(command, Write):
            return self._write(command)
        if isinstance(command, SessionOpen):
            return self._open(command)
        if isinstance(command, SessionClose):
            return self._close(command)
        if isinstance(command, SessionExpire):
            return self._expire(command)
        if isinstance(command, Compact):
            return self._keyspace.compact(command.revision) or Done()
        if isinstance(command, DigestCheck):
            return Done()
        return self._elect(command)

    def _write(self, command: Write) -> Result:
        op = command.op
        result: Result
        if isinstance(op, Put) and not op.sequence:
            result, batch = put_alone(self._keyspace, self._sessions, op)
        else:
            if isinstance(op, Txn) and nests_too_deep(op):
                return UNDECODABLE
            transaction = Transaction(self._keyspace, self._sessions)
            result = transaction.run(op)
            batch = None if isinstance(result, Failure) else transaction.commit()
        if batch is not None:
            self._applied.batches.append(batch)
        return result

    def _open(self, command: SessionOpen) -> Result:
        if command.id <= 0:
            return UNDECODABLE
        if command.id in self._sessions:
            return Failure(Code.SESSION_EXISTS, "the session exists already", value=command.id)
        session = Session(
            command.id,
            command.ttl_ms,
            command.disconnect_grace_ms,
            tuple(sorted(command.metadata)),
            self._keyspace.revision,
        )
        self._sessions.open(session)
        self._applied.opened.append(session)
        return SessionResult(session)

    def _close(self, command: SessionClose) -> Result:
        if command.id not in self._sessions:
            return Failure(Code.SESSION_NOT_FOUND, "the session does not exist", value=command.id)
        return self._end(command.id, Cause.SESSION_CLOSED)

    def _expire(self, command: SessionExpire) -> Result:
        if self._leader_term and command.term == self._leader_term:
            wills = read_wills(command)
            for id in command.ids:
                if id in self._sessions:
                    self._end(id, command.cause, wills.get(id))
        return Done()

    def _end(self, id: int, cause: Cause, will: Will | None = None) -> SessionResult:
        estate = settle(self._keyspace, id, cause, will)
        for heir in estate.heirs:
            if heir.id not in self._sessions:
                self._open(SessionOpen(heir.id, heir.ttl_ms, None, heir.metadata))
        if estate.events:
            self._applied.batches.append(self._keyspace.commit(estate.events))
        self._applied.ended.append(id)
        return SessionResult(self._sessions.end(id), estate.deleted)

    def _elect(self, command: LeaderElected) -> Result:
        self._leader_term = max(self._leader_term, command.term)
        if not self._cluster_id:
            self._cluster_id = max(command.cluster_id, 0)
        return Done()


def _request_of(command: Command) -> RequestId | None:
    if isinstance(command, (Write, Compact)):
        return command.request
    if isinstance(command, SessionClose):
        request = command.request
        # A session's table ends with it: there is nowhere to keep the result.
        return None if request is not None and request.session == command.id else request
    return None
