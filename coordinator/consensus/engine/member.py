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
from coordinator.consensus.engine.storage import Storage
from coordinator.consensus.engine.transfer import SnapshotReceiver, SnapshotSender
from coordinator.consensus.interface import Application, ConsensusStatus, Peer, Role
from coordinator.consensus.journal import Journal
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.snapshots import Snapshot, SnapshotStore
from coordinator.consensus.transport import PeerListener, TcpTransport, Transport
from coordinator.errors import ConfigError, FatalError

_log = logging.getLogger(__name__)


class Engine:
    """Implements `interface.Consensus`. Everything is called on one event loop; a stopped engine stays stopped."""

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
        self._assembled = self._stopped = False
        self._closing: asyncio.Task[None] | None = None

    # The parts, made when the engine starts.

    _storage: Storage
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
        if not self._assembled:
            return ConsensusStatus(Role.FOLLOWER, 0, None, 0, 0, 0, 0, 0, 0)
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

    @property
    def stopped(self) -> bool:
        return self._stopped or self.failure is not None

    async def start(self) -> None:
        check_release()
        storage = self._storage = Storage(self.config, self._disk)
        try:
            self._recover(storage)
            # From here on members may connect, and what they say counts.
            self._assembled = True
            await self._transport.start()
        except BaseException:
            self._stopped = True
            storage.release()
            raise
        self._core.postpone_election()
        self._receiver.start()
        self._driver.start()

    async def stop(self) -> None:
        if not self._assembled or self._stopped:
            return
        self._stopped = True
        self._driver.stop()
        self._reads.stop()
        if self._closing is not None:
            await asyncio.wait([self._closing])
        await self._transport.stop()
        await self._receiver.stop()
        await self._compaction.stop()
        try:
            await self._durability.stop()
        except OSError as error:
            _log.error("can't write the journal while stopping: %s", error)
        finally:
            self._storage.release()

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
        if not self._running or not self._core.leading:
            await asyncio.sleep(0)  # who asks again and again must not keep the loop from turning
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
            await asyncio.sleep(0)  # as in `confirm`
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

    def client_address(self, member: int) -> str:
        """Where clients reach a member, as it said when it last connected; empty: it never did."""
        return self._client_addresses.get(member, "")

    async def compact_now(self) -> int:
        """Takes a snapshot of the state as it is; returns the index of the newest one.

        Journal files that it makes superfluous go with the next sync.
        """
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
        return self._assembled and not self.stopped

    def _recover(self, storage: Storage) -> None:
        """Brings the application to where it was."""
        self._journal = storage.journal
        self._core = Core(self.config, self._journal, self)
        self._assemble(storage.snapshots)
        newest = storage.newest
        if newest is not None:
            slices = storage.snapshots.slices(newest)
            self._application.restore(newest.index, newest.term, slices)
            self._core.adopt_snapshot(newest.index, newest.term)
            self._compaction.newest = newest
        self._applier.apply_all()
        try:
            storage.settle()
        except OSError as error:
            folder = self.config.data_dir
            raise ConfigError(f"can't write to the data folder {folder}: {error}") from error

    def _assemble(self, store: SnapshotStore) -> None:
        config, core, journal = self.config, self._core, self._journal
        application, send = self._application, self._transport.send
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
            config, core, journal, store, application, changed=self._driver.kick, failed=self._fail
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
            _log.debug("term %d: %s, leader %s", status.term, status.role.value, status.leader)
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
        known = isinstance(error, FatalError)
        _log.critical("consensus stops: %s", self.failure, exc_info=None if known else error)
        self._driver.stop()
        self._durability.abandon()
        self._reads.stop()
        # Not awaited here: this may be called by the transport itself.
        self._closing = asyncio.get_running_loop().create_task(self._transport.stop())
        if self._on_fatal is not None:
            self._on_fatal(self.failure)
