"""The guard against losing a service at once: when most of its registrations are about to vanish, they are kept.

A cluster that hears nothing from most instances of a service may be the one that is cut off, or the network is. So a
leader that is about to end sessions looks at each service that they registered: what it lost for lack of keep-alives
within the window, and how many instances that leaves of the most it had in that time. Beyond the share that may go, the
registrations stay for one window more, under a session of the cluster's own, and their states say `critical` and
`guarded`. They go for good when that session ends, and belong to their programs again as soon as these register anew.

What is closed on purpose counts nothing, and an instance that was replaced is no loss. Keys that are no registrations
are never kept.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import structlog

from coordinator.catalog.definitions import encode_state
from coordinator.catalog.instances import (
    DEFINITIONS,
    OPERATORS_WORDS,
    ROOT,
    SETTINGS,
    STATES,
    parse_state,
    split_key,
)
from coordinator.config import Limits, Timing
from coordinator.node.expiry import SYSTEM_PREFIX, Inheritance, is_system
from coordinator.state.commands import Heir, Keep, Range, Selector
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, KeyValue
from coordinator.state.results import RangeResult

KEPT_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""Of what one command keeps: it must fit into a message between members. Some 10,000 registrations of one session."""

KEEP_OVERHEAD_BYTES = 40
"""Of the numbers beside the keys and the value, at most."""

RECOUNT_S = 1.0
"""How old the number of instances that are kept may be."""

_CAUSES = {
    Cause.CONNECTION_LOST: "its connection was lost",
    Cause.SESSION_EXPIRED: "its session expired",
}
log = structlog.get_logger()


class _Wanted(msgspec.Struct):
    """What the settings of a service may say about the guard."""

    share_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    window_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] | None = None


class _Settings(msgspec.Struct):
    guard: _Wanted | None = None


class Rule(msgspec.Struct, frozen=True):
    """When the registrations of a service are kept, and for how long."""

    share_percent: int
    """More than this share of the instances must be lost."""
    window_ms: int
    """Within this time, and for as long; 0: nothing is kept."""
    instances_min: int
    """Smaller services are not guarded."""


@dataclass
class _Service:
    """What a leader remembers of a service that lost instances."""

    losses: dict[str, float] = field(default_factory=dict)
    """By instance: when its time was up; the oldest first."""
    peaks: deque[tuple[float, int]] = field(default_factory=deque)
    """Numbers of instances and when they were counted; each one is above all later ones."""
    guarded: bool = False
    kept: int = 0
    """Instances that are there, and kept."""
    ending: int = 0
    """Instances that are there, although the end of their sessions is under way."""
    counted_at: float = float("-inf")
    window_ms: int = 0

    def lose(self, ids: Sequence[str], present: int, now_s: float) -> tuple[int, int]:
        """Returns how many instances were lost within the window, and of how many, once these are gone."""
        since = now_s - self.window_ms / 1000
        peaks, losses = self.peaks, self.losses
        while peaks and peaks[-1][1] <= present:
            peaks.pop()
        peaks.append((now_s, present))
        while peaks[0][0] < since:
            peaks.popleft()
        for id in ids:
            losses.pop(id, None)
            losses[id] = now_s
        while (oldest := next(iter(losses), None)) is not None and losses[oldest] < since:
            del losses[oldest]
        peak = peaks[0][1]
        return min(len(losses), peak - (present - len(ids))), peak


@dataclass(frozen=True)
class _Judgement:
    """What was decided about sessions that were due at the same time."""

    guarded: set[str] = field(default_factory=set)
    """Services."""


@dataclass(frozen=True)
class _Ending:
    """A session that is about to end."""

    registered: tuple[tuple[str, str], ...]
    """Service and id of what it registered."""
    judgement: _Judgement


