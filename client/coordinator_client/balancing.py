"""Which instance of a service gets the next call: policies, and what calls tell about instances.

No I/O: instances come from a view or from anywhere, and the program makes the calls itself.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument, NoInstance
from coordinator_client.instances import Instance
from coordinator_client.views import accepting, usable

__all__ = [
    "Balancer",
    "Call",
    "ConsistentHash",
    "Ejection",
    "LeastOutstanding",
    "Policy",
    "PowerOfTwo",
    "RoundRobin",
    "Weighted",
    "ZoneFirst",
]

WEIGHT = 1
"""Of an instance that names none."""
RING_POINTS = 64
"""Of an instance of weight 1 on the ring of a consistent hash."""
RING_WEIGHT_MAX = 16
"""Weights on the ring are scaled down so that no instance has more than so many times RING_POINTS."""

Load = Callable[[Instance], int]
"""Calls that are under way at an instance."""


class Policy(Protocol):
    """Chooses one of several instances. A balancer calls it under its lock, and never with none."""

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        """`among` is the same object as long as nothing changes. `key`: what the call is about; mostly empty."""
        ...


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        # Not all clients begin with the same one.
        self._count = random.randrange(1 << 16)

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        """See `Policy`."""
        self._count += 1
        return among[self._count % len(among)]


class Weighted:
    """Each as often as its weight says, evenly mixed; weight 0 only if there is no other."""

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        """See `Policy`."""
        weights = [_weight(instance) for instance in among]
        total = sum(weights)
        if not total:
            weights, total = [1] * len(among), len(among)
        # Bounded, and none for who has no weight: what is left from other weights, or from who went, misleads.
        credit = {
            instance.id: max(-total, min(self._credit.get(instance.id, 0), total)) + weight
            for instance, weight in zip(among, weights, strict=True)
            if weight
        }
        chosen = max(
            (instance for instance in among if instance.id in credit),
            key=lambda instance: credit[instance.id],
        )
        credit[chosen.id] -= total
        self._credit = credit
        return chosen


class LeastOutstanding:
    """The one with the fewest calls under way from this program, by its weight."""

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        """See `Policy`."""
        start = random.randrange(len(among))
        turned = (*among[start:], *among[:start])
        return min(turned, key=lambda instance: _pressure(instance, load))


class PowerOfTwo:
    """The less busy of two at random: nearly as even as looking at all, and no herd (Mitzenmacher 2001)."""

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        """See `Policy`."""
        if len(among) == 1:
            return among[0]
        first, second = random.sample(among, 2)
        if not (_weight(first) or _weight(second)):
            # Others may have a weight; if none has, any will do.
            weighted = [instance for instance in among if _weight(instance)]
            return random.choice(weighted or among)
        return min(first, second, key=lambda instance: _pressure(instance, load))


class ConsistentHash:
    """The same key goes to the same instance; when one comes or goes, few keys move (Karger 1997)."""

    def __init__(self) -> None:
        self._among: Sequence[Instance] = ()
        self._points: list[int] = []
        self._owners: list[Instance] = []

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        """See `Policy`."""
        if among is not self._among:
            self._build(among)
        at = bisect_left(self._points, _hash(key))
        return self._owners[at % len(self._owners)]

    def _build(self, among: Sequence[Instance]) -> None:
        heaviest = max(map(_weight, among))
        scale = min(1.0, RING_WEIGHT_MAX / heaviest) if heaviest else 0.0
        # Weight 0 has no place on the ring, unless there is no other.
        placed = [instance for instance in among if _weight(instance)] or among
        ring = sorted(
            (
                (_hash(f"{instance.id}#{number}".encode()), instance)
                for instance in placed
                for number in range(max(1, round(RING_POINTS * scale * _weight(instance))))
            ),
            key=lambda point: (point[0], point[1].id),
        )
        self._points = [point for point, _ in ring]
        self._owners = [owner for _, owner in ring]
        self._among = among


class ZoneFirst:
    """Those of a zone as long as there are enough of them, else all; among these another policy chooses."""

    def __init__(self, zone: str, then: Policy | None = None, *, at_least: int = 1) -> None:
        """`at_least`: with fewer instances in the zone, those of other zones take part."""
        self._zone = zone
        self._then = then or RoundRobin()
        self._at_least = validation.whole(at_least, "at_least", at_least=1)
        self._among: Sequence[Instance] = ()
        self._near: Sequence[Instance] = ()

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        """See `Policy`."""
        if among is not self._among:
            near = tuple(instance for instance in among if instance.zone == self._zone)
            self._near = near if len(near) >= self._at_least else among
            self._among = among
        return self._then.choose(self._near, load, key)


@dataclass(frozen=True)
class Ejection:
    """When an instance that fails is left alone for a while, although the cluster says that it is well."""

    failures: int = 5
    """Calls that failed in a row."""
    pause_s: float = 10.0
    """For how long; twice, three times… as long if it fails again at once."""
    pause_s_max: float = 300.0
    share_max: float = 0.5
    """Never more than this share of the instances; of two or more, one may always go."""

    def __post_init__(self) -> None:
        validation.whole(self.failures, "failures", at_least=1)
        validation.wait(self.pause_s, "pause_s")
        validation.wait(self.pause_s_max, "pause_s_max")
        if not 0 <= self.share_max <= 1:
            raise InvalidArgument(f"share_max is {self.share_max!r}, not between 0 and 1")


class _Record:
    """What this program knows of an instance from its own calls."""

    __slots__ = ("ejections", "failures", "outstanding", "until")

    def __init__(self) -> None:
        self.outstanding = 0
        self.failures = 0
        """In a row."""
        self.ejections = 0
        """In a row."""
        self.until = 0.0
        """It is left alone before this time."""


class Call:
    """One call to an instance. Leaving the block says how it went: an exception is a failure of the instance.

    What is no `Exception` (a cancellation, Ctrl-C) says nothing about it.
    """

    def __init__(self, balancer: Balancer, instance: Instance) -> None:
        self.instance = instance
        self._balancer: Balancer | None = balancer

    @property
    def endpoint(self) -> str:
        """address:port of the instance."""
        return self.instance.endpoint

    def done(self, ok: bool | None = True) -> None:
        """Says how it went, without a block; None: nothing can be said. The first word counts."""
        balancer, self._balancer = self._balancer, None
        if balancer is not None:
            balancer.note(self.instance, ok)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.done(True if error is None else False if isinstance(error, Exception) else None)


class Balancer:
    """Spreads calls over the healthy instances of a service. Safe for threads; never waits.

    Healthy are those that are passing or warning. Of these, the ones that failed for this program are left alone
    for a while. If none is healthy, those get the calls that the cluster's guard keeps listed (`Instance.spare`).
    """

    def __init__(
        self,
        instances: Callable[[], Sequence[Instance]],
        policy: Policy | None = None,
        *,
        tag: str | None = None,
        zone: str | None = None,
        ejection: Ejection | None = Ejection(),  # frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`instances` returns all there are, such as `ServiceView.instances`: the same object while nothing changes.

        `tag`, `zone`: only those with it. `ejection` None: nobody is ever left alone. A policy belongs to one balancer.
        """
        self._instances = instances
        self._policy = policy or RoundRobin()
        self._suits = accepting(tag, zone)
        self._ejection = ejection
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[tuple[str, int], _Record] = {}
        self._seen: Sequence[Instance] | None = None
        self._healthy: tuple[Instance, ...] = ()
        """Or, where none is, those that the guard keeps."""
        self._candidates: tuple[Instance, ...] = ()
        self._fresh_until = 0.0
        """The candidates stay as they are until this time, unless something happens."""

    def pick(self, key: str | bytes = b"") -> Call:
        """Returns a call to the instance that is to get it. `key`: what it is about, for a consistent hash.

        Raises NoInstance if none is healthy.
        """
        wanted = validation.to_bytes(key, "key")
        with self._lock:
            candidates = self._refresh()
            if not candidates:
                raise NoInstance("no instance of the service is healthy")
            chosen = self._policy.choose(candidates, self._load, wanted)
            self._record(chosen).outstanding += 1
        return Call(self, chosen)

    def instances(self) -> tuple[Instance, ...]:
        """Returns those that may get a call now."""
        with self._lock:
            return self._refresh()

    def note(self, instance: Instance, ok: bool | None) -> None:
        """Takes down how a call went; `Call` does this."""
        with self._lock:
            record = self._record(instance)
            record.outstanding = max(0, record.outstanding - 1)
            if ok:
                record.failures = record.ejections = 0
            elif ok is False and self._ejection is not None:
                record.failures += 1
                if record.failures >= self._ejection.failures:
                    self._eject(record, self._ejection)

    def _eject(self, record: _Record, ejection: Ejection) -> None:
        now = self._clock()
        if record.until > now:
            return  # a call that began before
        if len(self._away(now)) >= self._away_max(ejection):
            return
        # When it may take part again, one more failure is enough.
        record.failures = ejection.failures - 1
        record.ejections += 1
        record.until = now + min(ejection.pause_s * record.ejections, ejection.pause_s_max)
        self._fresh_until = 0.0

    def _away(self, now: float) -> list[_Record]:
        """Returns the records of the healthy ones that are left alone."""
        records = (self._records.get(_identity(instance)) for instance in self._healthy)
        return [record for record in records if record is not None and record.until > now]

    def _away_max(self, ejection: Ejection) -> int:
        if len(self._healthy) < 2 or not ejection.share_max:
            return 0
        return max(int(ejection.share_max * len(self._healthy)), 1)

    def _refresh(self) -> tuple[Instance, ...]:
        now = self._clock()
        present = self._instances()
        if present is self._seen and now < self._fresh_until:
            return self._candidates
        if present is not self._seen:
            self._seen = present
            self._healthy = usable(filter(self._suits, present))
            known = {_identity(instance) for instance in present}
            self._records = {
                identity: record
                for identity, record in self._records.items()
                if identity in known or record.outstanding
            }
            if self._ejection is not None:
                # Others went, so that it would be too many; the next failure counts.
                away = sorted(self._away(now), key=lambda record: record.until)
                for record in away[: max(0, len(away) - self._away_max(self._ejection))]:
                    record.until = 0.0
        untils = {
            identity: record.until
            for identity, record in self._records.items()
            if record.until > now
        }
        candidates = tuple(i for i in self._healthy if _identity(i) not in untils)
        self._candidates = candidates or self._healthy
        self._fresh_until = min(untils.values(), default=float("inf"))
        return self._candidates

    def _record(self, instance: Instance) -> _Record:
        identity = _identity(instance)
        record = self._records.get(identity)
        if record is None:
            record = self._records[identity] = _Record()
        return record

    def _load(self, instance: Instance) -> int:
        record = self._records.get(_identity(instance))
        return 0 if record is None else record.outstanding


def _identity(instance: Instance) -> tuple[str, int]:
    """A program that was started anew is another one, whatever its id."""
    return instance.id, instance.create_revision


def _weight(instance: Instance) -> int:
    return WEIGHT if instance.weight is None else instance.weight


def _pressure(instance: Instance, load: Load) -> float:
    weight = _weight(instance)
    return (load(instance) + 1) / weight if weight else float("inf")


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
