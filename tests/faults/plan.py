"""Which faults a round consists of. A seed and a number decide everything but when things happen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Victims = Literal["leader", "follower", "majority", "all"]
Shape = Literal["alone", "mute", "deaf", "one-way", "halves"]


@dataclass(frozen=True)
class Kill:
    """Nodes end at once, and start again after a while."""

    victims: Victims
    for_s: float


@dataclass(frozen=True)
class Stop:
    """Nodes are asked to end, and start again after a while."""

    victims: Victims
    for_s: float


@dataclass(frozen=True)
class Pause:
    """Nodes stand still for a while, which they don't notice."""

    victims: Victims
    for_s: float


@dataclass(frozen=True)
class Partition:
    """Some members don't hear of some others. `cut`: connections end; else nothing arrives, and nobody is told.

    alone: one member and the others don't hear of each other. mute: the others don't hear of it. deaf: it does not hear
    of the others. one-way: nothing gets from one member to one other. halves: a minority and the rest are apart.
    """

    shape: Shape
    around: Victims
    cut: bool
    for_s: float


@dataclass(frozen=True)
class Slow:
    """Bytes take longer, or trickle."""

    shape: Shape
    around: Victims
    delay_s: float
    rate_bytes_s: float
    for_s: float


@dataclass(frozen=True)
class FullDisk:
    """Nothing more fits on the disk of a node."""

    victims: Victims


@dataclass(frozen=True)
class SyncFails:
    """fsync fails on a node."""

    victims: Victims


Fault = Kill | Stop | Pause | Partition | Slow | FullDisk | SyncFails

KINDS = (
    "kill-leader",
    "partition-stalled",
    "kill-majority",
    "pause-long",
    "one-way",
    "stop-leader",
    "kill-all",
    "sync-fails",
    "slow",
    "kill-follower",
    "partition-cut",
    "full-disk",
    "pause-short",
    "stop-all",
    "halves",
    "pause-majority",
)

ALONE = ("full-disk", "sync-fails")
"""Kinds that need to know how their node takes it."""


def describe(fault: Fault) -> str:
    """A fault in a few words."""
    match fault:
        case Kill(victims, for_s):
            return f"kill {victims} {for_s:.1f}s"
        case Stop(victims, for_s):
            return f"stop {victims} {for_s:.1f}s"
        case Pause(victims, for_s):
            return f"pause {victims} {for_s:.1f}s"
        case Partition(shape, around, cut, for_s):
            return f"{'cut' if cut else 'stall'} {shape} {around} {for_s:.1f}s"
        case Slow(shape, around, delay_s, rate, for_s):
            how = f"{delay_s * 1000:.0f}ms" if delay_s else f"{rate / 1000:.0f}kB/s"
            return f"slow {shape} {around} {how} {for_s:.1f}s"
        case FullDisk(victims):
            return f"full disk of {victims}"
        case SyncFails(victims):
            return f"fsync of {victims} fails"


def make_plan(seed: int, number: int, left_out: Sequence[str] = ()) -> list[tuple[Fault, ...]]:
    """Returns the faults of round `number`: one of each kind in turn, and some that chance adds.

    Those of one tuple happen together.
    """
    rng = random.Random(f"{seed}/{number}")
    kinds = [kind for kind in KINDS if kind not in left_out]
    order = random.Random(seed).sample(kinds, len(kinds))
    chosen = [order[number % len(order)]]
    light = [kind for kind in kinds if kind not in ALONE]
    chosen += rng.sample(light, rng.choice((0, 1, 1, 2)))
    rng.shuffle(chosen)
    steps: list[tuple[Fault, ...]] = []
    before = ALONE[0]
    for kind in chosen:
        fault = make_fault(kind, rng)
        if before not in ALONE and kind not in ALONE and rng.random() < 0.4:
            steps[-1] += (fault,)
        else:
            steps.append((fault,))
        before = kind
    return steps


def make_fault(kind: str, rng: random.Random) -> Fault:
    """Returns a fault of a kind; chance decides the rest."""
    one: Victims = rng.choice(("leader", "leader", "follower"))
    down_s = rng.choice((0.0, rng.uniform(0.1, 1.0), rng.uniform(1.5, 3.0)))
    apart_s = rng.choice((rng.uniform(0.2, 0.5), rng.uniform(1.5, 4.0)))
    shape: Shape
    match kind:
        case "kill-leader" | "kill-follower" | "kill-majority" | "kill-all":
            victims: Victims = _victims(kind)
            return Kill(victims, down_s)
        case "stop-leader" | "stop-all":
            return Stop(_victims(kind), down_s)
        case "pause-short":
            return Pause(one, rng.uniform(0.1, 0.5))
        case "pause-long":
            return Pause(one, rng.uniform(1.5, 3.5))
        case "pause-majority":
            return Pause("majority", rng.uniform(0.3, 2.5))
        case "partition-stalled" | "partition-cut":
            shape = rng.choice(("alone", "alone", "mute", "deaf"))
            return Partition(shape, one, kind.endswith("cut"), apart_s)
        case "one-way":
            shape = rng.choice(("one-way", "mute", "deaf"))
            return Partition(shape, one, False, apart_s)
        case "halves":
            return Partition("halves", "leader", rng.random() < 0.5, apart_s)
        case "slow":
            shape = rng.choice(("alone", "mute", "deaf", "one-way"))
            delayed = rng.random() < 0.6
            delay_s = rng.choice((0.05, 0.2, 0.6)) if delayed else 0.0
            return Slow(shape, one, delay_s, 0.0 if delayed else 20_000.0, rng.uniform(1.5, 3.5))
        case "full-disk":
            return FullDisk(one)
        case "sync-fails":
            return SyncFails(one)
        case _:
            raise ValueError(f"there is no fault {kind!r}; there are {', '.join(KINDS)}")


def _victims(kind: str) -> Victims:
    for victims in ("leader", "follower", "majority", "all"):
        if kind.endswith(victims):
            return victims
    raise ValueError(kind)


def choose(
    victims: Victims, numbers: Sequence[int], leader: int | None, rng: random.Random
) -> list[int]:
    """Returns the nodes that are meant; without a leader, any may be taken for it."""
    first = leader if leader is not None else rng.choice(numbers)
    others = rng.sample([n for n in numbers if n != first], len(numbers) - 1)
    match victims:
        case "leader":
            return [first]
        case "follower":
            return others[:1]
        case "majority":
            return [first, *others][: len(numbers) // 2 + 1]
        case "all":
            return list(numbers)


def directions(
    shape: Shape, center: int, numbers: Sequence[int], rng: random.Random
) -> list[tuple[int, int]]:
    """Returns from whom to whom a disturbance reaches."""
    others = rng.sample([n for n in numbers if n != center], len(numbers) - 1)
    away = [(center, other) for other in others]
    towards = [(other, center) for other in others]
    match shape:
        case "alone":
            return away + towards
        case "mute":
            return away
        case "deaf":
            return towards
        case "one-way":
            return [rng.choice(away + towards)]
        case "halves":
            few = [center, *others[: (len(numbers) - 1) // 2 - 1]]
            many = [n for n in numbers if n not in few]
            return [pair for a in few for b in many for pair in ((a, b), (b, a))]
