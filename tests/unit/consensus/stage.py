"""One real engine, and a test that plays all other members by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeVar

from coordinator.consensus.codec import (
    Append,
    AppendAck,
    Message,
    PreVote,
    PreVoteGrant,
    RequestVote,
    Vote,
)
from coordinator.consensus.engine.log import REGULAR
from coordinator.consensus.engine.member import Engine
from coordinator.consensus.interface import Peer, Role
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.transport import PeerListener
from coordinator.errors import FatalError
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.toy import ToyApplication

M = TypeVar("M")
CLUSTER_KEY = 0xC0FFEE


def make_peers(count: int) -> tuple[Peer, ...]:
    return tuple(
        Peer(number, f"n{number}", f"127.0.0.1:{number}") for number in range(1, count + 1)
    )


def entries(*contents: tuple[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    """(term, content) pairs as an Append carries them."""
    return tuple((term, REGULAR + content) for term, content in contents)


class ScriptedTransport:
    """Keeps what the engine sends; what it receives is up to the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Message]] = []
        self.peers: set[int] = set()
        self.refusing = False
        self.told: tuple[tuple[Peer, ...], tuple[int, ...]] = ((), ())
        """The members, and those removed, that the engine named last."""

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.peers.clear()

    def send(self, member: int, message: Message) -> bool:
        if member not in self.peers or self.refusing:
            return False
        self.sent.append((member, message))
        return True

    def connected(self, member: int) -> bool:
        return member in self.peers

    def set_peers(self, peers: Iterable[Peer], removed: Collection[int]) -> None:
        self.told = tuple(peers), tuple(removed)


class Stage:
    """Member 1 of `count`; nothing happens by itself, for its timeouts are long."""

    def __init__(
        self,
        folder: Path,
        count: int = 3,
        disk: FaultDisk | None = None,
        snapshot_bytes_per_s_max: int = 1_000_000,
    ) -> None:
        self.folder = folder
        self.disk = disk or FaultDisk()
        self.transport = ScriptedTransport()
        self.application = ToyApplication()
        self.failures: list[FatalError] = []
        self.config = EngineConfig(
            name="n1",
            peers=make_peers(count),
            cluster_key=CLUSTER_KEY,
            data_dir=folder,
            client_address="127.0.0.1:1",
            heartbeat_ms=10_000,
            election_timeout_ms_min=60_000,
            election_timeout_ms_max=120_000,
            journal_size_bytes_max=64 * 1024,
            snapshot_chunk_size_bytes=64,
            snapshot_bytes_per_s_max=snapshot_bytes_per_s_max,
            tick_ms=5,
        )
        self.engine = Engine(
            self.config,
            self.application,
            on_fatal=self.failures.append,
            disk=self.disk,
            make_transport=self._make_transport,
        )

    def _make_transport(self, config: EngineConfig, listener: PeerListener) -> ScriptedTransport:
        return self.transport

    @property
    def others(self) -> list[int]:
        return [peer.id for peer in self.config.peers if peer.id != 1]

    async def start(self) -> Stage:
        await self.engine.start()
        for member in self.others:
            self.connect(member)
        await self.settle()
        return self

    async def stop(self) -> None:
        self.disk.release_syncs()
        await self.engine.stop()

    async def __aenter__(self) -> Stage:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def connect(self, member: int) -> None:
        self.transport.peers.add(member)
        self.engine.peer_connected(member, f"127.0.0.1:{member}")

    def disconnect(self, member: int) -> None:
        self.transport.peers.discard(member)
        self.engine.peer_lost(member)

    def refuse(self, member: int) -> None:
        """Nobody listens any more where a member was."""
        self.engine.peer_refused(member)

    def receive(self, member: int, message: Message) -> None:
        self.engine.message_received(member, message)

    async def settle(self) -> None:
        """Runs the engine until it has nothing more to do; syncs that are held back stay under way."""
        for _ in range(20):
            await asyncio.sleep(0)
        while (
            self.engine.parts.durability.syncing
            and not self.disk.holding
            and not self.engine.stopped
        ):
            await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0)

    async def until(self, done: Callable[[], bool]) -> None:
        """Deadlines are an hour away here, and moved by hand: the engine looks at them all the time."""
        async with asyncio.timeout(10):
            while not done():
                self.engine.parts.driver.kick()
                await asyncio.sleep(0.001)

    def take(self, kind: type[M], member: int | None = None) -> list[M]:
        """Removes and returns the messages of a kind that were sent, to one member or to all."""
        taken: list[M] = [
            message
            for to, message in self.transport.sent
            if isinstance(message, kind) and member in (None, to)
        ]
        self.transport.sent = [
            (to, message)
            for to, message in self.transport.sent
            if not (isinstance(message, kind) and member in (None, to))
        ]
        return taken

    def append(
        self, member: int, term: int, prev: tuple[int, int], commit: int, *new: tuple[int, bytes]
    ) -> None:
        """An Append from a member; `prev` is (index, term), `new` are (term, content)."""
        self.receive(member, Append(term, prev[0], prev[1], commit, entries(*new)))

    def acknowledge(self, member: int, index: int) -> None:
        """A follower says that it has everything up to an index."""
        self.receive(member, AppendAck(self.engine.status.term, False, 0, index))

    def role(self) -> Role:
        """The engine's role just now."""
        return self.engine.status.role

    def log(self) -> list[tuple[int, bytes]]:
        """(term, content) of the entries in the engine's log, kinds stripped."""
        return [(entry.term, entry.content[1:]) for entry in self.engine.parts.journal.entries]

    def clear(self) -> None:
        self.transport.sent.clear()

    async def campaign(self) -> int:
        """Makes the engine a candidate and returns its term; the others said that they would vote for it."""
        self.engine.parts.core.hasten_election(0)
        if self.others:
            await self.until(lambda: bool(self.kept(PreVote)))
            for member in self.others:
                self.receive(member, PreVoteGrant(self.engine.status.term + 1))
        await self.until(lambda: not self.disk.holding and bool(self.kept(RequestVote)))
        return self.engine.status.term

    def kept(self, kind: type[M]) -> list[M]:
        """The messages of a kind that were sent and not taken."""
        return [message for _, message in self.transport.sent if isinstance(message, kind)]

    async def lead(self) -> int:
        """Makes the engine a leader and returns its term; the others have not answered anything but their vote."""
        term = await self.campaign()
        self.clear()
        for member in self.others:
            self.receive(member, Vote(term))
        await self.settle()
        return term
