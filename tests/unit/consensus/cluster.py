"""Several real engines in one loop, on disks in memory, over links that a test can cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from coordinator.consensus.codec import HEADER, Message, decode_payload, encode_frame
from coordinator.consensus.engine.member import Engine
from coordinator.consensus.interface import Peer, Role
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.transport import PeerListener
from coordinator.errors import FatalError
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import CLUSTER_KEY, make_peers
from tests.unit.consensus.toy import ToyApplication


class LinkTransport:
    """One member's end of the network."""

    def __init__(self, network: Network, member: int, listener: PeerListener) -> None:
        self._network = network
        self.member = member
        self.listener = listener
        self.removed: frozenset[int] = frozenset()

    async def start(self) -> None:
        self._network.join(self)

    async def stop(self) -> None:
        self._network.leave(self)

    def send(self, member: int, message: Message) -> bool:
        return self._network.send(self.member, member, message)

    def connected(self, member: int) -> bool:
        return self._network.connected(self.member, member)

    def set_peers(self, peers: Iterable[Peer], removed: Collection[int]) -> None:
        self.removed = frozenset(removed)


class Network:
    """Links between members: in order, and lost together when a link breaks."""

    def __init__(self) -> None:
        self.ends: dict[int, LinkTransport] = {}
        self.parted: set[frozenset[int]] = set()
        """Pairs without a connection."""
        self.silent: set[frozenset[int]] = set()
        """Pairs whose connection stands, and carries nothing."""
        self._numbers: dict[frozenset[int], int] = {}

    def join(self, end: LinkTransport) -> None:
        self.ends[end.member] = end
        for other in list(self.ends):
            if other != end.member and frozenset({other, end.member}) not in self.parted:
                self._note(other, end.member, True)

    def leave(self, end: LinkTransport) -> None:
        if self.ends.get(end.member) is not end:
            return
        for other in list(self.ends):
            if self.connected(other, end.member):
                self._note(other, end.member, False)
        del self.ends[end.member]

    def connected(self, one: int, two: int) -> bool:
        return (
            {one, two} <= set(self.ends) and frozenset({one, two}) not in self.parted and one != two
        )

    def send(self, sender: int, receiver: int, message: Message) -> bool:
        if not self.connected(sender, receiver):
            return False
        pair = frozenset({sender, receiver})
        frame = encode_frame(message)
        asyncio.get_running_loop().call_soon(
            self._deliver, sender, receiver, frame, self._numbers.get(pair, 0)
        )
        return True

    def part(self, one: int, two: int) -> None:
        """Breaks a connection; both sides notice."""
        connected = self.connected(one, two)
        self.parted.add(frozenset({one, two}))
        if connected:
            self._note(one, two, False)

    def silence(self, one: int, two: int) -> None:
        """Lets a connection carry nothing any more; nobody notices."""
        self.silent.add(frozenset({one, two}))

    def mend(self, one: int, two: int) -> None:
        """A working connection, a new one if need be."""
        pair = frozenset({one, two})
        if pair in self.silent:
            self.part(one, two)
            self.silent.discard(pair)
        if pair in self.parted:
            self.parted.discard(pair)
            if self.connected(one, two):
                self._note(one, two, True)

    def _note(self, one: int, two: int, connected: bool) -> None:
        pair = frozenset({one, two})
        self._numbers[pair] = self._numbers.get(pair, 0) + 1
        for member, other in ((one, two), (two, one)):
            listener = self.ends[member].listener
            if connected:
                listener.peer_connected(other, f"client:{other}")
            else:
                listener.peer_lost(other)

    def _deliver(self, sender: int, receiver: int, frame: bytes, number: int) -> None:
        pair = frozenset({sender, receiver})
        if pair in self.silent or self._numbers.get(pair, 0) != number:
            return
        if self.connected(sender, receiver):
            _, checksum = HEADER.unpack_from(frame)
            message = decode_payload(frame[HEADER.size :], checksum)
            self.ends[receiver].listener.message_received(sender, message)


