"""Simulated machines: each with a disk that stays, and at most one process at a time."""

from __future__ import annotations

import asyncio
import itertools
import random
import traceback
from collections.abc import Sequence
from pathlib import Path

from coordinator.catalog.guard import Guard
from coordinator.consensus.engine.member import Engine
from coordinator.consensus.interface import Peer, Role
from coordinator.consensus.settings import EngineConfig
from coordinator.errors import ConfigError, DamageError, FatalError, MemberRemoved
from tests.simulation.chance import chance_of
from tests.simulation.disk import SimDisk
from tests.simulation.loop import Cut, Life, SimLoop
from tests.simulation.network import Network, SimTransport
from tests.simulation.oracle import ObservedNode, Oracle
from tests.simulation.profile import Profile
from tests.simulation.trace import Trace

STOP_S_MAX = 5.0
"""A process that was asked to end is gone after that time, or something is wrong with it."""


def make_peer(number: int) -> Peer:
    return Peer(number, f"n{number}", f"n{number}:2380")


class Host:
    """One machine."""

    def __init__(self, peer: Peer, disk: SimDisk) -> None:
        self.peer = peer
        self.disk = disk
        self.life: Life | None = None
        self.engine: Engine | None = None
        self.node: ObservedNode | None = None
        self.end: SimTransport | None = None
        self.up = False
        """The process has started and takes part."""
        self.removed = False
        """It was taken out of the cluster, or may have been."""
        self.dismissed = False
        """Its process ended by itself because it was removed: nobody starts it again."""
        self.wanted = False
        """It is to start again as soon as it has stopped."""
        self.tainted = False
        """A sync failed: only the disk knows what it holds, so that the machine must be started anew."""
        self.peers: tuple[Peer, ...] = ()
        """The members that its process is told of when it starts."""


