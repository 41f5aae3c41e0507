"""One round of faults after the other, and what came of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from coordinator_client import aio
from tests.faults.disks import abandon, build_fsync_fault, why_no_mount
from tests.faults.fleet import Fleet, FleetError, running
from tests.faults.inject import Injector
from tests.faults.observers import Change, KeptSession, Observer
from tests.faults.plan import Fault, describe, make_plan
from tests.faults.verdict import judge
from tests.faults.workload import Trace, Worker
from tests.linearizability.checker import check
from tests.linearizability.models import Counter, Register
from tests.linearizability.search import Verdict

WORKERS = 8
WORKERS_USUAL = 3
"""So many use the client as users do, and never wait for a node that is gone; see `Worker`."""
SESSIONS = 3
WARM_UP_S = 0.7
AFTER_S = 1.0
PROGRESS_TIMEOUT_S = 30.0
ROOM_TIMEOUT_S = 5.0
CATCH_UP_TIMEOUT_S = 20.0
CHECK_TIMEOUT_S = 60.0


@dataclass
class Round:
    """What came of one round."""

    number: int
    faults: list[str]
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    reads: int = 0
    unanswered: int = 0
    terms: int = 0
    """How many terms began."""
    longest_gap_s: float = 0.0
    """Longest time without an acknowledged write."""
    changes: int = 0
    """Revisions' changes in the history of the round."""
    took_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The round in one line, and one more for each problem."""
        verdict = "ok" if not self.problems else "WRONG"
        head = (
            f"round {self.number:3} {verdict:5} acknowledged {self.acknowledged:5} unknown {self.unknown:3}"
            f" refused {self.refused:3} reads {self.reads:5} unanswered {self.unanswered:3} terms {self.terms:2}"
            f" gap {self.longest_gap_s:4.1f}s took {self.took_s:4.1f}s  {', '.join(self.faults)}"
        )
        return "\n".join([head, *(f"      {problem}" for problem in self.problems)])


@dataclass
class Report:
    """All rounds."""

    seed: int
    nodes: int
    left_out: list[str]
    """Why some faults are not among them."""
    rounds: list[Round] = field(default_factory=list)

    @property
    def wrong(self) -> bool:
        return any(one.problems for one in self.rounds)

    def totals(self) -> str:
        """Everything together, in words."""
        names = ("acknowledged", "unknown", "refused", "reads", "unanswered", "terms", "changes")
        sums = {name: sum(getattr(one, name) for one in self.rounds) for name in names}
        gaps = sorted(one.longest_gap_s for one in self.rounds)
        wrong = [one.number for one in self.rounds if one.problems]
        counts = ", ".join(f"{name} {count}" for name, count in sums.items())
        return (
            f"{len(self.rounds)} rounds of {self.nodes} nodes, seed {self.seed}: {counts}; longest gap of a round:"
            f" median {gaps[len(gaps) // 2]:.1f} s, worst {gaps[-1]:.1f} s;"
            f" wrong rounds: {wrong or 'none'}"
        )

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


async def run_rounds(
    folder: Path,
    *,
    nodes: int,
    rounds: int,
    seed: int,
    only: Sequence[int] | None = None,
    end_s: float = float("inf"),
) -> Report:
    """Runs rounds on one cluster; prints a line for each. Begins none after `end_s`."""
    fault = await asyncio.to_thread(build_fsync_fault, folder)
    no_mount = await asyncio.to_thread(why_no_mount)
    reasons = [reason for reason in (no_mount, fault if isinstance(fault, str) else "") if reason]
    kinds = [*(["full-disk"] if no_mount else []), *(["sync-fails"] * isinstance(fault, str))]
    report = Report(seed, nodes, reasons)
    for reason in reasons:
        print(f"left out: {reason}", flush=True)
    environment = None if isinstance(fault, str) else fault
    try:
        async with (
            running(folder, nodes, proxied=True, environment=environment) as fleet,
            AsyncExitStack() as stack,
        ):
            sessions = [KeptSession(i, fleet.endpoints) for i in range(SESSIONS)]
            for session in sessions:
                stack.push_async_callback(session.close)
                await session.open()
            for number in range(rounds) if only is None else only:
                if time.monotonic() > end_s:
                    break
                plan = make_plan(seed, number, kinds)
                one = await run_round(fleet, sessions, number, plan, seed)
                report.rounds.append(one)
                print(one.line(), flush=True)
    finally:
        for i in range(1, nodes + 1) if not no_mount else ():
            abandon(folder / f"n{i}")
    return report


async def run_round(
    fleet: Fleet,
    sessions: Sequence[KeptSession],
    number: int,
    plan: Sequence[tuple[Fault, ...]],
    seed: int,
) -> Round:
    """Runs one round and checks all that was promised."""
    one = Round(number, [" + ".join(map(describe, step)) for step in plan])
    began_s = time.monotonic()
    trace = Trace()
    prefix = f"/r{number}/"
    term = await fleet.term()
    try:
        history, observers = await _disturb(fleet, one, plan, prefix, trace, f"{seed}/{number}")
        observed = {observer.name: observer.changes for observer in observers}
        one.changes = len(history)
        one.problems += [problem for observer in observers for problem in observer.problems]
        one.problems += judge(trace, history, observed)
        one.problems += await asyncio.to_thread(decide, trace)
        one.problems += [p for p in [await session.problem() for session in sessions] if p]
        await fleet.wait_digests_equal()
    except* (FleetError, aio.CoordinatorError) as errors:
        one.problems += [f"{type(error).__name__}: {error}" for error in leaves(errors)]
    one.problems += [*fleet.ended, *_tracebacks(fleet)]
    fleet.ended.clear()
    one.acknowledged, one.unknown = trace.acknowledged, trace.unknown
    one.refused, one.reads, one.unanswered = len(trace.refused), trace.reads, trace.unanswered
    one.longest_gap_s = trace.longest_gap_s()
    one.terms = await fleet.term() - term
    one.took_s = time.monotonic() - began_s
    return one


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors in a group, and in groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


async def _disturb(
    fleet: Fleet,
    one: Round,
    plan: Sequence[tuple[Fault, ...]],
    prefix: str,
    trace: Trace,
    seed: str,
) -> tuple[list[Change], list[Observer]]:
    """Lets clients work while faults happen. Returns the history of the prefix, and who watched it."""
    stop = asyncio.Event()
    rng = random.Random(f"{seed}/when")
    async with aio.connect(fleet.endpoints, timeout_s=PROGRESS_TIMEOUT_S) as client:
        first = (await client.put(f"{prefix}first", f"{prefix}first")).revision
        observers = [
            Observer(
                f"from {node.name}", [*fleet.endpoints[i:], *fleet.endpoints[:i]], prefix, first
            )
            for i, node in enumerate(fleet.nodes)
        ]
        watching = [asyncio.create_task(observer.run()) for observer in observers]
        workers = [
            Worker(f"c{i}", prefix, fleet.endpoints, trace, f"{seed}/{i}", plain=i >= WORKERS_USUAL)
            for i in range(WORKERS)
        ]
        working = [asyncio.create_task(worker.run(stop)) for worker in workers]
        try:
            await asyncio.sleep(WARM_UP_S)
            injector = Injector(fleet, rng)
            for step in plan:
                async with asyncio.TaskGroup() as together:
                    for fault in step:
                        together.create_task(injector.inject(fault))
                await asyncio.sleep(rng.choice((0.0, rng.uniform(0.2, 1.5))))
            await fleet.heal()
            await _require_progress(fleet, prefix)
            await asyncio.sleep(AFTER_S)
        finally:
            stop.set()
            for error in await asyncio.gather(*working, return_exceptions=True):
                if error is not None:
                    one.problems.append(f"a client failed: {error!r}")
            try:
                await fleet.heal()
                last = (await client.put(f"{prefix}last", f"{prefix}last")).revision
                for observer in observers:
                    if not await observer.wait_reached(last, CATCH_UP_TIMEOUT_S):
                        one.problems.append(
                            f"dead watch {observer.name}: at {observer.reached} of {last}"
                        )
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)
    return await _history(fleet, one, prefix, first, last), observers


async def _require_progress(fleet: Fleet, prefix: str) -> None:
    """A healed cluster must take writes and answer reads, on every node."""
    for node in fleet.nodes:
        key = f"{prefix}progress/{node.name}"
        async with aio.connect(node.client, timeout_s=PROGRESS_TIMEOUT_S) as client:
            await _put_once_there_is_room(client, key)
            if await client.get(key) is None:
                raise FleetError(f"{node.name} does not know of the write that it just made")


async def _put_once_there_is_room(client: aio.Client, key: str) -> None:
    """A member whose disk was full is believed to be short of room until it has told that it no longer is."""
    end_s = time.monotonic() + ROOM_TIMEOUT_S
    while True:
        try:
            await client.put(key, key)
            return
        except aio.LimitExceeded:
            if time.monotonic() > end_s:
                raise
            await asyncio.sleep(0.1)


async def _history(fleet: Fleet, one: Round, prefix: str, first: int, last: int) -> list[Change]:
    """Returns what happened, as the first node tells; the others must tell the same."""
    told: list[list[Change]] = []
    for node in fleet.nodes:
        observer = Observer(f"of {node.name} afterwards", [node.client], prefix, first)
        task = asyncio.create_task(observer.run())
        if not await observer.wait_reached(last, CATCH_UP_TIMEOUT_S):
            one.problems.append(f"{node.name} does not tell its history")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        one.problems += observer.problems
        told.append(observer.changes)
        if observer.changes != told[0]:
            one.problems.append(f"{node.name} tells another history than {fleet.nodes[0].name}")
    return told[0]


def decide(trace: Trace) -> list[str]:
    """Whether what clients saw is linearizable."""
    reports = (
        check(Register(), trace.registers, timeout_s=CHECK_TIMEOUT_S),
        check(Counter(), trace.counters, timeout_s=CHECK_TIMEOUT_S),
    )
    return [
        f"{report.verdict.value}: {report.explanation}"
        for report in reports
        if report.verdict is not Verdict.LINEARIZABLE
    ]


def _tracebacks(fleet: Fleet) -> list[str]:
    """Logs that show a traceback, each told once."""
    found = []
    for number in fleet.numbers:
        path = fleet.log_path(number)
        text = path.read_text(errors="replace")
        if "Traceback" in text:
            aside = path.with_suffix(f".traceback-{time.time_ns()}.log")
            path.rename(aside)
            found.append(f"traceback of {fleet.nodes[number - 1].name} in {aside}")
    return found
