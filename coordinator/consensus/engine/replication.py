"""How a leader brings its log to the followers.

A follower whose log is known to continue the leader's gets entries in the pass they were appended, many messages ahead
of its acknowledgements; nothing that is on its way is sent again. One whose log is not known yet (after an election, a
new connection or a rejection) is probed with one message at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from coordinator.consensus.codec import Append, AppendAck, Message
from coordinator.consensus.engine.core import Core
from coordinator.consensus.journal import Journal
from coordinator.consensus.settings import EngineConfig


@dataclass
class Progress:
    """What a leader knows about one follower in its term."""

    next_index: int
    """The next entry to send."""
    probing: bool = True
    """Whether it is open where the logs part."""
    awaiting: int | None = None
    """While probing: the `prev_index` of the message with entries that is not answered yet."""
    in_flight: deque[tuple[int, int]] = field(default_factory=deque)
    """(last index, size in bytes) of each message with entries that is not acknowledged yet."""
    in_flight_size_bytes: int = 0
    told_commit_index: int = 0

    def settle(self, match: int) -> None:
        """Forgets what was on its way up to an acknowledged index."""
        while self.in_flight and self.in_flight[0][0] <= match:
            self.in_flight_size_bytes -= self.in_flight.popleft()[1]

    def restart(self, next_index: int) -> None:
        """Nothing is on its way any more: find out again from `next_index` on."""
        self.next_index = next_index
        self.probing = True
        self.awaiting = None
        self.in_flight.clear()
        self.in_flight_size_bytes = 0


class SnapshotFeed(Protocol):
    """Sends snapshots to followers whose next entry is not in the log any more."""

    def feed(self, member: int) -> None: ...

    def note_match(self, member: int, match: int) -> None:
        """The follower has everything up to `match`."""
        ...

    def note_connection(self, member: int) -> None:
        """What was on its way may be lost."""
        ...

    def forget_all(self) -> None: ...


class Replication:
    """The leader's side of log replication (Ongaro 2014, section 3.5)."""

    def __init__(
        self,
        config: EngineConfig,
        core: Core,
        journal: Journal,
        send: Callable[[int, Message], bool],
        connected: Callable[[int], bool],
        snapshots: SnapshotFeed,
    ) -> None:
        self._config = config
        self._core = core
        self._journal = journal
        self._send = send
        self._connected = connected
        self._snapshots = snapshots
        self._members: frozenset[int] = frozenset()
        """The other members, learners too."""
        self._progress: dict[int, Progress] = {}

    def set_members(self, members: Iterable[int]) -> None:
        """Takes note of who belongs to the cluster.

        One that was removed is sent entries until its connection ends: from the log it learns that it was.
        """
        self._members = frozenset(members)
        if self._core.leading:
            for member in sorted(self._members - self._progress.keys()):
                self._progress[member] = Progress(self._core.last_index + 1)

    def begin_term(self) -> None:
        """This member was just elected."""
        self._snapshots.forget_all()
        next_index = self._core.last_index + 1
        self._progress = {member: Progress(next_index) for member in sorted(self._members)}

    def end_term(self) -> None:
        self._progress.clear()
        self._snapshots.forget_all()

    def note_connection(self, member: int, connected: bool) -> None:
        """A connection was made or lost: what was on its way may be gone."""
        self._snapshots.note_connection(member)
        if not connected and member not in self._members:
            self._progress.pop(member, None)
        progress = self._progress.get(member)
        if progress is not None:
            match = self._core.match_index(member)
            progress.restart(match + 1 if match else progress.next_index)
            progress.told_commit_index = 0

    def quorum_index(self) -> int:
        """The highest index on the disks of a quorum; a leader that votes counts for what it has synced itself."""
        core = self._core
        indexes = [core.match_index(member) for member in core.others]
        if core.voting:
            indexes.append(self._journal.synced_index)
        indexes.sort(reverse=True)
        return indexes[len(indexes) // 2]

    def drive(self) -> None:
        """Sends what is new: entries, or the commit index alone."""
        for member, progress in self._progress.items():
            self._feed(member, progress)
            if progress.told_commit_index < self._core.commit_index and not progress.probing:
                self._send_append(member, progress, (), notice=True)

    def send_heartbeats(self) -> None:
        for member, progress in self._progress.items():
            if not self._feed(member, progress):
                self._send_append(member, progress, ())

    def take_ack(self, member: int, ack: AppendAck) -> None:
        """Takes an answer that belongs to this term."""
        progress = self._progress.get(member)
        if progress is None:
            return
        self._core.note_answer(member)
        match = self._core.match_index(member)
        if not ack.rejected:
            if ack.index <= self._core.last_index:
                self._take_match(member, progress, ack.index)
        elif progress.probing:
            # Another rejection than that of the current probe is an echo of one that was dealt with.
            if ack.prev_index == progress.next_index - 1:
                self._go_back(member, progress, min(ack.index, ack.prev_index))
        elif ack.prev_index > match:
            self._go_back(member, progress, max(match + 1, min(ack.index, ack.prev_index)))

    def _go_back(self, member: int, progress: Progress, next_index: int) -> None:
        # All logs begin with the same entry 1: there is nothing before it to ask for.
        progress.restart(max(next_index, 2 if self._core.first_index == 1 else 1))
        progress.told_commit_index = 0
        self._feed(member, progress)

    def _take_match(self, member: int, progress: Progress, match: int) -> None:
        self._core.raise_match_index(member, match)
        self._snapshots.note_match(member, match)
        progress.settle(match)
        if progress.probing and match >= self._core.first_index:
            progress.restart(match + 1)
            progress.probing = False
        else:
            progress.next_index = max(progress.next_index, match + 1)

    def _feed(self, member: int, progress: Progress) -> bool:
        """Sends entries as far as the window allows. Returns whether something was sent."""
        if not self._connected(member):
            return False
        if progress.next_index <= self._core.first_index:
            progress.probing = True
            self._snapshots.feed(member)
            return False
        sent = False
        while progress.next_index <= self._core.last_index and self._window_open(progress):
            entries, size = self._gather(progress.next_index)
            if not self._send_append(member, progress, entries):
                break
            sent = True
            if progress.probing:
                progress.awaiting = progress.next_index - 1
            else:
                progress.next_index += len(entries)
                progress.in_flight.append((progress.next_index - 1, size))
                progress.in_flight_size_bytes += size
        return sent

    def _window_open(self, progress: Progress) -> bool:
        if progress.probing:
            return progress.awaiting is None
        return (
            len(progress.in_flight) < self._config.appends_in_flight_max
            and progress.in_flight_size_bytes < self._config.appends_in_flight_size_bytes_max
        )

    def _gather(self, index: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
        """The entries from an index on that fit in one message, at least one, and their size."""
        entries: list[tuple[int, bytes]] = []
        size = 0
        start = index - self._core.first_index
        for entry in self._journal.entries[start : start + self._config.append_entries_max]:
            if entries and size + len(entry.content) > self._config.append_size_bytes:
                break
            entries.append((entry.term, entry.content))
            size += len(entry.content)
        return tuple(entries), size

    def _send_append(
        self,
        member: int,
        progress: Progress,
        entries: tuple[tuple[int, bytes], ...],
        *,
        notice: bool = False,
    ) -> bool:
        core = self._core
        previous = progress.next_index - 1
        if previous < core.first_index:
            # Its log ends before ours begins. This keeps it from campaigning and says nothing about its log.
            return self._send(member, Append(core.term, 0, 0, 0, ()))
        previous_term, commit_index = core.term_at(previous), core.commit_index
        message = Append(core.term, previous, previous_term, commit_index, entries, notice)
        sent = self._send(member, message)
        if sent:
            progress.told_commit_index = core.commit_index
        return sent
