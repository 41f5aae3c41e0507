"""Runs the health checks that fall to this node, and writes what they come to.

What is to be checked is read from the catalog, which checks are this node's business from `holdings`. Both may be
behind what is true elsewhere; then nothing is written (see `outcomes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from coordinator.catalog.catalog import Catalog
from coordinator.catalog.feeds import EVERY
from coordinator.catalog.instances import Instance, parse_state
from coordinator.checks import outcomes
from coordinator.checks.holdings import Holdings
from coordinator.checks.probes import NotRun, Prober
from coordinator.checks.schedule import Schedule
from coordinator.checks.slots import SLOTS, slot_of
from coordinator.checks.targets import Networks, Targets
from coordinator.checks.turns import Turns
from coordinator.checks.watched import Watched, to_write
from coordinator.config import Config
from coordinator.errors import RequestError
from coordinator.node.interface import Node
from coordinator.state.commands import Range, Selector, Txn, Write
from coordinator.state.results import RangeResult, TxnResult

SLICE = 256
"""Instances that are looked at before others have their turn."""

STARTS_MAX = 32
"""Runs that begin in one turn of the loop."""

GRAIN_S = 0.005
"""What is due so soon begins at once: a loop's clock is coarser than its timers, and each waking costs something."""

FIRST_RUNS_PER_S = 200.0
"""How fast checks that have no result yet are begun: at once if there are few, not all at once if there are many."""

RETRY_S = 1.0
COMPLAINTS_S = 10.0
"""How often it is told that checks can't be run."""

STOP_S = 0.5
"""How long runs that were cancelled may take to end."""

MAINTENANCE = "maintenance"

Pair = tuple[str, str]
"""Service and id of an instance."""

log = structlog.get_logger()