class Cluster:
    """Members 1 to `count`."""

    def __init__(self, folder: Path, count: int = 3, **settings: Any) -> None:
        self.folder = folder
        self.peers = make_peers(count)
        self.settings = settings
        self.network = Network()
        self.disks = {peer.id: FaultDisk() for peer in self.peers}
        self.engines: dict[int, Engine] = {}
        self.applications: dict[int, ToyApplication] = {}
        self.failures: list[FatalError] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Cluster:
        for peer in self.peers:
            await self.start(peer.id)
        # The first election tells nothing that the later ones don't: no need to wait for its deadline.
        first = random.choice(list(self.engines.values()))
        first.parts.core._SyncObj__raftElectionDeadline = 0
        return self

    async def __aexit__(self, *_: object) -> None:
        for disk in self.disks.values():
            disk.release_syncs()
        for engine in list(self.engines.values()):
            await engine.stop()

    async def start(self, member: int) -> Engine:
        values: dict[str, Any] = {
            "heartbeat_ms": 25,
            "election_timeout_ms_min": 150,
            "election_timeout_ms_max": 300,
            "tick_ms": 5,
            "journal_size_bytes_max": 64 * 1024,
            "snapshot_chunk_size_bytes": 1_024,
        }
        config = EngineConfig(
            name=f"n{member}",
            peers=self.peers,
            cluster_key=CLUSTER_KEY,
            data_dir=self.folder / f"n{member}",
            client_address=f"client:{member}",
            **values | self.settings,
        )
        application = ToyApplication(self._changed.set)
        engine = Engine(
            config,
            application,
            on_fatal=self.failures.append,
            disk=self.disks[member],
            make_transport=lambda _, listener: LinkTransport(self.network, member, listener),
        )
        await engine.start()
        self.engines[member], self.applications[member] = engine, application
        return engine

    async def stop(self, member: int) -> None:
        await self.engines.pop(member).stop()
        del self.applications[member]

    async def lose_power(self, member: int, chance: random.Random) -> None:
        """Ends a member in the middle of whatever it was doing; unsynced bytes may be gone."""
        engine = self.engines.pop(member)
        del self.applications[member]
        engine.parts.driver.stop()
        engine.parts.durability.abandon()
        await engine.stop()
        self.disks[member].lose_power(chance)

    async def until(self, done: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Waits for something that shows in an application or, a little later, anywhere else."""
        async with asyncio.timeout(timeout_s):
            while not done():
                self._changed.clear()
                try:
                    async with asyncio.timeout(0.01):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    def leaders(self) -> list[int]:
        """Members that lead, those in the newest term last."""
        leading = [
            (engine.status.term, member)
            for member, engine in self.engines.items()
            if engine.status.role is Role.LEADER
        ]
        return [member for _, member in sorted(leading)]

    async def leader(self, *, among: set[int] | None = None) -> int:
        """Waits for a leader whom a majority follows."""
        found = 0

        def agreed() -> bool:
            nonlocal found
            for member in reversed(self.leaders()):
                followers = [
                    other
                    for other, engine in self.engines.items()
                    if engine.status.leader == member
                    and engine.status.term == self.engines[member].status.term
                ]
                if 2 * len(followers) > len(self.peers) and (among is None or member in among):
                    found = member
                    return True
            return False

        await self.until(agreed)
        return found

    async def put(self, member: int, content: bytes) -> int:
        """Proposes through a leader and waits until that one applied it."""
        index = self.engines[member].propose(content)
        assert index is not None, f"member {member} does not lead"
        application = self.applications[member]
        await self.until(lambda: content in application.contents[-50:])
        return index

    async def agreement(self) -> list[bytes]:
        """Waits until all running members applied the same and returns it."""

        def same() -> bool:
            states = [engine.status for engine in self.engines.values()]
            return len({(s.applied_index, s.last_index) for s in states}) == 1 and all(
                s.applied_index == s.last_index for s in states
            )

        await self.until(same)
        applied = [application.applied for application in self.applications.values()]
        assert all(one == applied[0] for one in applied), "members differ"
        return [content for _, _, content in applied[0]]

    def isolate(self, member: int, *, silently: bool) -> None:
        for peer in self.peers:
            if peer.id != member:
                (self.network.silence if silently else self.network.part)(member, peer.id)

    def mend_all(self) -> None:
        for one in self.peers:
            for two in self.peers:
                if one.id < two.id:
                    self.network.mend(one.id, two.id)