class Guard:
    """Implements `node.expiry.ExpiryPolicy`. What it remembers is this node's own, and only of use while it leads."""

    def __init__(
        self, limits: Limits, timing: Timing, draw: Callable[[], int] | None = None
    ) -> None:
        """`draw` returns ids for sessions, positive and below 2^63, never one twice."""
        self._rule = Rule(
            limits.guard_share_percent, timing.guard_window_ms, limits.guard_instances_min
        )
        self._draw = draw or (lambda: secrets.randbits(63) | 1)
        self._services: dict[str, _Service] = {}
        self._ending: dict[int, _Ending] = {}
        """By session."""
        self._forgot_at = float("-inf")

    def judge(self, state: StateMachine, ids: Sequence[int], now_s: float) -> None:
        """Decides for each service that these sessions registered whether it is guarded now."""
        self._forget(now_s)
        judgement = _Judgement()
        going: dict[str, list[str]] = {}
        for session_id in ids:
            self.settled(state, session_id)
            registered = tuple(_registered(state, session_id))
            if registered:
                self._ending[session_id] = _Ending(registered, judgement)
            for service, id in registered:
                going.setdefault(service, []).append(id)
        for service, instances in going.items():
            if self._judge(state, service, instances, now_s):
                judgement.guarded.add(service)

    def settled(self, state: StateMachine, id: int) -> None:
        """The session has ended, or it does not end now."""
        ending = self._ending.pop(id, None)
        for name, instance in ending.registered if ending is not None else ():
            service = self._services[name]
            service.ending -= 1
            service.kept += _is_kept(state, name, instance)

    def _forget(self, now_s: float) -> None:
        """Drops what is known of services that lost nothing for a while."""
        if now_s - self._forgot_at < RECOUNT_S:
            return
        self._forgot_at = now_s
        old = [
            name
            for name, service in self._services.items()
            if not service.ending and service.peaks[-1][0] < now_s - 2 * service.window_ms / 1000
        ]
        for name in old:
            del self._services[name]

    def _judge(self, state: StateMachine, name: str, ids: list[str], now_s: float) -> bool:
        """Returns whether a service that loses these instances now, too, is guarded."""
        rule = read_rule(_get(state, f"{name}/{SETTINGS}"), self._rule)
        service = self._services.setdefault(name, _Service())
        service.window_ms = rule.window_ms
        if now_s - service.counted_at > RECOUNT_S:
            service.kept = sum(_is_kept(state, name, id) for id in service.losses)
            service.counted_at = now_s
        present = max(_count(state, name) - service.kept - service.ending, len(ids))
        lost, peak = service.lose(ids, present, now_s)
        guarded = (
            rule.window_ms > 0
            and peak >= rule.instances_min
            and lost * 100 > rule.share_percent * peak
        )
        service.ending += len(ids)
        if guarded and not service.guarded:
            log.warning(
                "a service loses most of its instances; they are kept for a while",
                service=name,
                lost=lost,
                of=peak,
                window_ms=rule.window_ms,
            )
        service.guarded = guarded
        return guarded

    def keep(self, state: StateMachine, ids: Sequence[int], cause: Cause) -> Inheritance:
        """Returns the registrations of guarded services."""
        heirs: dict[str, Heir] = {}
        kept: list[Keep] = []
        size = 0
        for session_id, name, id in self._guarded(ids):
            definition = _get(state, f"{name}/{DEFINITIONS}/{id}")
            if definition is None or definition.session != session_id:
                continue
            if size > KEPT_SIZE_BYTES_MAX:
                break
            heir = heirs.get(name)
            if heir is None:
                metadata = ((f"{SYSTEM_PREFIX}guard", name),)
                window_ms = self._services[name].window_ms
                heir = heirs[name] = Heir(self._draw(), window_ms, metadata)
            mark = f"{name}/{STATES}/{id}"
            before = _get(state, mark)
            value, revision = mark_value(before, cause), before.mod_revision if before else 0
            key = ROOT + mark.encode()
            kept.append(Keep(definition.session, definition.key, heir.id, key, value, revision))
            size += 2 * len(key) + len(value) + KEEP_OVERHEAD_BYTES
        return Inheritance(tuple(heirs.values()), tuple(kept))

    def _guarded(self, ids: Sequence[int]) -> Iterator[tuple[int, str, str]]:
        """Yields (session, service, id) of the registrations that are to be kept, if they are still there."""
        for session_id in ids:
            ending = self._ending.get(session_id)
            if ending is None:
                continue
            for name, id in ending.registered:
                if name in ending.judgement.guarded:
                    yield session_id, name, id


def mark_value(before: KeyValue | None, cause: Cause) -> bytes:
    """Returns the state of an instance that is kept; `before`: the key as it is."""
    note = f"kept by the guard: {_CAUSES.get(cause, 'its session ended')} as most others' of the service"
    status = "critical"
    if before is not None:
        state = parse_state(before.value)
        # What an operator said of an instance goes on counting.
        if state.status in OPERATORS_WORDS:
            status, note = state.status, state.note or note
    return encode_state(status, note, guarded=True)


def read_rule(settings: KeyValue | None, default: Rule) -> Rule:
    """Returns the rule of a service: what its settings say, and for the rest the default.

    The settings are a JSON object; its `guard` may hold `share_percent` (1 to 100) and `window_ms` (0 to an hour).
    Anything else counts for nothing.
    """
    if settings is None:
        return default
    try:
        wanted = msgspec.json.decode(settings.value, type=_Settings).guard
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return default
    if wanted is None:
        return default
    share, window = wanted.share_percent, wanted.window_ms
    return Rule(
        default.share_percent if share is None else share,
        default.window_ms if window is None else window,
        default.instances_min,
    )


def _registered(state: StateMachine, session_id: int) -> Iterator[tuple[str, str]]:
    """Yields service and id of what a session registered. One of the cluster's own did so once already."""
    session = state.session(session_id)
    if session is None or is_system(session):
        return
    for key in state.session_keys(session_id):
        parts = split_key(key)
        if parts is not None and parts[1] == DEFINITIONS:
            yield parts[0], parts[2]


def _get(state: StateMachine, name: str) -> KeyValue | None:
    """Returns a key below the root of all services."""
    found = state.range(Range(Selector(ROOT + name.encode())))
    return found.kvs[0] if isinstance(found, RangeResult) and found.kvs else None


def _count(state: StateMachine, service: str) -> int:
    """Returns the number of definitions of a service."""
    prefix = ROOT + f"{service}/{DEFINITIONS}".encode()
    found = state.range(Range(Selector(prefix + b"/", prefix + b"0"), count_only=True))
    return found.count if isinstance(found, RangeResult) else 0


def _is_kept(state: StateMachine, service: str, id: str) -> bool:
    """Whether an instance is there under a session of the cluster's own."""
    definition = _get(state, f"{service}/{DEFINITIONS}/{id}")
    session = None if definition is None else state.session(definition.session)
    return session is not None and is_system(session)
