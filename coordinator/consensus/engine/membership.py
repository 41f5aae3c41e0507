"""Who belongs to the cluster, as the log says, and changes of it: one at a time (Ongaro 2014, chapter 4).

The newest configuration in the log counts, committed or not. It follows from the snapshot and the log alone: cutting
entries brings back the configuration before them, and a snapshot carries that of its own index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coordinator.consensus.configuration import (
    Configuration,
    decode_configuration,
    encode_configuration,
    moved,
    promoted,
    with_learner,
    without,
)
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.log import MEMBERS
from coordinator.consensus.interface import (
    AddLearner,
    MemberChange,
    Move,
    Peer,
    Promote,
    Remove,
)
from coordinator.consensus.journal import Journal
from coordinator.errors import FatalError, OutcomeUnknown, RequestError, Status

LEARNER_LAG_MAX = 1_000
"""Entries that a learner may be behind when it is promoted."""


class History:
    """The configurations of a log, by the index of the entry that brought each."""

    def __init__(self, base: Configuration, journal: Journal, base_index: int) -> None:
        """`base` is the configuration at `base_index`: that of the newest snapshot, or the first one of all."""
        self._journal = journal
        self._rebase(base, base_index)
        self.log_changed(base_index + 1)

    def _rebase(self, base: Configuration, base_index: int) -> None:
        self._base = base
        self._base_index = base_index
        self._changes: list[tuple[int, Configuration]] = []

    @property
    def newest(self) -> Configuration:
        return self._changes[-1][1] if self._changes else self._base

    @property
    def newest_index(self) -> int:
        """Index of the entry that brought the newest configuration."""
        return self._changes[-1][0] if self._changes else self._base_index

    def at(self, index: int) -> Configuration:
        """The configuration as of an entry that is not before the snapshot's."""
        return next((c for i, c in reversed(self._changes) if i <= index), self._base)

    def log_changed(self, first_index: int) -> bool:
        """Entries from an index on are others than before. Returns whether the newest configuration may be another."""
        first = max(first_index, self._base_index + 1)
        cut = bool(self._changes) and self._changes[-1][0] >= first
        while self._changes and self._changes[-1][0] >= first:
            self._changes.pop()
        found = False
        if self._journal.entries:
            start = max(0, first - self._journal.first_index)
            for entry in self._journal.entries[start:]:
                if entry.content[:1] == MEMBERS and entry.index >= first:
                    self._changes.append((entry.index, read_members(entry.content)))
                    found = True
        return cut or found

    def snapshot_taken(self, index: int) -> None:
        """Configurations up to an index are in a snapshot on disk."""
        if index > self._base_index:
            base = self.at(index)
            self._changes = [change for change in self._changes if change[0] > index]
            self._base, self._base_index = base, index

    def snapshot_adopted(self, index: int, configuration: Configuration) -> None:
        """The leader's snapshot took the place of the log up to its index."""
        self._rebase(configuration, index)
        self.log_changed(index + 1)


def read_members(content: bytes) -> Configuration:
    """The configuration in an entry of the kind MEMBERS. Raises FatalError."""
    try:
        return decode_configuration(content[1:])
    except (ValueError, RecursionError) as error:
        raise FatalError(f"an entry about the members can't be read: {error}") from None


class Membership:
    """The leader's side of changes."""

    def __init__(
        self,
        core: Core,
        history: History,
        responsive: Callable[[int], bool],
        transferring: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        """`responsive` says whether a member answered lately, `changed` is called when the log has another one."""
        self._core = core
        self._history = history
        self._responsive = responsive
        self._transferring = transferring
        self._changed = changed
        self._waiting: tuple[int, int, asyncio.Future[bool]] | None = None
        """(index, term, future) of the change under way here; the future is False if it was lost."""

    async def change(self, change: MemberChange, *, force: bool, timeout_s: float) -> None:
        """See `interface.Consensus.change_members`."""
        core = self._core
        self._check_ready()
        configuration = self._next(change)
        self._check_learner(change)
        if not force:
            self._check_quorum(change, configuration)
        index = core.append_members(encode_configuration(configuration))
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting = (index, core.term, future)
        self._changed()
        try:
            async with asyncio.timeout(timeout_s):
                if await future:
                    return
        except TimeoutError:
            pass
        finally:
            if self._waiting is not None and self._waiting[2] is future:
                self._waiting = None
        raise OutcomeUnknown("the change of the members was not seen to be committed")

    def drive(self) -> None:
        """Tells whoever waits for a change what became of it."""
        if self._waiting is None:
            return
        index, term, future = self._waiting
        if self._core.applied_index >= index and not future.done():
            entry = self._core.entry(index)
            future.set_result(entry is not None and entry.term == term)

    def stop(self) -> None:
        """Nothing more will be known."""
        if self._waiting is not None and not self._waiting[2].done():
            self._waiting[2].set_result(False)

    def _check_ready(self) -> None:
        core = self._core
        if not core.leading or self._transferring():
            raise RequestError(
                Status.UNAVAILABLE, "NOT_LEADER", "only the leader can change the members"
            )
        # Until the first entry of its term is committed, a leader may not know of a change of the term before
        # (Ongaro 2015, "bug in single-server membership changes").
        if not core.term_opened or self._history.newest_index > core.commit_index:
            raise RequestError(
                Status.ABORTED, "CHANGE_UNDER_WAY", "another change of the members is under way"
            )

    def _next(self, change: MemberChange) -> Configuration:
        present = self._history.newest
        match change:
            case AddLearner():
                return with_learner(present, Peer(change.id, change.name, change.address))
            case Promote():
                return promoted(present, change.id)
            case Remove():
                if change.id == self._core.this:
                    raise RequestError(
                        Status.FAILED_PRECONDITION,
                        "IS_LEADER",
                        "the leader must hand over before it can be removed",
                    )
                return without(present, change.id)
            case Move():
                return moved(present, change.id, change.address)

    def _check_learner(self, change: MemberChange) -> None:
        """One that is not there, or has not got the log, would only count against the majority."""
        core = self._core
        if isinstance(change, Promote):
            behind = core.last_index - core.match_index(change.id)
            if behind > LEARNER_LAG_MAX or not self._responsive(change.id):
                raise RequestError(
                    Status.FAILED_PRECONDITION,
                    "LEARNER_BEHIND",
                    f"the learner is {behind} entries behind, or does not answer: wait until it has caught up",
                )

    def _check_quorum(self, change: MemberChange, configuration: Configuration) -> None:
        core = self._core
        if isinstance(change, Promote | Remove):
            voters = configuration.voters
            well = [id for id in voters if id == core.this or self._responsive(id)]
            if 2 * len(well) <= len(voters):
                raise RequestError(
                    Status.FAILED_PRECONDITION,
                    "QUORUM_AT_RISK",
                    f"of {len(voters)} voters only {len(well)} would be at hand: bring the others back first, "
                    "or force the change",
                )
