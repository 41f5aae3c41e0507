"""All that is measured, and in which order."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.peers import lifecycle
from benchmarks.peers.bare_streams import BareWatched
from benchmarks.peers.fanout import FanOut
from benchmarks.peers.holding import Holding
from benchmarks.peers.kazoo_loop import kazoo_puts
from benchmarks.peers.loops import LOOPS, closed_loop, prepare
from benchmarks.peers.outage import measure_outage
from benchmarks.peers.report import Sample
from benchmarks.peers.systems import SYSTEMS, CoordinatorOnGrpcio, System, ZooKeeper
from benchmarks.peers.unary import ECHO, measure_echo, run_unary, unary_rows

WARM_UP_CALLERS = 64
WARM_UP_S_MAX = 3.0
KAZOO_ROW = "put, 64 callers"

Found = dict[tuple[str, str], list[Sample]]
"""Samples by row and system."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    seconds: float
    """Of each loop."""
    quick: bool
    first: bool
    """Whether this is the first round, in which the longest workloads run."""
    many_keys: int
    """For memory and recovery; not measured if quick."""
    began_s: float = 0.0
    """When the cluster was started."""


async def run_loops(system: System, scale: Scale, rows: list[str]) -> Found:
    client = await system.connect()
    await prepare(client)
    warm_up = LOOPS["put, 64 callers"][1](client)
    await closed_loop(system, WARM_UP_CALLERS, min(scale.seconds, WARM_UP_S_MAX), warm_up)
    found: Found = {}
    for row in rows:
        count, make = LOOPS[row]
        sample = await closed_loop(system, count, scale.seconds, make(client))
        found[row, system.name] = [sample]
        if row == KAZOO_ROW and isinstance(system, ZooKeeper):
            sample = await kazoo_puts(system.endpoints[0], system.processes, count, scale.seconds)
            found[row, "kazoo"] = [sample]
    await client.close()
    return found


APART = "events to 1,000 watchers, a stream each"


async def watched_apart(system: System, seconds: float) -> Sample:
    watching = FanOut(BareWatched(system), 1_000)
    try:
        await watching.open()
        return await watching.saturate(seconds)
    finally:
        await watching.close()


async def run_unary_calls(system: System, scale: Scale, rows: list[str]) -> Found:
    if not system.etcd_endpoints:
        return {}
    samples = await run_unary(system, scale.seconds, [row for row in rows if row != APART])
    found = {(row, system.name): [sample] for row, sample in samples.items()}
    if APART in rows:
        found[APART, system.name] = [await watched_apart(system, scale.seconds)]
    if ECHO in rows and system.grpc_host:
        # What a host costs by itself, in the same minutes.
        found[ECHO, system.name] = [await measure_echo(system.grpc_host, scale.seconds)]
    return found


@dataclass(frozen=True)
class _Watching:
    watchers: int
    puts: int | None = None
    """At most so many, as fast as they are delivered."""
    per_s: float | None = None
    """Puts in a second; None: as fast as they are delivered."""


WATCHING = {
    # First, for what ended watches leave to do would be in the way of it.
    "put to event, 1,000 watchers, 2 puts/s": _Watching(1_000, puts=20, per_s=2.0),
    "events to 100 watchers": _Watching(100),
    "events to 1,000 watchers": _Watching(1_000),
    "events to 10,000 watchers": _Watching(10_000, puts=20),
}
QUICK_SHARE = 4


