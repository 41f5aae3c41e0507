"""One member's consensus engine: `SyncObj` with our transport, journal and snapshots around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from coordinator.consensus.codec import Message, Payload
from coordinator.consensus.disk import Disk, LocalDisk
from coordinator.consensus.engine.applier import Applier
from coordinator.consensus.engine.compaction import Compaction
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.driver import Driver
from coordinator.consensus.engine.durability import Durability
from coordinator.consensus.engine.guard import Guard
from coordinator.consensus.engine.pin import check_release
from coordinator.consensus.engine.reads import Reads
from coordinator.consensus.engine.replication import Replication
from coordinator.consensus.engine.transfer import SnapshotReceiver, SnapshotSender
from coordinator.consensus.folder import FORMAT_VERSION, DataFolder, Identity
from coordinator.consensus.interface import Application, ConsensusStatus, Peer
from coordinator.consensus.journal import Journal, damage
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Snapshot, SnapshotStore
from coordinator.consensus.transport import PeerListener, TcpTransport, Transport
from coordinator.errors import ConfigError, FatalError

_log = logging.getLogger(__name__)


class Engine:
    """Implements `interface.Consensus`. Everything is called on one event loop."""

    def __init__(
        self,
        config: EngineConfig,
        application: Application,
        *,
        on_fatal: Callable[[FatalError], None] | None = None,
        disk: Disk | None = None,
        make_transport: Callable[[EngineConfig, PeerListener], Transport] = TcpTransport,
    ) -> None:
        """`on_fatal` is called once, on the loop, when the engine had to stop by itself.

        `disk` and `make_transport` take the place of the data folder's files and of TCP.
        """
        self.config = config
        self.failure: FatalError | None = None
        """Why the engine stopped by itself."""
        self._application = application
        self._on_fatal = on_fatal
        self._disk = disk or LocalDisk(config.data_dir)
        self._transport = make_transport(config, self)
        self._members = tuple(sorted(config.peers, key=lambda peer: peer.name))
        self._client_addresses = {config.this.id: config.client_address}
        self._reported: tuple[object, ...] = ()
        self._started = self._stopped = False
        self._folder: DataFolder | None = None

    # The parts, made when the engine starts.

    _journal: Journal
    _core: Core
    _durability: Durability
    _replication: Replication
    _reads: Reads
    _applier: Applier
    _compaction: Compaction
    _receiver: SnapshotReceiver
    _guard: Guard
    _driver: Driver

    # interface.Consensus

    @property
    def status(self) -> ConsensusStatus:
        core, newest = self._core, self._compaction.newest
        return ConsensusStatus(
            role=core.role,
            term=core.term,
            leader=core.leader,
            commit_index=core.commit_index,
            applied_index=core.applied_index,
            last_index=core.last_index,
            snapshot_index=self._compaction.newest_index,
            journal_size_bytes=self._journal.size_bytes,
            snapshot_size_bytes=newest.size if newest is not None else 0,
        )

    @property
    def members(self) -> tuple[Peer, ...]:
        return self._members

    @property
    def busy(self) -> bool:
        return self._running and self._durability.syncing

    async def start(self) -> None:
        check_release()
        self._folder = DataFolder(self.config.data_dir)
        try:
            self._recover(self._folder)
            await self._transport.start()
        except BaseException as error:
            self._folder.release()
            if isinstance(error, OSError):
                raise ConfigError(
                    f"can't use the data folder {self.config.data_dir}: {error}"
                ) from error
            raise
        self._started = True
        self._receiver.start()
        self._driver.start()

    async def stop(self) -> None:
        if not self._started or self._stopped:
            return
        self._stopped = True
        self._driver.stop()
        self._reads.stop()
        await self._transport.stop()
        await self._receiver.stop()
        await self._compaction.stop()
        try:
            if self.failure is None:
                await self._durability.stop()
        except OSError as error:
            _log.error("can't write the journal while stopping: %s", error)
        finally:
            if self._folder is not None:
                self._folder.release()

    def propose(self, entry: bytes) -> int | None:
        """As in the interface. Raises ValueError if the entry is larger than `config.entry_size_bytes_max`."""
        if len(entry) > self.config.entry_size_bytes_max:
            raise ValueError(f"an entry of {len(entry)} bytes is too large for a frame")
        if not self._running or not self._core.leading:
            return None
        index = self._core.append(entry)
        self._driver.kick()
        return index

    async def confirm(self, timeout_s: float) -> int | None:
        if not self._running:
            return None
        waiter = self._reads.add_confirmation()
        self._driver.kick()
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            return None

    async def read_barrier(self, timeout_s: float) -> bool:
        if not self._running:
            return False
        waiter = self._reads.add_read()
        self._driver.kick()
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            return False

    def send(self, member: int, payload: bytes) -> bool:
        if not self._running or len(payload) > self.config.entry_size_bytes_max:
            return False
        return self._transport.send(member, Payload(payload))

    def connected(self, member: int) -> bool:
        return self._running and self._transport.connected(member)

    # Beyond the interface.

    def client_address(self, member: int) -> str | None:
        """Where clients reach a member, as it said when it last connected; None: it never did."""
        return self._client_addresses.get(member)

    async def compact_now(self) -> int:
        """Takes a snapshot of the state as it is and cuts the journal; returns the index of the newest snapshot."""
        if self._running and (writing := self._compaction.begin()) is not None:
            await asyncio.wait([writing])
        return self._compaction.newest_index

    # transport.PeerListener

    def peer_connected(self, member: int, client_address: str) -> None:
        self._client_addresses[member] = client_address
        self._note_connection(member, True)

    def peer_lost(self, member: int) -> None:
        self._reads.peer_lost(member)
        self._note_connection(member, False)

    def peer_writable(self, member: int) -> None:
        self._driver.kick()

    def message_received(self, member: int, message: Message) -> None:
        if not self._running:
            return
        try:
            self._guard.receive(member, message)
        except Exception as error:
            self._fail(error)
            return
        self._driver.kick()

    # core.CoreHooks

    def send_when_durable(self, member: int, message: Message) -> None:
        self._durability.hold(member, message)

    def acknowledge(self, member: int, match: int) -> None:
        self._guard.acknowledge(member, match)

    def send_heartbeats(self) -> None:
        self._replication.send_heartbeats()

    def apply_committed(self) -> None:
        self._applier.apply_committed()
        self._reads.release()

    def term_begins(self) -> None:
        self._replication.begin_term()

    def leadership_ends(self) -> None:
        self._replication.end_term()
        self._reads.leadership_ends()

    def quorum_index(self) -> int:
        return self._replication.quorum_index()

    # Inside.

    @property
    def _running(self) -> bool:
        return self._started and not self._stopped and self.failure is None

    def _recover(self, folder: DataFolder) -> None:
        config, disk = self.config, self._disk
        identity = Identity(FORMAT_VERSION, config.cluster_key, config.this.id, config.name)
        used_before = folder.check(identity)
        self._journal = Journal(disk, config.segment_size_bytes)
        if used_before and self._journal.empty:
            raise damage("the journal", 0, "its files are missing")
        if not used_before and (self._journal.last_index > 1 or self._journal.term):
            raise damage("identity.json", 0, "the file is missing")
        self._core = Core(config, self._journal, self)
        store = SnapshotStore(disk)
        self._assemble(store)
        self._load_snapshot(store)
        self._applier.apply_all()
        self._journal.sync()
        if not used_before:
            folder.claim(identity)

    def _load_snapshot(self, store: SnapshotStore) -> None:
        newest, first = store.newest(), self._journal.first_index
        if first > (1 if newest is None else newest.index):
            raise damage("the journal", 0, f"it begins at entry {first}, after the newest snapshot")
        if newest is not None:
            self._application.restore(newest.index, newest.term, store.slices(newest))
            self._core.adopt_snapshot(newest.index, newest.term)
            self._compaction.newest = newest

    def _assemble(self, store: SnapshotStore) -> None:
        config, core, journal, application = (
            self.config,
            self._core,
            self._journal,
            self._application,
        )
        send = self._transport.send
        self._driver = Driver(
            self._run_pass,
            tick_s=config.tick_ms / 1_000,
            stalled_s=config.election_timeout_ms_min / 2_000,
            stalled=self._note_stall,
            failed=self._fail,
        )
        self._applier = Applier(
            core, application, slice_s=config.apply_slice_ms / 1_000, more=self._driver.kick
        )
        self._durability = Durability(journal, send, synced=self._note_sync, failed=self._fail)
        self._compaction = Compaction(
            config,
            core,
            journal,
            store,
            application,
            changed=self._driver.kick,
            failed=self._fail,
        )
        sender = SnapshotSender(config, core, store, lambda: self._compaction.newest, send)
        self._replication = Replication(
            config, core, journal, send, self._transport.connected, sender
        )
        self._receiver = SnapshotReceiver(
            config,
            core,
            store,
            send,
            install=lambda snapshot: self._install(store, snapshot),
            acknowledge=self.acknowledge,
            failed=self._fail,
        )
        self._reads = Reads(core, send, 2 * config.heartbeat_ms / 1_000)
        self._guard = Guard(
            core,
            journal,
            self._durability,
            self._replication,
            self._reads,
            sender,
            self._receiver,
            application,
            send,
        )

    def _run_pass(self) -> None:
        """One pass: commit and apply what is decided, send what is new, sync what is not on disk."""
        self._core.tick()
        if self._core.leading:
            self._replication.drive()
        self._reads.drive()
        self._compaction.drive()
        self._durability.drive()
        status = self.status
        reported = (status.role, status.term, status.leader)
        if reported != self._reported:
            self._reported = reported
            _log.info("term %d: %s, leader %s", status.term, status.role.value, status.leader)
            self._application.leadership_changed(status)

    def _note_sync(self) -> None:
        if self._running:
            try:
                self._application.ready_to_propose()
            except Exception as error:
                self._fail(error)
            self._driver.run()

    def _note_stall(self) -> None:
        """This program slept: the silence says nothing about the leader, who may be waiting to be read."""
        if not self._core.leading:
            self._core.postpone_election()

    def _note_connection(self, member: int, connected: bool) -> None:
        if not self._running:
            return
        try:
            self._core.note_connection(member, connected)
            self._replication.note_connection(member)
            self._application.peer_changed(member, connected)
        except Exception as error:
            self._fail(error)
        self._driver.kick()

    def _install(self, store: SnapshotStore, snapshot: Snapshot) -> None:
        """Puts the leader's snapshot in the place of state and log, if it is ahead of them."""
        if not self._running:
            return
        if snapshot.index > self._core.commit_index:
            slices = store.slices(snapshot)
            self._application.restore(snapshot.index, snapshot.term, slices)
            self._core.adopt_snapshot(snapshot.index, snapshot.term)
            self._reads.release()
            _log.info("took over the leader's snapshot of entry %d", snapshot.index)
        self._compaction.note_received(snapshot)
        self._driver.kick()

    def _fail(self, error: BaseException) -> None:
        """Stops taking part, at once and for good."""
        if self.failure is not None:
            return
        if isinstance(error, FatalError):
            self.failure = error
        else:
            self.failure = FatalError(f"the consensus engine failed: {error!r}")
            self.failure.__cause__ = error
        _log.critical("consensus stops: %s", self.failure, exc_info=error)
        self._driver.stop()
        self._durability.abandon()
        self._reads.stop()
        if self._on_fatal is not None:
            self._on_fatal(self.failure)
