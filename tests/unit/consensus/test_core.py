"""`SyncObj` under our names; its behaviour among others is in test_guard.py and test_member.py."""

from __future__ import annotations

from pathlib import Path

import pysyncobj.syncobj
import pytest

from coordinator.consensus.codec import Message, RequestVote
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.log import MEMBERS, NO_OP, REGULAR
from coordinator.consensus.interface import Role
from coordinator.consensus.journal import Journal
from coordinator.consensus.settings import EngineConfig
from coordinator.errors import FatalError
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import make_peers


class Hooks:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.held: list[tuple[int, Message]] = []
        self.acknowledged: list[tuple[int, int]] = []
        self.quorum = 0
        self.campaigning = False
        self.transfer_term = 0
        self.changed: list[int] = []

    def send_when_durable(self, member: int, message: Message) -> None:
        self.held.append((member, message))

    def may_campaign(self) -> bool:
        return self.campaigning

    def transfers(self, term: int) -> bool:
        return term == self.transfer_term

    def log_changed(self, first_index: int) -> None:
        self.changed.append(first_index)

    def acknowledge(self, member: int, match: int) -> None:
        self.acknowledged.append((member, match))

    def send_heartbeats(self) -> None:
        self.calls.append("heartbeats")

    def apply_committed(self) -> None:
        self.calls.append("apply")

    def term_begins(self) -> None:
        self.calls.append("term begins")

    def leadership_ends(self) -> None:
        self.calls.append("leadership ends")

    def quorum_index(self) -> int:
        return self.quorum


def make(folder: Path, disk: FaultDisk | None = None) -> tuple[Core, Hooks, Journal]:
    config = EngineConfig(
        name="n1", peers=make_peers(3), cluster_key=1, data_dir=folder, client_address=""
    )
    hooks, journal = Hooks(), Journal(disk or FaultDisk(), 1 << 20)
    return Core(config, journal, hooks, {1, 2, 3}), hooks, journal


def lead(core: Core, hooks: Hooks) -> None:
    hooks.campaigning = True
    core.hasten_election(0)
    core.tick()
    core.take_vote(2, core.term)


def test_a_new_log_begins_with_the_same_entry_everywhere(tmp_path: Path) -> None:
    core, _, journal = make(tmp_path)
    assert [(e.content, e.index, e.term) for e in journal.entries] == [(NO_OP, 1, 0)]
    assert (core.commit_index, core.applied_index, core.term, core.vote) == (1, 1, 0, None)
    assert core.role is Role.FOLLOWER
    assert core.leader is None
    assert sorted(core.others) == [2, 3]
    assert core.is_voter(2)
    assert not core.is_voter(1)
    assert not core.is_voter(9)


def test_the_journal_factory_is_put_back(tmp_path: Path) -> None:
    factory = pysyncobj.syncobj.createJournal
    make(tmp_path)
    assert pysyncobj.syncobj.createJournal is factory


def test_a_campaign_asks_all_others_and_records_the_vote(tmp_path: Path) -> None:
    core, hooks, journal = make(tmp_path)
    core.hasten_election(0)
    core.tick()
    assert not hooks.held, "it may not campaign"
    hooks.campaigning = True
    core.hasten_election(0)
    core.tick()
    assert core.role is Role.CANDIDATE
    assert sorted(hooks.held, key=lambda held: held[0]) == [
        (member, RequestVote(1, 1, 0)) for member in (2, 3)
    ]
    assert (journal.term, journal.vote) == (1, 1)


def test_a_leader_opens_its_term_and_steps_down_without_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core, hooks, journal = make(tmp_path)
    lead(core, hooks)
    assert core.leading
    assert core.leader == 1
    assert hooks.calls[-2:] == ["term begins", "heartbeats"]
    assert journal.entries[-1].content == NO_OP
    assert not core.term_opened
    later = core.now() + 0.9 * core.conf.leaderFallbackTimeout
    monkeypatch.setattr(pysyncobj.syncobj, "monotonicTime", lambda: later)
    core.tick()
    assert core.leading
    core.note_answer(2)
    later += 0.9 * core.conf.leaderFallbackTimeout
    core.tick()
    assert core.leading, "one answer is a quorum of three"
    later += 1.2 * core.conf.leaderFallbackTimeout
    core.tick()
    assert core.role is Role.FOLLOWER
    assert hooks.calls.count("leadership ends") == 1
    core.tick()
    assert core.role.name == "FOLLOWER", "it leaves the others time to campaign"


def test_the_commit_index_needs_matches_and_the_quorum_index(tmp_path: Path) -> None:
    core, hooks, _ = make(tmp_path)
    lead(core, hooks)
    assert core.append(b"entry") == 3
    core.raise_match_index(2, 3)
    hooks.quorum = 2
    core.tick()
    assert core.commit_index == 2
    assert core.term_opened
    hooks.quorum = 3
    core.tick()
    assert core.commit_index == 3
    core.raise_match_index(2, 1)
    assert core.match_index(2) == 3, "it never falls"


