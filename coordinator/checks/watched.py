"""One check that this node runs: what it asks for, when it is due, and what came of it so far."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from coordinator.catalog.health import TTL, CheckResult, counts
from coordinator.catalog.instances import Instance, InstanceState
from coordinator.checks.definitions import Check, WrongCheck, parse_check
from coordinator.checks.verdicts import Verdict
from coordinator.config import Limits

RECHECK_S = 10.0
"""How often it is seen to that the result of a check that can't be run stands."""

JITTER = 0.05
"""Of the interval: checks that began together drift apart."""


class Watched:
    """A check of an instance, by the definition that this node knows."""

    __slots__ = (
        "busy",
        "check",
        "critical_since",
        "definition",
        "due",
        "gone",
        "id",
        "name",
        "removable_from",
        "service",
        "suspect",
        "verdict",
        "wrong",
    )

    def __init__(
        self, instance: Instance, name: str, known: CheckResult | None, limits: Limits
    ) -> None:
        """`known`: what stands in the key of its result."""
        self.service, self.id, self.name = instance.service, instance.id, name
        self.definition = _basis(instance, name)
        self.check: Check | None = None
        self.wrong = ""
        """Why it can't be run."""
        try:
            fields: Mapping[str, Any] = instance.check_definitions[name]
            self.check = parse_check(fields, instance.address, instance.port, limits)
        except WrongCheck as error:
            self.wrong = str(error)
        self.verdict = self._verdict(instance, known)
        self.due: float | None = None
        """When it runs next; None: it is not to run."""
        self.busy = False
        """Whether it is running, or about to."""
        self.gone = False
        """Whether it is not this node's business any more."""
        self.suspect = False
        """Whether its last run failed."""
        self.critical_since: float | None = None
        self.removable_from = 0.0
        """When its instance may be tried to be removed again."""

    def _verdict(self, instance: Instance, known: CheckResult | None) -> Verdict:
        status = None
        if known is not None and counts(instance.check_definitions[self.name], instance, known):
            status = known.state.status if known.state.status in ("passing", "critical") else None
        check = self.check
        if check is None:
            return Verdict(1, 1, status)
        return Verdict(check.failures_before_critical, check.successes_before_passing, status)

    @property
    def pair(self) -> tuple[str, str]:
        """Service and id of the instance."""
        return self.service, self.id

    @property
    def runs(self) -> bool:
        """Whether there is something for this node to do again and again: not if the service reports by itself."""
        return self.check is None or self.check.target is not None

    def same(self, instance: Instance) -> bool:
        """Whether an instance still asks for just this."""
        return self.definition == _basis(instance, self.name)

    def note_status(self, status: str, now: float) -> None:
        """Takes note of what readers see."""
        if status != "critical":
            self.critical_since = None
        elif self.critical_since is None:
            self.critical_since = now

    def removal_due(self) -> float | None:
        """Returns when the instance is to be removed; None: not for this check, as it is now."""
        check = self.check
        if check is None or check.deregister_s is None or self.critical_since is None:
            return None
        return max(self.critical_since + check.deregister_s, self.removable_from)

    def next_due(self) -> float | None:
        """Returns when something is to be done, if no run is under way; None: never."""
        times = [
            time
            for time in (None if self.busy else self.due, self.removal_due())
            if time is not None
        ]
        return min(times, default=None)

    def plan_first(self, now: float, paced: float, known: bool) -> None:
        """Sets the first run: a moment of the interval, or `paced` if that is earlier and nothing is known yet."""
        if self.runs:
            interval_s = self.check.interval_s if self.check is not None else RECHECK_S
            spread = now + random.random() * interval_s
            self.due = spread if known else min(spread, paced)

    def plan_next(self, began: float, now: float) -> None:
        """Sets the next run after one that began at a time."""
        interval_s = self.check.interval_s if self.check is not None else RECHECK_S
        self.due = max(now, began + interval_s * random.uniform(1 - JITTER, 1 + JITTER))


def _basis(instance: Instance, name: str) -> tuple[object, ...]:
    """What the check depends on."""
    definition = instance.check_definitions.get(name)
    return definition, instance.address, instance.port, instance.session


def to_write(
    watched: Watched, instance: Instance, known: CheckResult | None, status: str, note: str
) -> InstanceState | None:
    """Returns the result that is to be written; None: what is known says the same.

    Only changes are written. What is known from before the definition is another word, even if it says the same.
    """
    definition = instance.check_definitions[watched.name]
    state = InstanceState(status, note)
    if known is not None and watched.check is None and definition.get("kind") == TTL:
        # What the service reports counts, whatever else is wrong.
        return None
    if known is None or not counts(definition, instance, known):
        return state
    older = known.mod_revision < instance.mod_revision
    same = known.state.status == status and (not older or known.state.note == note)
    return None if same else state
