"""One member's consensus engine: `SyncObj` with our transport, journal and snapshots around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from coordinator.consensus.codec import Message, Payload
from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.disk import Disk
from coordinator.consensus.engine.parts import Parts
from coordinator.consensus.engine.pin import check_release
from coordinator.consensus.engine.storage import Storage
from coordinator.consensus.folder import unusable
from coordinator.consensus.interface import (
    Application,
    ConsensusStatus,
    MemberChange,
    OpenSnapshot,
    Peer,
    Role,
)
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.transport import PeerListener, TcpTransport, Transport
from coordinator.errors import FatalError, MemberRemoved, RequestError, Status

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


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

        `disk` and `make_transport` take the place of the data folder and of TCP.
        """
        self.config = config
        self.failure: FatalError | None = None
        """Why the engine stopped by itself."""
        self._application = application
        self._on_fatal = on_fatal
        self._disk = disk
        self._transport = make_transport(config, self)
        self._client_addresses = {config.this.id: config.client_address}
        self._parts: Parts | None = None
        self._running: Parts | None = None
        """The same, while this member takes part."""
        self._stopped = False
        self._closing: asyncio.Task[None] | None = None

    # interface.Consensus

    @property
    def status(self) -> ConsensusStatus:
        if self._parts is None:
            return ConsensusStatus(Role.FOLLOWER, 0, None, 0, 0, 0, 0, 0, 0)
        return self._parts.status

    @property
    def term(self) -> int:
        return 0 if self._parts is None else self._parts.core.term

    @property
    def members(self) -> tuple[Peer, ...]:
        if self._parts is None:
            return configuration_of(self.config.peers).peers
        return self._parts.members

    @property
    def busy(self) -> bool:
        parts = self._running
        return parts is not None and (parts.durability.syncing or parts.handover.active)

    @property
    def stopped(self) -> bool:
        return self._stopped or self.failure is not None

    async def start(self) -> None:
        check_release()
        storage = Storage(self.config, self._disk)
        try:
            parts = self._parts = Parts(
                self.config, self._application, self._transport, storage, failed=self._fail
            )
            self._recover(parts)
            # From here on members may connect, and what they say counts.
            self._running = parts
            await self._transport.start()
        except BaseException:
            self._stopped, self._running = True, None
            storage.release()
            raise
        parts.core.postpone_election()
        parts.receiver.start()
        parts.driver.start()

    async def stop(self) -> None:
        parts = self._parts
        if parts is None or self._stopped:
            return
        self._stopped, self._running = True, None
        parts.end_waiting()
        if self._closing is not None:
            await asyncio.wait([self._closing])
        await self._transport.stop()
        await parts.receiver.stop()
        parts.background.stop()
        await parts.sender.stop()
        await parts.compaction.stop()
        try:
            await parts.durability.stop()
        except OSError as error:
            _log.error("can't write the journal while stopping: %s", error)
        finally:
            parts.storage.release()

    def propose(self, entry: bytes) -> int | None:
        """As in the interface. Raises ValueError if the entry is larger than `config.entry_size_bytes_max`."""
        if len(entry) > self.config.entry_size_bytes_max:
            raise ValueError(f"an entry of {len(entry)} bytes is too large for a frame")
        parts = self._running
        if parts is None or not parts.core.leading or parts.handover.active:
            return None
        index = parts.core.append(entry)
        parts.driver.kick()
        return index

    async def confirm(self, timeout_s: float) -> int | None:
        parts = self._running
        if parts is None or not parts.core.leading:
            await asyncio.sleep(0)  # who asks again and again must not keep the loop from turning
            return None
        waiter = parts.reads.add_confirmation()
        parts.driver.kick()
        return await _within(timeout_s, waiter, None)

    async def read_barrier(self, timeout_s: float) -> bool:
        parts = self._running
        if parts is None:
            await asyncio.sleep(0)  # as in `confirm`
            return False
        waiter = parts.reads.add_read()
        parts.driver.kick()
        return await _within(timeout_s, waiter, False)

    async def transfer_leadership(self, target: int | None, timeout_s: float) -> bool:
        parts = self._running
        if parts is None:
            return False
        try:
            return await parts.handover.run(target, timeout_s)
        finally:
            if self._running is not None:
                self._application.ready_to_propose()

    async def change_members(self, change: MemberChange, *, force: bool, timeout_s: float) -> None:
        parts = self._running
        if parts is None:
            raise RequestError(Status.UNAVAILABLE, "STOPPING", "this member is stopping")
        await parts.membership.change(change, force=force, timeout_s=timeout_s)

    async def open_snapshot(self) -> OpenSnapshot:
        parts = self._running
        if parts is None:
            raise RequestError(Status.UNAVAILABLE, "STOPPING", "this member is stopping")
        return await parts.compaction.open()

    def send(self, member: int, payload: bytes) -> bool:
        if self._running is None or len(payload) > self.config.entry_size_bytes_max:
            return False
        return self._transport.send(member, Payload(payload))

    def connected(self, member: int) -> bool:
        return self._running is not None and self._transport.connected(member)

    def client_address(self, member: int) -> str:
        return self._client_addresses.get(member, "")

    # Beyond the interface.

    async def compact_now(self) -> int:
        """Takes a snapshot of the state as it is; returns the index of the newest one.

        Journal files that it makes superfluous go with the next sync.
        """
        parts = self._running
        if parts is None:
            return 0
        if (writing := parts.compaction.begin()) is not None:
            await asyncio.wait([writing])
        return parts.compaction.newest_index

    @property
    def parts(self) -> Parts:
        """What this engine is made of, once it was started; for tests and for whoever looks inside."""
        assert self._parts is not None, "the engine was not started"
        return self._parts

    # transport.PeerListener

    def peer_connected(self, member: int, client_address: str) -> None:
        self._client_addresses[member] = client_address
        self._note_connection(member, True)

    def peer_lost(self, member: int) -> None:
        self._note_connection(member, False)

    def peer_refused(self, member: int) -> None:
        parts = self._running
        if parts is not None:
            parts.elections.peer_refused(member)
            parts.driver.kick()

    def peer_writable(self, member: int) -> None:
        if self._running is not None:
            self._running.driver.kick()

    def removed(self) -> None:
        if self._running is not None:
            self._fail(MemberRemoved())

    def message_received(self, member: int, message: Message) -> None:
        parts = self._running
        if parts is None:
            return
        try:
            parts.guard.receive(member, message)
        except Exception as error:
            self._fail(error)
            return
        parts.driver.kick()

    def fail(self, error: FatalError) -> None:
        if self._running is not None:
            self._fail(error)

    # Inside.

    def _recover(self, parts: Parts) -> None:
        try:
            parts.recover()
        except OSError as error:
            raise unusable(self.config.data_dir, error) from error

    def _note_connection(self, member: int, connected: bool) -> None:
        parts = self._running
        if parts is None:
            return
        try:
            if connected:
                parts.elections.peer_connected(member)
            else:
                parts.reads.peer_lost(member)
                parts.elections.peer_lost(member)
            parts.replication.note_connection(member, connected)
            self._application.peer_changed(member, connected)
        except Exception as error:
            self._fail(error)
        parts.driver.kick()

    def _fail(self, error: BaseException) -> None:
        """Stops taking part, at once and for good."""
        if self.failure is not None or self._parts is None:
            return
        if isinstance(error, FatalError):
            self.failure = error
        else:
            self.failure = FatalError(f"the consensus engine failed: {error!r}")
            self.failure.__cause__ = error
        known = isinstance(error, FatalError)
        _log.critical("consensus stops: %s", self.failure, exc_info=None if known else error)
        self._running = None
        self._parts.durability.abandon()
        self._parts.end_waiting()
        # Not awaited here: this may be called by the transport itself.
        self._closing = asyncio.get_running_loop().create_task(self._transport.stop())
        if self._on_fatal is not None:
            self._on_fatal(self.failure)


async def _within(timeout_s: float, waiter: asyncio.Future[_T], otherwise: _T) -> _T:
    """What a future becomes, or something else if that takes too long."""
    try:
        async with asyncio.timeout(timeout_s):
            return await waiter
    except TimeoutError:
        return otherwise
