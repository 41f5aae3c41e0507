"""One seed, one simulation: a cluster, its clients, what goes wrong, and what must hold in the end."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from coordinator.errors import RequestError
from coordinator.state.commands import Put, Write
from tests.simulation.chance import chance_of, determined
from tests.simulation.checkers import (
    check_counters,
    check_heirs,
    check_keys_of_sessions,
    check_order,
    check_reads,
    check_sessions,
    check_watches,
    check_writes,
)
from tests.simulation.client import Caller, wait_for_answer
from tests.simulation.faults import Faults
from tests.simulation.history import Fate, History, WriteRecord
from tests.simulation.holders import Holder
from tests.simulation.hosts import Host, Hosts
from tests.simulation.linearizable import check_linearizable
from tests.simulation.loop import SimLoop, Stuck, simulated
from tests.simulation.network import Network
from tests.simulation.oracle import Oracle
from tests.simulation.profile import Profile, profile_of
from tests.simulation.trace import Trace
from tests.simulation.watchers import Watch
from tests.simulation.writers import REQUEST_S, Writer, propose

PROGRESS_S_MAX = 10.0
"""After that time without faults, every member must have taken a write."""
AGREEMENT_S_MAX = 10.0
"""After that time without writes, all members must have applied the same, and watches told everything."""
LINGER_S_MAX = 1.0
"""How much longer than its TTL a session may live that nobody keeps alive."""


@dataclass
class Report:
    """What came of a seed."""

    seed: int
    digest: str
    """Of everything that happened."""
    complaints: list[str]
    entries: int = 0
    acknowledged: int = 0
    reads: int = 0
    told: int = 0
    """Batches that watches were told."""
    heirs: int = 0
    """Sessions that took over what others left."""
    steps: int = 0
    seconds: float = 0.0
    """That passed in the simulation."""
    undecided: bool = False
    """Whether the search for an order of what clients saw was given up."""
    noted: list[str] = field(default_factory=list)


class Scenario:
    """The parts of one simulation."""

    def __init__(self, profile: Profile, loop: SimLoop, out: TextIO | None) -> None:
        seed = profile.seed
        self.profile = profile
        self.loop = loop
        self.trace = Trace(loop, out)
        self.oracle = Oracle(loop)
        self.network = Network(
            loop,
            chance_of(seed, "network"),
            self.trace,
            faithless=profile.faithless,
            window_bytes=profile.window_bytes,
        )
        self.hosts = Hosts(profile, loop, self.network, self.oracle, self.trace)
        self.faults = Faults(profile, self.hosts)
        self.history = History()
        self.complaints: list[str] = []
        self.writers = [
            Writer(n, self._caller(f"writer {n}"), profile, self.history)
            for n in range(1, profile.clients + 1)
        ]
        self.holders = [
            Holder(100 + n, self._caller(f"holder {n}", 0.03), profile, self.history)
            for n in range(5)
        ]
        self.watches = [
            Watch(prefix, self._caller(f"watch {prefix!r}"), self.history, settled=settled)
            for prefix, settled in ((b"r/", False), (b"c/", True), (b"e/", False))
        ]
        self._calm_since = 0.0

    def _caller(self, purpose: str, restless: float = 0.1) -> Caller:
        return Caller(self.hosts, chance_of(self.profile.seed, purpose), restless)

    async def run(self) -> None:
        """Everything, from the first start to the last check."""
        self.trace.note(str(self.profile))
        for host in self.hosts.all.values():
            self.hosts.boot(host)
        clients = [
            *(self.loop.create_task(writer.run()) for writer in self.writers),
            *(self.loop.create_task(holder.run()) for holder in self.holders),
        ]
        watching = [self.loop.create_task(watch.run()) for watch in self.watches]
        await self.faults.run(self.profile.seconds)
        self.faults.heal()
        await self._see_progress()
        for writer in self.writers:
            writer.over = True
        for holder in self.holders:
            holder.over = True
        await asyncio.sleep(self.profile.ttl_ms / 1_000 + 3 * REQUEST_S)
        await self._see_agreement()
        self._check_held()
        for holder in self.holders:
            holder.keeping = False
        for task in [*clients, *watching]:
            if task.done() and task.exception() is not None:
                raise task.exception() or AssertionError
        for watch in self.watches:
            watch.over = True
        self._check()

    # Liveness.

    def _expected(self) -> list[Host]:
        """The machines that belong to the cluster now."""
        leader = self.hosts.leader()
        if leader is None or leader.engine is None:
            return []
        return [
            self.hosts.all[peer.id] for peer in leader.engine.members if peer.id in self.hosts.all
        ]

    async def _see_progress(self) -> None:
        """Every member takes a write soon after all was made well."""
        deadline = self.loop.now + PROGRESS_S_MAX
        waiting: set[int] | None = None
        count = 0
        while waiting is None or waiting:
            if self.loop.now > deadline:
                self.complaints.append(f"no progress within {PROGRESS_S_MAX} s by {waiting}")
                break
            for host in self._expected():
                if waiting is not None and host.peer.id not in waiting:
                    continue
                count += 1
                if await self._write_through(host, b"progress %d" % count):
                    waiting = {h.peer.id for h in self._expected()} if waiting is None else waiting
                    waiting.discard(host.peer.id)
            await asyncio.sleep(0.05)
        self._calm_since = self.loop.now
        self.trace.note("progress")

    async def _write_through(self, host: Host, value: bytes) -> bool:
        if host.life is None or host.node is None or not host.up:
            return False
        record = WriteRecord(b"r/progress", value, self.loop.now, attempts=1)
        self.history.writes.append(record)
        task = host.life.spawn(propose(host.node, Write(Put(record.key, value))))
        await wait_for_answer(host.life, task, 2 * REQUEST_S)
        if not task.done():
            return False
        try:
            record.revision = task.result().revision
        except RequestError:
            return False
        record.fate, record.ended_at = Fate.APPLIED, self.loop.now
        return True

    async def _see_agreement(self) -> None:
        """All members have applied the same, removed ones are gone, watches have told everything."""
        expected = self._expected()
        for host in self.hosts.running():
            # One that was to be added and was not: its operator gives up.
            if expected and host not in expected and not host.removed:
                self.hosts.kill(host, power=False)
        deadline = self.loop.now + AGREEMENT_S_MAX
        while (problem := self._disagreement()) is not None:
            if self.loop.now > deadline:
                self.complaints.append(f"after {AGREEMENT_S_MAX} s without writes: {problem}")
                return
            await asyncio.sleep(0.1)

    def _disagreement(self) -> str | None:
        expected = self._expected()
        if not expected:
            return "nobody leads"
        digest = self.oracle.machine.digest()
        for host in expected:
            node, engine = host.node, host.engine
            if not host.up or node is None or engine is None:
                return f"n{host.peer.id} does not run"
            if engine.status.applied_index != engine.status.last_index:
                return f"n{host.peer.id} has not applied all: {engine.status}"
            if node.state.digest() != digest:
                return f"n{host.peer.id} has another state than the log gives: {engine.status}"
        for host in self.hosts.running():
            if host not in expected and host.removed:
                return f"n{host.peer.id} was removed and still runs"
        for watch in self.watches:
            latest = max(
                (
                    b.revision
                    for b in self.oracle.batches
                    if any(e.key.startswith(watch.prefix) for e in b.events)
                ),
                default=0,
            )
            if watch.seen < latest:
                return f"the watch on {watch.prefix!r} is at {watch.seen}, not at {latest}"
        return None

    # Safety.

    def _check_held(self) -> None:
        """Sessions that are kept alive in calm times are there."""
        for holder in self.holders:
            record = holder.record
            if record is not None and record.confirmed_at > self._calm_since:
                story = self.oracle.sessions.get(record.id)
                gone = story is None or story.ended_at is not None
                if (
                    gone
                    and not record.closing
                    and record.gone_at is None
                    and not self.profile.jumps
                ):
                    due = record.confirmed_at + record.ttl_s
                    if record.broken_at < record.confirmed_at and self.loop.now < due:
                        self.complaints.append(f"session {record.id} is kept alive and gone")

    def _check(self) -> None:
        truth, history, profile = self.oracle.truth, self.history, self.profile
        checks: list[Callable[[], list[str]]] = [
            lambda: check_writes(history.writes, truth),
            lambda: check_counters(truth),
            lambda: check_order(history.writes, history.reads),
            lambda: check_reads(history.reads, truth),
            lambda: check_watches(history.watches, truth, complete=False),
            lambda: check_keys_of_sessions(truth),
            lambda: check_sessions(
                history.sessions,
                truth,
                now=self.loop.now,
                calm_since=self._calm_since,
                slack_s=LINGER_S_MAX,
                drift=None if profile.jumps else profile.drift,
            ),
            lambda: check_heirs(
                self.oracle.heirs,
                truth,
                now=self.loop.now,
                calm_since=self._calm_since,
                slack_s=LINGER_S_MAX,
                drift=None if profile.jumps else profile.drift,
            ),
        ]
        for check in checks:
            self.complaints += check()


def run_seed(seed: int, out: TextIO | None = None) -> Report:
    """Runs one simulation; with `out`, its trace is printed there."""
    profile = profile_of(seed)
    with simulated() as loop, determined(seed, loop):
        scenario = Scenario(profile, loop, out)
        try:
            loop.run_until_complete(scenario.run())
        except Stuck as stuck:
            scenario.complaints.append(f"stuck: {stuck}")
        except Exception:
            scenario.complaints.append(f"the simulation itself failed: {traceback.format_exc()}")
    history, oracle = scenario.history, scenario.oracle
    strange, decided = check_linearizable(history)
    complaints = [
        *oracle.complaints,
        *scenario.hosts.complaints,
        *loop.complaints,
        *history.complaints,
        *scenario.complaints,
        *strange,
    ]
    return Report(
        seed=seed,
        digest=scenario.trace.digest,
        complaints=complaints,
        entries=oracle.entry_count,
        acknowledged=sum(write.fate is Fate.APPLIED for write in history.writes),
        reads=len(history.reads),
        told=sum(len(watch.told) for watch in history.watches),
        heirs=len(oracle.heirs),
        steps=loop.steps,
        seconds=loop.now - 1_000,
        undecided=not decided,
        noted=scenario.trace.lines,
    )