def test_entries_carry_their_kind(tmp_path: Path) -> None:
    core, hooks, _ = make(tmp_path)
    lead(core, hooks)
    entry = core.entry(core.append(b"mine"))
    assert entry is not None
    assert entry.content == REGULAR + b"mine"
    assert core.term_at(entry.index) == core.term
    with pytest.raises(FatalError):
        core.term_at(99)


def test_nothing_of_the_original_that_we_replaced_can_run(tmp_path: Path) -> None:
    core, _, _ = make(tmp_path)
    with pytest.raises(FatalError):
        core._applyCommand(b"", None)
    with pytest.raises(FatalError):
        core.setCodeVersion(0)
    with pytest.raises(FatalError):
        core._SyncObj__doApplyCommand(b"")
    with pytest.raises(FatalError):
        core._SyncObj__loadDumpFile(False)
    with pytest.raises(FatalError):
        core._SyncObj__sendNextNodeIdx(None, reset=True)
    with pytest.raises(FatalError):
        core._SyncObj__transport.send(None, {"type": "apply_command"})
    core._SyncObj__tryLogCompaction()
    core._SyncObj__parseChangeClusterRequest(b"\x02poison")


def test_a_commit_index_beyond_the_journal_is_cut_to_it(tmp_path: Path) -> None:
    """Entries that come later must not find themselves committed."""
    disk = FaultDisk()
    _, _, journal = make(tmp_path, disk)
    for index in range(2, 11):
        journal.append(REGULAR, index, 1)
    journal.commit_index = 32
    journal.sync()
    core, hooks, _ = make(tmp_path, disk)
    assert core.commit_index == 10
    core.take_leader(2, 5, 4)
    assert core.commit_index == 10
    assert core.term == 5
    assert not hooks.held


def test_the_term_is_at_least_that_of_the_log(tmp_path: Path) -> None:
    disk = FaultDisk()
    _, _, journal = make(tmp_path, disk)
    journal.append(REGULAR, 2, 7)
    journal.sync()
    core, _, _ = make(tmp_path, disk)
    assert core.term == 7
    assert core.vote is None


def test_adopting_a_snapshot(tmp_path: Path) -> None:
    core, _, journal = make(tmp_path)
    for index in range(2, 11):
        journal.append(REGULAR, index, 1)
    core.adopt_snapshot(5, 1)
    assert (core.applied_index, core.commit_index, core.last_index) == (5, 5, 10)
    core.adopt_snapshot(8, 2)
    assert (core.applied_index, core.commit_index, core.last_index) == (8, 8, 8)
    assert core.first_index == 8
    assert core.term == 2


def test_quorums(tmp_path: Path) -> None:
    core, _, _ = make(tmp_path)
    assert not core.is_quorum(0)
    assert core.is_quorum(1)


def test_an_election_that_the_leader_asked_for_says_so(tmp_path: Path) -> None:
    core, hooks, _ = make(tmp_path)
    hooks.transfer_term = 1
    lead(core, hooks)
    assert [held for _, held in hooks.held[:2]] == [RequestVote(1, 1, 0, True)] * 2


def test_voters_come_and_go(tmp_path: Path) -> None:
    core, hooks, _ = make(tmp_path)
    lead(core, hooks)
    core.raise_match_index(9, 1)
    core.set_voters({1, 2, 3, 9, 10}, standing=True)
    assert sorted(core.others) == [2, 3, 9, 10]
    assert not core.is_quorum(1) and core.is_quorum(2)
    assert core.match_index(9) == 1, "what is known of a learner's log is kept"
    assert core.match_index(10) == 0
    core.set_voters({2, 3}, standing=True)
    assert not core.voting and core.standing
    assert not core.is_quorum(1) and core.is_quorum(2)
    assert sorted(core.others) == [2, 3]


def test_a_configuration_counts_as_soon_as_it_is_in_the_log(tmp_path: Path) -> None:
    core, hooks, journal = make(tmp_path)
    lead(core, hooks)
    index = core.append_members(b"configuration")
    assert journal.entries[-1].content == MEMBERS + b"configuration"
    assert hooks.changed == [index]


def test_a_follower_that_hears_nobody_forgets_its_leader(tmp_path: Path) -> None:
    core, _, _ = make(tmp_path)
    core.take_leader(2, 1)
    core.tick()
    assert core.leader == 2
    core.hasten_election(0)  # and there is nobody to campaign with
    core.tick()
    assert core.leader is None and core.role is Role.FOLLOWER and core.term == 1
    core.take_leader(2, 1)
    assert core.leader == 2
