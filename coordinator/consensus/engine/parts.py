"""The parts of a running engine, joined: what `SyncObj` asks for reaches the part that answers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from coordinator.consensus.codec import Farewell, Message
from coordinator.consensus.configuration import Configuration, configuration_of
from coordinator.consensus.engine.applier import Applier
from coordinator.consensus.engine.background import BackgroundThread
from coordinator.consensus.engine.compaction import Compaction
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.driver import Driver
from coordinator.consensus.engine.durability import Durability
from coordinator.consensus.engine.elections import Elections
from coordinator.consensus.engine.guard import Guard
from coordinator.consensus.engine.handover import Handover
from coordinator.consensus.engine.membership import History, Membership
from coordinator.consensus.engine.reads import Reads
from coordinator.consensus.engine.replication import Replication
from coordinator.consensus.engine.storage import Storage
from coordinator.consensus.engine.transfer import SnapshotReceiver, SnapshotSender
from coordinator.consensus.interface import Application, ConsensusStatus, Role
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Snapshot
from coordinator.consensus.transport import Transport
from coordinator.errors import MemberRemoved

_log = logging.getLogger(__name__)


class Parts:
    """Implements `hooks.CoreHooks`. Lives from the opening of the folder to its end."""

    def __init__(
        self,
        config: EngineConfig,
        application: Application,
        transport: Transport,
        storage: Storage,
        *,
        failed: Callable[[BaseException], None],
    ) -> None:
        """`failed` takes what must stop this member."""
        self.config = config
        self.application = application
        self.transport = transport
        self.storage = storage
        self.failed = failed
        self.members = configuration_of(config.peers).peers
        self.ended = False
        """Whether this member takes no part any more."""
        self._settled_index = 0
        self._reported: tuple[object, ...] = ()
        newest = storage.newest
        self.journal = storage.journal
        if newest is None:
            self.history = History(storage.first_configuration, self.journal, 1)
        else:
            self.history = History(newest.description.configuration, self.journal, newest.index)
        self.core = Core(config, self.journal, self, self.history.newest.voters)
        self._make_followers()
        self._make_leaders()
        self.guard = Guard(
            self.core,
            self.journal,
            self.durability,
            self.replication,
            self.elections,
            self.reads,
            self.sender,
            self.receiver,
            application,
            transport.send,
            removed=lambda member: member in self._committed_members.removed,
        )

    def _make_followers(self) -> None:
        """What every member needs."""
        config, core, journal, send = self.config, self.core, self.journal, self.transport.send
        self.driver = Driver(
            self._run_pass,
            wait_s=lambda: core.due_at - core.now(),
            again_s=config.tick_ms / 1_000,
            rest_s=min(config.heartbeat_ms / 1_000, config.election_timeout_ms_min / 6_000),
            stalled_s=config.election_timeout_ms_min / 2_000,
            stalled=self._note_stall,
            failed=self.failed,
        )
        self.applier = Applier(
            core,
            self.application,
            slice_s=config.apply_slice_ms / 1_000,
            more=self.driver.kick,
        )
        self.durability = Durability(journal, send, synced=self._note_sync, failed=self.failed)
        self.compaction = Compaction(
            config,
            core,
            journal,
            self.storage.snapshots,
            self.history,
            self.application,
            in_use=lambda: self.sender.in_use,
            changed=self.driver.kick,
            failed=self.failed,
        )
        self.background = BackgroundThread("incoming-snapshot")
        self.receiver = SnapshotReceiver(
            config,
            core,
            self.storage.snapshots,
            send,
            background=self.background,
            install=self._install,
            acknowledge=self.acknowledge,
            failed=self.failed,
        )
        self.reads = Reads(core, send, 2 * config.heartbeat_ms / 1_000)
        self.elections = Elections(config, core, send)

    def _make_leaders(self) -> None:
        """What a member needs when it leads."""
        config, core, send = self.config, self.core, self.transport.send
        self.sender = SnapshotSender(
            config,
            core,
            self.storage.snapshots,
            lambda: self.compaction.newest,
            send,
            self.failed,
        )
        self.replication = Replication(
            config, core, self.journal, send, self.transport.connected, self.sender
        )
        self.handover = Handover(
            core,
            send,
            self.transport.connected,
            2 * config.heartbeat_ms / 1_000,
            self.driver.kick,
        )
        self.membership = Membership(
            core,
            self.history,
            responsive=lambda m: core.answered_within(m, config.election_timeout_ms_max / 1_000),
            transferring=lambda: self.handover.active,
            changed=self.driver.kick,
        )

    def recover(self) -> None:
        """Brings the application to where it was. Raises OSError or DamageError."""
        newest = self.storage.newest
        if newest is not None:
            prepared = self.application.prepare(self.storage.snapshots.slices(newest))
            self.application.restore(newest.index, newest.term, prepared)
            self.core.adopt_snapshot(newest.index, newest.term)
            self.compaction.newest = newest
        self.applier.apply_all()
        self._take_members()
        self._settle_members()
        self.storage.settle()

    @property
    def status(self) -> ConsensusStatus:
        """See `interface.Consensus`."""
        core, newest = self.core, self.compaction.newest
        return ConsensusStatus(
            role=core.role if core.voting or core.leading else Role.LEARNER,
            term=core.term,
            leader=core.leader,
            commit_index=core.commit_index,
            applied_index=core.applied_index,
            last_index=core.last_index,
            snapshot_index=self.compaction.newest_index,
            journal_size_bytes=self.journal.size_bytes,
            snapshot_size_bytes=newest.size if newest is not None else 0,
        )

    def end_waiting(self) -> None:
        """Ends everything that waits for this member, which takes no part any more."""
        self.ended = True
        self.driver.stop()
        self.reads.stop()
        self.handover.stop()
        self.membership.stop()

    # hooks.CoreHooks

    def send_when_durable(self, member: int, message: Message) -> None:
        self.durability.hold(member, message)

    def may_campaign(self) -> bool:
        return self.elections.may_campaign()

    def transfers(self, term: int) -> bool:
        return self.elections.transfer_term == term

    def log_changed(self, first_index: int) -> None:
        if self.history.log_changed(first_index):
            self._take_members()

    def acknowledge(self, member: int, match: int) -> None:
        self.guard.acknowledge(member, match)

    def send_heartbeats(self) -> None:
        self.replication.send_heartbeats()

    def apply_committed(self) -> None:
        self.applier.apply_committed()
        self.reads.release()

    def term_begins(self) -> None:
        self.replication.begin_term()

    def leadership_ends(self) -> None:
        self.replication.end_term()
        self.reads.leadership_ends()
        self.handover.leadership_ends()

    def quorum_index(self) -> int:
        return self.replication.quorum_index()

    # Passes.

    def _run_pass(self) -> None:
        """One pass: commit and apply what is decided, send what is new, sync what is not on disk."""
        self.elections.drive()
        self.core.tick()
        if self.core.leading:
            self.replication.drive()
            self.handover.drive()
        self.reads.drive()
        self._settle_members()
        self.membership.drive()
        self.compaction.drive()
        self.durability.drive()
        core = self.core
        reported = (core.role, core.voting, core.term, core.leader)
        if reported != self._reported:
            self._reported = reported
            status = self.status
            _log.debug("term %d: %s, leader %s", status.term, status.role.value, status.leader)
            self.application.leadership_changed(status)

    def _note_sync(self) -> None:
        if not self.ended:
            try:
                self.application.ready_to_propose()
            except Exception as error:
                self.failed(error)
            self.driver.run()

    def _note_stall(self) -> None:
        """This program slept: the silence says nothing about the others, who may be waiting to be read."""
        if self.core.leading:
            self.core.forgive_silence()
        else:
            self.core.postpone_election()

    # Members.

    def _take_members(self) -> None:
        """The log names other members than before."""
        configuration = self.history.newest
        self.members = configuration.peers
        this = self.config.this.id
        committed = self.history.at(self.core.commit_index)
        self.core.set_voters(
            configuration.voters, standing=this in configuration.voters or this in committed.voters
        )
        self.replication.set_members(peer.id for peer in self.members if peer.id != this)
        self._tell_transport()
        self.application.members_changed(self.members)

    @property
    def _committed_members(self) -> Configuration:
        return self.history.at(self.core.applied_index)

    def _tell_transport(self) -> None:
        # That somebody was removed is told to nobody before it is committed.
        self.transport.set_peers(self.members, self._committed_members.removed)

    def _settle_members(self) -> None:
        """Looks whether the newest configuration is committed by now.

        Raises MemberRemoved if this member does not belong to it any more.
        """
        index = self.history.newest_index
        if index == self._settled_index or index > self.core.applied_index:
            return
        self._settled_index = index
        self._tell_transport()
        for member in self.history.newest.removed:
            # One that has not got its removal yet, or not its commit, may hear of it from nobody else.
            self.transport.send(member, Farewell())
        if self.config.this.id in self.history.newest.removed:
            raise MemberRemoved

    async def _install(self, snapshot: Snapshot) -> None:
        """Puts the leader's snapshot in the place of state and log, if it is ahead of them."""
        if not self.ended and snapshot.index > self.core.commit_index:
            slices = self.storage.snapshots.slices(snapshot)
            prepared = await self.background.run(self.application.prepare, slices)
            # Entries may have come from elsewhere meanwhile.
            if not self.ended and snapshot.index > self.core.commit_index:
                self.application.restore(snapshot.index, snapshot.term, prepared)
                self.core.adopt_snapshot(snapshot.index, snapshot.term)
                self.history.snapshot_adopted(snapshot.index, snapshot.description.configuration)
                self._take_members()
                self.reads.release()
                _log.info("took over the leader's snapshot of entry %d", snapshot.index)
        if not self.ended:
            self.compaction.note_received(snapshot)
            self.driver.kick()