class CheckRunner:
    """The health checks of one node."""

    def __init__(self, node: Node, catalog: Catalog, config: Config) -> None:
        self._node = node
        self._catalog = catalog
        self._limits = config.limits
        self._loop = asyncio.get_running_loop()
        networks = Networks(config.checks_allowed_networks)
        self._prober = Prober(Targets(networks), config.limits.check_body_bytes_max)
        self._holdings = Holdings(node, config.timing.checks_session_ttl_ms, self._slots_changed)
        self._turns: Turns[Watched] = Turns(config.limits.checks_concurrent_max)
        self._schedule: Schedule[Watched] = Schedule()
        self._timer: asyncio.TimerHandle | None = None
        self._paced = 0.0
        self._complain_from = 0.0
        self._slots: list[dict[Pair, None]] = [{} for _ in range(SLOTS)]
        """Instances that have checks, whoever runs these."""
        self._held: frozenset[int] = frozenset()
        """The slots that this node was last known to hold."""
        self._admitted: dict[Pair, dict[str, None]] = {}
        """The checks of all instances, up to the limit."""
        self._admitted_count = 0
        self._running: dict[Pair, dict[str, Watched]] = {}
        self._touched: dict[Pair, None] = {}
        self._everything = True
        self._stirred = asyncio.Event()
        self._main: list[asyncio.Task[None]] = []
        self._runs: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begins to follow the catalog, and to run what falls to this node."""
        self._stirred.set()
        parts = (self._listen, self._follow, self._holdings.run)
        self._main = [self._loop.create_task(self._keep_on(part)) for part in parts]

    @property
    def slots(self) -> frozenset[int]:
        """The slots that this node holds."""
        return frozenset(self._holdings.held)

    async def stop(self) -> None:
        """Leaves the checks to the other nodes. Idempotent."""
        main, self._main = self._main, []
        for task in main:
            task.cancel()
        if main:
            await asyncio.wait(main)
        # Without a session, no run begins any more.
        for run in list(self._runs):
            run.cancel()
        if self._runs:
            await asyncio.wait(self._runs, timeout=STOP_S)
        if self._timer is not None:
            self._timer.cancel()
        await self._prober.close()

    async def _keep_on(self, part: Callable[[], Awaitable[None]]) -> None:
        """A mistake in here must cost no more than checks that come a little later."""
        while True:
            try:
                await part()
            except Exception:
                log.exception("health checks begin anew")
                self._everything = True
                self._stirred.set()
                await asyncio.sleep(RETRY_S)

    # --- what is to be checked ------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Hears of every change of an instance."""
        subscription = self._catalog.subscribe(EVERY)
        try:
            while True:
                await subscription.wait()
                step = subscription.take()
                if step is None:
                    self._everything = True
                else:
                    instances = (change.instance for change in step.changes)
                    self._touched.update({(i.service, i.id): None for i in instances})
                self._stirred.set()
        finally:
            self._catalog.unsubscribe(subscription)

    def _slots_changed(self) -> None:
        """What was lost ends at once; what was won begins soon."""
        held = self._holdings.held
        won, self._held = held.keys() - self._held, frozenset(held)
        for pair in list(self._running):
            if slot_of(*pair) not in held:
                self._drop(pair)
        for slot in won:
            self._touched.update(self._slots[slot])
        if won:
            self._stirred.set()

    async def _follow(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            touched, self._touched = self._touched, {}
            if self._everything:
                self._everything = False
                known = itertools.chain.from_iterable(self._slots)
                touched = dict.fromkeys([*self._catalog.checked(), *known])
            for count, pair in enumerate(touched, 1):
                self._look(pair)
                if count % SLICE == 0:
                    await asyncio.sleep(0)
            self._holdings.want(any(self._slots))
            self._arm()

    def _look(self, pair: Pair) -> None:
        """Takes note of an instance as it is now."""
        instance = self._catalog.instance(*pair)
        slot = slot_of(*pair)
        names = instance.check_definitions.keys() if instance is not None else ()
        for name in [name for name in self._admitted.get(pair, ()) if name not in names]:
            del self._admitted[pair][name]
            self._admitted_count -= 1
        if instance is None or not names:
            self._slots[slot].pop(pair, None)
            self._admitted.pop(pair, None)
            self._drop(pair)
            return
        self._slots[slot][pair] = None
        for name in names:
            self._admit(pair, name)
        if slot in self._holdings.held:
            self._adopt(instance)

    def _admit(self, pair: Pair, name: str) -> bool:
        admitted = self._admitted.setdefault(pair, {})
        if name not in admitted and self._admitted_count < self._limits.checks_max:
            admitted[name] = None
            self._admitted_count += 1
        return name in admitted

    def _adopt(self, instance: Instance) -> None:
        """Runs the checks of an instance from now on, and no others."""
        now = self._loop.time()
        pair = instance.service, instance.id
        running = self._running.setdefault(pair, {})
        for name in [name for name in running if name not in instance.check_definitions]:
            self._forget(running.pop(name))
        for name, seen in instance.checks.items():
            watched = running.get(name)
            if watched is None or not watched.same(instance):
                if watched is not None:
                    self._forget(watched)
                watched = running[name] = self._begin(instance, name, now)
            # In maintenance an instance may fail its checks for as long as its operator likes.
            held_back = instance.state.status == MAINTENANCE
            watched.note_status("" if held_back else seen.status, now)
            self._plan(watched)

    def _begin(self, instance: Instance, name: str, now: float) -> Watched:
        known = self._catalog.result(instance.service, instance.id, name)
        watched = Watched(instance, name, known, self._limits)
        self._paced = max(now, self._paced)
        watched.plan_first(now, self._paced, watched.verdict.status is not None)
        if watched.due == self._paced:
            self._paced += 1 / FIRST_RUNS_PER_S
        return watched

    def _drop(self, pair: Pair) -> None:
        for watched in self._running.pop(pair, {}).values():
            self._forget(watched)

    def _forget(self, watched: Watched) -> None:
        watched.gone = True
        self._schedule.remove(watched)

    # --- when -------------------------------------------------------------------------------------------

    def _plan(self, watched: Watched) -> None:
        due = watched.next_due()
        if watched.gone or due is None:
            self._schedule.remove(watched)
        else:
            self._schedule.put(watched, due)

    def _arm(self) -> None:
        """Lets the timer wake when the next check is due."""
        due = self._schedule.next_due()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        for watched in self._schedule.take(now + GRAIN_S, STARTS_MAX):
            removal = watched.removal_due()
            if removal is not None and removal <= now + GRAIN_S:
                # If it can't be done now, or the catalog does not hear of it at once.
                watched.removable_from = now + RETRY_S
                self._spawn(self._remove(watched))
            if watched.due is not None and watched.due <= now + GRAIN_S and not watched.busy:
                watched.busy = True
                self._turns.ask(watched, watched.suspect)
            self._plan(watched)
        self._begin_runs()
        self._arm()

    def _begin_runs(self) -> None:
        while (watched := self._turns.next()) is not None:
            if watched.gone or not self._holdings.sure():
                self._turns.done(watched)
                self._plan_next(watched, self._loop.time())
            else:
                self._spawn(self._run(watched))

    def _plan_next(self, watched: Watched, began: float) -> None:
        watched.busy = False
        watched.plan_next(began, self._loop.time())
        self._plan(watched)
        self._arm()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)

    # --- one run ----------------------------------------------------------------------------------------

    async def _run(self, watched: Watched) -> None:
        began = self._loop.time()
        wrong = self._excess(watched) or watched.wrong or None
        try:
            if wrong is None and watched.check is not None:
                wrong = await self._prober.probe(watched.check)
        except NotRun as error:
            self._complain(str(error))
            self._plan_next(watched, began)
            return
        finally:
            self._turns.done(watched)
            self._begin_runs()
        try:
            if not watched.gone and self._holdings.sure():
                watched.suspect = wrong is not None
                await self._conclude(watched, wrong)
        finally:
            self._plan_next(watched, began)

    def _complain(self, reason: str) -> None:
        now = self._loop.time()
        if now >= self._complain_from:
            self._complain_from = now + COMPLAINTS_S
            log.warning("a health check could not be run; others may not be, too", reason=reason)

    def _excess(self, watched: Watched) -> str | None:
        """Returns which limit a check is beyond, if it is."""
        instance = self._catalog.instance(*watched.pair)
        if watched.gone or instance is None:
            # Nobody would take it out of what is admitted again.
            return None
        names = sorted(instance.check_definitions)
        most = self._limits.checks_per_instance_max
        if watched.name in names[most:]:
            return f"not checked: an instance may have {most} checks (checks_per_instance_max)"
        if not self._admit(watched.pair, watched.name):
            most = self._limits.checks_max
            return f"not checked: there are {most} checks already (checks_max)"
        return None

    async def _conclude(self, watched: Watched, wrong: str | None) -> None:
        """Writes the state of a check, if it is another one than before."""
        instance = self._catalog.instance(*watched.pair)
        revision = self._holdings.held.get(slot_of(*watched.pair))
        if instance is None or revision is None or not watched.same(instance):
            return
        status = watched.verdict.observe(wrong is None)
        if status is None:
            return
        known = self._catalog.result(*watched.pair, watched.name)
        state = to_write(watched, instance, known, status, wrong or "")
        if state is not None:
            slot = slot_of(*watched.pair)
            await self._write(outcomes.result_of(instance, slot, revision, watched.name, state))

    async def _remove(self, watched: Watched) -> None:
        """Removes an instance one of whose checks failed for too long."""
        instance = self._catalog.instance(*watched.pair)
        slot = slot_of(*watched.pair)
        revision = self._holdings.held.get(slot)
        known = self._catalog.result(*watched.pair, watched.name)
        if instance is None or revision is None or not self._holdings.sure():
            return
        # What is due was planned by what was last looked at, which may be behind what the catalog knows by now.
        if watched.gone or not watched.same(instance):
            return
        if instance.checks[watched.name].status != "critical" or self._excess(watched):
            return
        if instance.state.status == MAINTENANCE:
            return
        state = self._node.state.range(Range(Selector(outcomes.state_key(instance))))
        (kv,) = (state.kvs if isinstance(state, RangeResult) else ()) or (None,)
        if kv is not None and parse_state(kv.value).status == MAINTENANCE:
            return
        judged = 0 if known is None else known.mod_revision
        own = 0 if kv is None else kv.mod_revision
        txn = outcomes.removal_of(instance, slot, revision, watched.name, judged, own)
        if await self._write(txn):
            log.info(
                "removed an instance whose check failed for too long",
                service=watched.service,
                id=watched.id,
                check=watched.name,
            )

    async def _write(self, txn: Txn) -> bool:
        """Returns whether it was written. If not, the next run of the check comes back to it."""
        deadline = self._loop.time() + self._node.timing.request_timeout_ms_default / 1000
        with contextlib.suppress(RequestError):
            outcome = await self._node.propose(Write(txn), deadline)
            return isinstance(outcome.result, TxnResult) and outcome.result.succeeded
        return False
