"""Mutations: what is committed, acknowledged and applied."""

from __future__ import annotations

from tests.mutations.mutation import of_consensus

MUTATIONS = [
    of_consensus(
        "commit-needs-a-quorum-on-disk",
        "engine/core",
        "if count == 1 and fromIDx > self._quorum_index:",
        "if False:",
        "core",
        "durability",
    ),
    of_consensus(
        "leader-counts-itself-once-synced",
        "engine/replication",
        "indexes.append(self._journal.synced_index)",
        "indexes.append(core.last_index)",
        "durability",
    ),
    of_consensus(
        "learners-do-not-count",
        "engine/replication",
        "core.match_index(member) for member in core.others]",
        "core.match_index(member) for member in self._members]",
        "membership",
    ),
    of_consensus(
        "learners-are-no-voters",
        "engine/parts",
        "            configuration.voters, standing=",
        "            [member.id for member in configuration.members], standing=",
        "membership",
    ),
    of_consensus(
        "matches-of-this-term-only",
        "engine/core",
        "self._SyncObj__raftMatchIndex.clear()",
        "pass",
        "core",
        "membership",
    ),
    of_consensus(
        "matches-within-the-log",
        "engine/replication",
        "if ack.index <= self._core.last_index:",
        "if True:",
        "guard",
    ),
    of_consensus(
        "commit-within-the-message",
        "engine/guard",
        "core.take_leader(member, append.term, min(append.commit_index, end))",
        "core.take_leader(member, append.term, append.commit_index)",
        "guard",
    ),
    of_consensus(
        "commit-within-the-journal",
        "engine/log",
        "return max(1, min(self._journal.commit_index, self._journal.last_index))",
        "return max(1, self._journal.commit_index)",
        "core",
        "log",
    ),
    of_consensus(
        "heartbeats-commit-nothing",
        "engine/replication",
        "Append(core.term, 0, 0, 0, ())",
        "Append(core.term, 0, 0, core.commit_index, ())",
        "transfer",
    ),
    of_consensus(
        "matching-entries-stay",
        "engine/guard",
        "if mine is None or mine.term != term:",
        "if True:",
        "guard",
    ),
    of_consensus(
        "gaps-are-rejected",
        "engine/guard",
        "self._reject(member, append.prev_index, core.last_index + 1)",
        "self._acknowledge_known(member, core.last_index, append)",
        "guard",
    ),
    of_consensus(
        "conflict-with-committed-entries",
        "engine/guard",
        "if append.prev_index + 1 + matching <= core.commit_index:",
        "if False:",
        "guard",
    ),
    of_consensus(
        "another-term-at-a-committed-index",
        "engine/guard",
        "if previous.index <= core.commit_index:",
        "if False:",
        "guard",
    ),
    of_consensus(
        "unknown-kinds-stop",
        "engine/guard",
        "if content[:1] not in KINDS:",
        "if False:",
        "guard",
    ),
    of_consensus(
        "acks-wait-for-the-disk",
        "engine/guard",
        "self._durability.hold(member, AppendAck(self._core.term, False, 0, match))",
        "self._send(member, AppendAck(self._core.term, False, 0, match))",
        "durability",
    ),
    of_consensus(
        "known-entries-acked-once-synced",
        "engine/guard",
        "synced = min(end, self._journal.synced_index)",
        "synced = end",
        "durability",
    ),
    of_consensus(
        "votes-wait-for-the-disk",
        "engine/parts",
        "self.durability.hold(member, message)",
        "self.transport.send(member, message)",
        "durability",
    ),
    of_consensus(
        "outbox-waits-for-the-disk",
        "engine/durability",
        "outbox, synced = self._outbox, self._journal.synced_mark",
        "outbox, synced = self._outbox, self._journal.mark",
        "durability",
    ),
    of_consensus(
        "fsync-errors-stop",
        "engine/durability",
        "self._failed(failure)\n            return\n        obsolete",
        "pass\n        obsolete",
        "durability",
    ),
    of_consensus(
        "fsync-errors-are-final",
        "engine/durability",
        "failure.__cause__ = error\n            self._failed(failure)\n            return\n        obsolete",
        "self._journal._running = None\n            return\n        obsolete",
        "durability",
    ),
    of_consensus(
        "nothing-synced-after-a-failure",
        "engine/durability",
        "if not self._abandoned and not self._journal.syncing:",
        "if True:",
        "durability",
    ),
    of_consensus(
        "applied-index-moves-first",
        "engine/applier",
        """        self._core.applied_index = index
        if entry.content[:1] != REGULAR:
            return
        try:
            self._application.apply(index, entry.term, entry.content[1:])
""",
        """        if entry.content[:1] != REGULAR:
            self._core.applied_index = index
            return
        try:
            self._application.apply(index, entry.term, entry.content[1:])
            self._core.applied_index = index
""",
        "applier",
    ),
    of_consensus(
        "raising-application-stops",
        "engine/applier",
        'raise FatalError(f"entry {index} can\'t be applied: {error!r}") from error',
        "pass",
        "applier",
    ),
]