async def run_watching(system: System, scale: Scale, rows: list[str]) -> Found:
    found: Found = {}
    for row in rows:
        plan = WATCHING[row]
        puts = plan.puts and (plan.puts // QUICK_SHARE if scale.quick else plan.puts)
        watching = FanOut(system, plan.watchers)
        try:
            await watching.open()
            if plan.per_s is None:
                sample = await watching.saturate(60.0 if puts else scale.seconds, puts)
            else:
                assert puts is not None
                sample = await watching.pace(puts, plan.per_s)
        finally:
            await watching.close()
        found[row, system.name] = [sample]
    return found


OPENS = "session opens, 64 at a time"
HELD = "cores while {:,} sessions are held"
LAG = "expiry lag of {:,} sessions"
HOLD_S, HOLD_QUICK_S = 10.0, 2.0


def sessions_held(quick: bool) -> int:
    return 500 if quick else 5_000


async def run_sessions(system: System, scale: Scale, rows: list[str]) -> Found:
    count = sessions_held(scale.quick)
    held, lag = HELD.format(count), LAG.format(count)
    holding = Holding(system, count)
    found: Found = {}
    try:
        found[OPENS, system.name] = [await holding.open()]
        if held in rows:
            sample = await holding.hold(HOLD_QUICK_S if scale.quick else HOLD_S)
            found[held, system.name] = [sample]
        if lag in rows:
            found[lag, system.name] = [await holding.expire()]
    finally:
        await holding.close()
    return found


KILLED = "gap of writes, leader killed"
PAUSED = "gap of writes, leader paused"
OUTAGES = {KILLED: signal.SIGKILL, PAUSED: signal.SIGSTOP}
OUTAGES_PER_ROUND = 2


async def run_outages(system: System, scale: Scale, rows: list[str]) -> Found:
    trials = 1 if scale.quick else OUTAGES_PER_ROUND
    return {
        (row, system.name): [await measure_outage(system, OUTAGES[row]) for _ in range(trials)]
        for row in rows
    }


START = "start of three nodes to the first write"
IDLE = "idle CPU of three nodes"
MEMORY = "memory per node, {:,} keys of 128 B"
RECOVERY = "recovery of a node with {:,} keys"
IDLE_S, IDLE_QUICK_S = 15.0, 3.0
CALM_S, CALM_QUICK_S = 3.0, 1.0
"""After the start, and after a load."""


def some_keys(quick: bool) -> int:
    return 5_000 if quick else 100_000


async def run_lifecycle(system: System, scale: Scale, rows: list[str]) -> Found:
    name = system.name
    found: Found = {(START, name): [await lifecycle.first_write(system, scale.began_s)]}
    calm_s = CALM_QUICK_S if scale.quick else CALM_S
    if IDLE in rows:
        seconds = IDLE_QUICK_S if scale.quick else IDLE_S
        found[IDLE, name] = [await lifecycle.idle(system, calm_s, seconds)]
    recovers = RECOVERY.format(scale.many_keys)
    loads = [some_keys(scale.quick)] if MEMORY.format(some_keys(scale.quick)) in rows else []
    many = {MEMORY.format(scale.many_keys), recovers} & set(rows)
    if scale.first and many and not scale.quick:
        loads.append(scale.many_keys)
    if loads:
        samples = await lifecycle.memory(system, loads, calm_s)
        for count, sample in zip(loads, samples, strict=True):
            found[MEMORY.format(count), name] = [sample]
    if scale.many_keys in loads and recovers in rows:
        found[recovers, name] = [await lifecycle.recovery(system)]
    return found


@dataclass(frozen=True)
class Group:
    """Rows that are measured on one cluster, one after the other."""

    units: dict[str, str]
    """Of each row that it may find."""
    run: Callable[[System, Scale, list[str]], Awaitable[Found]]


def groups(quick: bool, many_keys: int) -> list[Group]:
    """Returns what there is to measure."""
    held = sessions_held(quick)
    watching = {row: "ms" if WATCHING[row].per_s else "events/s" for row in WATCHING}
    sessions = {OPENS: "ops/s", HELD.format(held): "cores", LAG.format(held): "ms"}
    lifetime = {START: "s", IDLE: "% of a core", MEMORY.format(some_keys(quick)): "MiB"}
    if not quick:
        lifetime |= {MEMORY.format(many_keys): "MiB", RECOVERY.format(many_keys): "s"}
    return [
        Group(dict.fromkeys(LOOPS, "ops/s"), run_loops),
        Group(unary_rows() | {APART: "events/s"}, run_unary_calls),
        Group(watching, run_watching),
        Group(sessions, run_sessions),
        Group(dict.fromkeys(OUTAGES, "s"), run_outages),
        Group(lifetime, run_lifecycle),
    ]


def units(quick: bool, many_keys: int) -> dict[str, str]:
    """Returns the unit of every row."""
    return {row: unit for group in groups(quick, many_keys) for row, unit in group.units.items()}


def measured(name: str, group: Group) -> bool:
    """Whether a group is measured on a system: the other host of our calls is compared by unary calls only."""
    return name != CoordinatorOnGrpcio.name or group.run is run_unary_calls


async def measure(name: str, rows: list[str], scale: Scale) -> Found:
    """Measures rows on a system, each group of rows on a fresh cluster."""
    found: Found = {}
    for group in groups(scale.quick, scale.many_keys):
        wanted = [row for row in group.units if row in rows and measured(name, group)]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            scale = replace(scale, began_s=time.perf_counter())
            system: System = SYSTEMS[name](Path(folder) / name)
            try:
                of_group = await group.run(system, scale, wanted)
            except Exception as error:
                error.add_note(f"{name}, one of: {'; '.join(wanted)}")
                raise
            finally:
                system.stop()
        found |= {at: samples for at, samples in of_group.items() if at[0] in wanted}
    return found
