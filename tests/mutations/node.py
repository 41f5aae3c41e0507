"""Mutations: proposals, sessions, watches and the results of numbered writes."""

from __future__ import annotations

from tests.mutations.mutation import of_node, of_state

PROPOSALS = [
    of_node(
        "proposals-addressed-to-a-term",
        "proposals",
        "leads = status.role is Role.LEADER and status.term == message.term",
        "leads = status.role is Role.LEADER",
        "proposals",
    ),
    of_node(
        "proposals-taken-once",
        "proposals",
        "elif proposal.number > highest:",
        "else:",
        "proposals",
    ),
    of_node(
        "numbers-of-one-run",
        "proposals",
        "if incarnation != message.incarnation:",
        "if False:",
        "proposals",
    ),
    of_node(
        "proposals-of-their-sender",
        "proposals",
        "if proposal.origin != origin:",
        "if False:",
        "proposals",
    ),
    of_node(
        "offered-again-in-a-later-term-only",
        "proposals",
        "self._again(lambda p: 0 < p.sent_term < term)",
        "self._again(lambda p: 0 < p.sent_term <= term)",
        "proposals",
    ),
    of_node(
        "sent-to-one-term-only",
        "proposals",
        "if not p.future.done() and p.sent_term in (0, term)",
        "if not p.future.done()",
        "proposals",
    ),
    of_node(
        "refusals-of-what-was-sent-twice",
        "proposals",
        "if pending is None or (pending.resent and not message.overloaded):",
        "if pending is None:",
        "proposals",
    ),
    of_node(
        "unknown-outcomes-are-told",
        "proposals",
        "if pending.sent_term:\n                error",
        "if False:\n                error",
        "proposals",
    ),
    of_node(
        "unknown-outcomes-at-the-end",
        "proposals",
        "if pending.sent_term\n                    else _unavailable(",
        "if False\n                    else _unavailable(",
        "proposals",
    ),
    of_node(
        "the-inbox-is-bounded",
        "proposals",
        "if self._inbox_size_bytes > self._limits.proposals_size_bytes_max:",
        "if False:",
        "proposals",
    ),
    of_state(
        "numbered-writes-apply-once",
        "sessions",
        "stored = self.results.get(request.sequence)",
        "stored = None",
        "sessions",
    ),
    of_state(
        "acknowledged-numbers-are-gone",
        "sessions",
        "if request.sequence < self.floor:",
        "if False:",
        "sessions",
    ),
    of_state(
        "numbers-of-a-session-that-is-there",
        "machine",
        "if request.session not in self._sessions:",
        "if False:",
        "machine",
    ),
]

SESSIONS = [
    of_state(
        "expiry-of-the-newest-term-only",
        "machine",
        "if self._leader_term and command.term == self._leader_term:",
        "if True:",
        "machine",
    ),
    of_node(
        "deadlines-of-the-own-term-only",
        "sessions",
        "if status.role is Role.LEADER and status.term == term:\n            self._term",
        "if status.role is Role.LEADER:\n            self._term",
        "sessions",
    ),
    of_node(
        "deadlines-of-the-leader-only",
        "sessions",
        "if status.role is Role.LEADER and status.term == term:\n            self._term",
        "if True:\n            self._term",
        "sessions",
    ),
    of_node(
        "deadlines-start-anew",
        "sessions",
        "for session in self._state.sessions():\n                self._start(session, now)",
        "pass",
        "sessions",
    ),
    of_node(
        "keep-alives-are-confirmed",
        "sessions",
        "if await self._consensus.confirm(left) != term or self._term != term:",
        "if self._term != term:",
        "sessions",
        "keepalives",
    ),
    of_node(
        "keep-alives-wait-for-an-expiry",
        "sessions",
        "ending = [self._ending[i] for i in ids if i in self._ending]",
        "ending: list[asyncio.Future[None]] = []",
        "sessions",
    ),
    of_node(
        "no-answer-while-a-session-ends",
        "sessions",
        "if any(i in self._ending for i in ids):",
        "if False:",
        "sessions",
    ),
    of_node(
        "sessions-not-applied-yet-are-not-gone",
        "sessions",
        "if any(self._state.session(i) is None for i in ids):",
        "if False:",
        "sessions",
    ),
    of_node(
        "a-leader-that-stood-still",
        "sessions",
        "if late:",
        "if False:",
        "sessions",
    ),
    of_node(
        "reports-of-the-newest-stream-only",
        "sessions",
        "or self._attachments.get(session_id) != number\n",
        "\n",
        "sessions",
    ),
    of_node(
        "a-grace-shortens-only",
        "sessions",
        "if deadline < self._deadlines[session_id]:",
        "if True:",
        "sessions",
    ),
]

WATCHES = [
    of_node(
        "slow-watches-replay-from-their-queue",
        "watches",
        "if len(watcher.queue) >= backlog_max:\n                watcher.next_revision = watcher.queue[0].revision",
        "if len(watcher.queue) >= backlog_max:\n                watcher.next_revision = matched.revision",
        "watches",
    ),
    of_node(
        "the-backlog-is-bounded",
        "watches",
        "if len(watcher.queue) >= backlog_max:",
        "if False:",
        "watches",
    ),
    of_node(
        "watches-of-the-future-wait",
        "watches",
        "if not watcher.synced or matched.revision < watcher.next_revision:",
        "if not watcher.synced:",
        "watches",
    ),
    of_node(
        "unsynced-watches-own-no-queue",
        "watches",
        "if not watcher.synced or matched.revision < watcher.next_revision:",
        "if matched.revision < watcher.next_revision:",
        "watches",
    ),
    of_node(
        "replaced-states-are-replayed",
        "watches",
        "watcher.next_revision = max(watcher.next_revision, before + 1)",
        "watcher.next_revision = max(watcher.next_revision, self._revision + 1)",
        "watches",
    ),
    of_node(
        "a-gap-is-told",
        "watches",
        "if isinstance(batches, Failure):\n            return Compacted(self._hub.state.compacted_revision)",
        "if isinstance(batches, Failure):\n            watcher.synced = True\n            return []",
        "watches",
    ),
    of_node(
        "no-overlap-with-the-snapshot",
        "watches",
        "watcher.next_revision = watcher.snapshot_revision + 1",
        "watcher.next_revision = watcher.snapshot_revision",
        "watches",
    ),
    of_node(
        "a-canceled-watch-is-silent",
        "watches",
        "if self._watchers.get(watcher.watch_id) is not watcher:",
        "if False:",
        "watches",
    ),
]

MUTATIONS = [*PROPOSALS, *SESSIONS, *WATCHES]