class Hosts:
    """All machines, and what may be done to them."""

    def __init__(
        self,
        profile: Profile,
        loop: SimLoop,
        network: Network,
        oracle: Oracle,
        trace: Trace,
    ) -> None:
        self.profile = profile
        self.loop = loop
        self.network = network
        self.oracle = oracle
        self.trace = trace
        self.chance = chance_of(profile.seed, "hosts")
        self.complaints: list[str] = []
        self._heirs = itertools.count(1 << 40)
        """Ids of sessions that take over what is kept: never one twice, whoever draws it."""
        self.disk_slowness = profile.disk_slowness
        """Of the disks of machines that are set up from now on."""
        first = tuple(make_peer(number) for number in range(1, profile.members + 1))
        self.all: dict[int, Host] = {}
        for peer in first:
            self.add(peer, first)

    def add(self, peer: Peer, peers: tuple[Peer, ...]) -> Host:
        """Sets up a machine whose process is not started yet."""
        chance = chance_of(self.profile.seed, f"disk {peer.id}")
        host = self.all[peer.id] = Host(peer, SimDisk(chance))
        host.disk.usual_slowness = self.disk_slowness
        host.disk.mend()
        host.peers = peers
        return host

    def running(self) -> list[Host]:
        """Machines whose process takes part, frozen ones too."""
        return [host for host in self.all.values() if host.up]

    def leader(self) -> Host | None:
        """Who says that it leads, in the newest term."""
        leading = [
            (host.engine.status.term, host.peer.id)
            for host in self.running()
            if host.engine is not None and host.engine.status.role is Role.LEADER
        ]
        return self.all[max(leading)[1]] if leading else None

    # The life of a process.

    def boot(self, host: Host) -> None:
        """Starts the process of a machine."""
        if host.life is not None:
            host.wanted = True
            return
        host.wanted = False
        if host.dismissed:
            return
        if host.tainted:
            host.tainted = False
            host.disk.lose_power()
        life = host.life = Life(self.loop, host.peer.id)
        drift = self.profile.drift
        life.rate = 1.0 + self.chance.uniform(-drift, drift)
        life.offset_s = self.chance.uniform(0.0, 1e4)
        life.jobs = host.disk.jobs
        life.cut = lambda: self._cut(host, life)
        host.disk.faults = 0
        self.trace.note(f"n{host.peer.id} boots")
        life.spawn(self._start(host, life))

    async def _start(self, host: Host, life: Life) -> None:
        try:
            host.node = ObservedNode(
                self.oracle,
                host.peer,
                f"client:{host.peer.id}",
                self.profile.limits,
                self.profile.timing,
                Guard(self.profile.limits, self.profile.timing, self._heirs.__next__),
            )
            host.engine = Engine(
                self._config(host),
                host.node,
                on_fatal=lambda error: self._failed(host, life, error),
                disk=host.disk,
                make_transport=lambda config, listener: self._connect(
                    host, SimTransport(self.network, life, config, listener)
                ),
            )
            host.node.attach(host.engine)
            await host.node.start()
        except Cut:
            life.cut()
        except (ConfigError, FatalError) as error:
            self._judge(host, error)
            self.loop.after(0.0, None, self._gone, host, life)
        except Exception as error:
            self.complaints.append(f"n{host.peer.id} could not start: {traceback.format_exc()}")
            self.trace.note(repr(error))
        else:
            host.up = True

    def _connect(self, host: Host, end: SimTransport) -> SimTransport:
        host.end = end
        return end

    def _config(self, host: Host) -> EngineConfig:
        profile = self.profile
        return EngineConfig(
            name=host.peer.name,
            peers=host.peers,
            cluster_key=1,
            data_dir=Path(f"n{host.peer.id}"),
            client_address=f"client:{host.peer.id}",
            heartbeat_ms=profile.heartbeat_ms,
            election_timeout_ms_min=profile.election_timeout_ms_min,
            election_timeout_ms_max=profile.election_timeout_ms_max,
            journal_size_bytes_max=profile.journal_size_bytes_max,
            retained_entries=profile.retained_entries,
            append_size_bytes=profile.append_size_bytes,
            snapshot_chunk_size_bytes=profile.snapshot_chunk_size_bytes,
            appends_in_flight_max=profile.appends_in_flight_max,
        )

    def _judge(self, host: Host, error: Exception) -> None:
        """Whether a process may end like that."""
        self.trace.note(f"n{host.peer.id} fails: {error!r}")
        if isinstance(error, MemberRemoved) and host.removed:
            host.dismissed = True
        elif host.disk.faults and not isinstance(error, DamageError):
            host.tainted = True
        else:
            cause = f" caused by {error.__cause__!r}" if error.__cause__ is not None else ""
            self.complaints.append(f"n{host.peer.id} failed: {error!r}{cause}")

    def _failed(self, host: Host, life: Life, error: FatalError) -> None:
        self._judge(host, error)
        self.loop.after(0.0, None, self.stop, host)

    def _cut(self, host: Host, life: Life) -> None:
        if host.life is life:
            self.kill(host, power=self.chance.random() < 0.6)

    def kill(self, host: Host, *, power: bool) -> None:
        """Ends a process at once; with the power, the disk forgets what was not synced."""
        life, host.wanted = host.life, False
        if life is not None:
            self.trace.note(f"n{host.peer.id} {'loses power' if power else 'is killed'}")
            life.end()
            if host.end is not None:
                self.network.leave(host.end, announce=not power)
            self._gone(host, life)
        if power:
            host.disk.lose_power()

    def stop(self, host: Host) -> None:
        """Asks a process to end, and ends it when it has not after a while."""
        life, node = host.life, host.node
        if life is None or life.over or node is None or host.up is False:
            return
        host.up = False
        self.trace.note(f"n{host.peer.id} is asked to stop")
        stopping = life.spawn(node.stop())
        stopping.add_done_callback(lambda task: self._stopped(host, life, task))
        self.loop.after(STOP_S_MAX, None, self._overdue, host, life)

    def _stopped(self, host: Host, life: Life, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            if isinstance(error, Cut):
                life.cut()
                return
            self.complaints.append(f"n{host.peer.id} could not stop: {error!r}")
        self.loop.after(0.0, None, self._gone, host, life)

    def _overdue(self, host: Host, life: Life) -> None:
        if host.life is life:
            if not life.frozen and host.disk.slowness <= 1:
                self.complaints.append(f"n{host.peer.id} did not stop within {STOP_S_MAX} s")
            self.kill(host, power=False)

    def _gone(self, host: Host, life: Life) -> None:
        life.end()
        if host.life is life:
            if host.end is not None:
                self.network.leave(host.end, announce=True)
            host.life = host.engine = host.node = host.end = None
            host.up = False
            if host.wanted:
                self.boot(host)


def pick(chance: random.Random, hosts: Sequence[Host]) -> Host | None:
    """One of them, None if there is none."""
    return chance.choice(hosts) if hosts else None
