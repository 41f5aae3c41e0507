"""Mutations: linearizable reads, changes of the members, transfers of leadership."""

from __future__ import annotations

from tests.mutations.mutation import of_consensus

READS = [
    of_consensus(
        "reads-need-a-quorum",
        "engine/reads",
        "if not self._core.is_quorum(len(probe.answers)):",
        "if False:",
        "reads",
    ),
    of_consensus(
        "reads-wait-for-the-term",
        "engine/reads",
        "if not self._core.term_opened:",
        "if False:",
        "reads",
    ),
    of_consensus(
        "answers-to-this-probe-only",
        "engine/reads",
        "if probe is None or probe.round != round_:",
        "if probe is None:",
        "reads",
    ),
    of_consensus(
        "probe-answers-of-voters-only",
        "engine/guard",
        "if self._core.is_voter(member):\n                        self._reads",
        "if True:\n                        self._reads",
        "reads",
    ),
    of_consensus(
        "reads-wait-until-applied",
        "engine/reads",
        "self._ready[0][0] <= self._core.applied_index:",
        "self._ready[0][0] <= self._core.last_index:",
        "reads",
    ),
    of_consensus(
        "rounds-of-this-run-only",
        "engine/reads",
        "itertools.count(secrets.randbits(61))",
        "itertools.count(1)",
        "reads",
    ),
    of_consensus(
        "replies-of-the-leader-asked",
        "engine/reads",
        "(inquiry.leader, inquiry.round) == (member, round_):",
        "inquiry.round == round_:",
        "reads",
    ),
    of_consensus(
        "old-leaders-are-not-confirmed",
        "engine/guard",
        "if self._accept_leader(member, message.term):\n                    self._send(member, ProbeAck",
        "if True:\n                    self._send(member, ProbeAck",
        "reads",
    ),
    of_consensus(
        "confirmations-end-with-the-term",
        "engine/reads",
        "        for confirmation in self._confirmations.take():\n            _resolve(confirmation, None)\n",
        "",
        "reads",
    ),
]


MEMBERS = [
    of_consensus(
        "one-change-at-a-time",
        "engine/membership",
        "if not core.term_opened or self._history.newest_index > core.commit_index:",
        "if not core.term_opened:",
        "membership",
    ),
    of_consensus(
        "changes-wait-for-the-term",
        "engine/membership",
        "if not core.term_opened or self._history.newest_index > core.commit_index:",
        "if self._history.newest_index > core.commit_index:",
        "membership",
    ),
    of_consensus(
        "changes-keep-a-quorum",
        "engine/membership",
        "if 2 * len(well) <= len(voters):",
        "if False:",
        "membership",
    ),
    of_consensus(
        "cut-configurations-do-not-count",
        "engine/membership",
        "while self._changes and self._changes[-1][0] >= first:",
        "while False:",
        "membership",
    ),
    of_consensus(
        "removed-told-once-committed",
        "engine/parts",
        "self.transport.set_peers(self.members, self._committed_members.removed)",
        "self.transport.set_peers(self.members, self.history.newest.removed)",
        "membership",
    ),
    of_consensus(
        "candidates-told-once-committed",
        "engine/parts",
        "removed=lambda member: member in self._committed_members.removed,",
        "removed=lambda member: member in self.history.newest.removed,",
        "membership",
    ),
    of_consensus(
        "removed-candidates-are-told",
        "engine/guard",
        "if self._removed(member):",
        "if False:",
        "membership",
    ),
    of_consensus(
        "removed-stop-once-committed",
        "engine/parts",
        "if index == self._settled_index or index > self.core.applied_index:",
        "if index == self._settled_index:",
        "membership",
    ),
    of_consensus(
        "removed-ids-stay-away",
        "configuration",
        "if peer.id in configuration.removed or configuration.get(peer.id) is not None:",
        "if configuration.get(peer.id) is not None:",
        "configuration",
    ),
    of_consensus(
        "the-last-voter-stays",
        "configuration",
        "if configuration.voters == {id}:",
        "if False:",
        "configuration",
    ),
    of_consensus(
        "handover-appends-nothing",
        "engine/handover",
        "return self._done is not None\n",
        "return False\n",
        "handover",
    ),
    of_consensus(
        "handover-once-caught-up",
        "engine/handover",
        "target is None or core.match_index(target) < core.last_index:",
        "target is None:",
        "handover",
    ),
]


MUTATIONS = [*READS, *MEMBERS]
