"""Medians of rounds, ratios and verdicts, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OURS = "coordinator"
PEERS = ("etcd", "zookeeper")


@dataclass(frozen=True)
class Sample:
    """One measurement of one row on one system."""

    value: float
    """In the unit of the row."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None
    """Of all servers together, for each operation or event."""
    conflicts: float | None = None
    """For each operation that succeeded."""


@dataclass(frozen=True)
class Target:
    """What ours is to reach: with `at_most` at most, else at least."""

    ratios: Mapping[str, float] = field(default_factory=dict)
    """Times what each peer reaches."""
    limit: float | None = None
    """In the unit of the row."""
    figure: str = "value"
    at_most: bool = False


def less(ratio: float) -> Target:
    return Target(dict.fromkeys(PEERS, ratio), at_most=True)


def more(ratio: float) -> Target:
    return Target(dict.fromkeys(PEERS, ratio))


def at_most(limit: float) -> Target:
    return Target(limit=limit, at_most=True)


TARGETS = {
    "put, 1 caller": Target({"etcd": 1.0, "zookeeper": 1.0}, figure="p50_ms", at_most=True),
    "put, 64 callers": Target({"etcd": 5.0, "zookeeper": 4.0}),
    "put, 256 callers": Target({"etcd": 5.0, "zookeeper": 3.0}),
    "linearizable get, 64 callers": more(3.0),
    "unary put, 64 callers": Target({"etcd": 1.2}),
    "unary put, 256 callers": Target({"etcd": 1.2}),
    "unary linearizable get, 64 callers": Target({"etcd": 1.5}),
    "unary local get, 64 callers": Target({"etcd": 1.2}),
    "unary put, 64 callers, h2load": Target({"etcd": 1.2}),
    "unary put, 256 callers, h2load": Target({"etcd": 1.2}),
    "unary linearizable get, 64 callers, h2load": Target({"etcd": 1.5}),
    "unary local get, 64 callers, h2load": Target({"etcd": 1.2}),
    "events to 1,000 watchers, a stream each": Target({"etcd": 2.0}),
    "server CPU for such a put": Target({"etcd": 1.0}, at_most=True),
    "unary echo, 64 callers, h2load": Target({"grpcio": 3.0}),
    "compare-and-set, 64 callers, a key each": Target({"etcd": 3.0, "zookeeper": 1.5}),
    "compare-and-set, 64 callers, one key": more(1.0),
    "events to 1,000 watchers": more(2.0),
    "put to event, 1,000 watchers, 2 puts/s": less(0.5),
    "session opens, 64 at a time": more(3.0),
    "cores while 5,000 sessions are held": less(0.5),
    "expiry lag of 5,000 sessions": at_most(100),
    "memory per node, 100,000 keys of 128 B": Target({"etcd": 1.0}, at_most=True),
    "gap of writes, leader killed": at_most(0.3),
    "gap of writes, leader paused": at_most(1.0),
    "start of three nodes to the first write": at_most(2.0),
    "recovery of a node with 1,000,000 keys": at_most(15.0),
    "idle CPU of three nodes": at_most(3.0),
}

Results = Mapping[str, Mapping[str, Sequence[Sample]]]
"""Samples by row and system."""


def median(samples: Sequence[Sample], figure: str) -> float | None:
    """Returns the median of one figure; None if it is not measured."""
    figures = [value for sample in samples if (value := getattr(sample, figure)) is not None]
    return float(statistics.median(figures)) if figures else None


def _judged(figure: float, wanted: float, at_most: bool, unit: str = "") -> str:
    met = figure <= wanted if at_most else figure >= wanted
    sign = "<=" if at_most else ">="
    return f"{'meets' if met else 'misses'} {sign} {wanted:g}{unit}"


def verdict(row: str, samples: Mapping[str, Sequence[Sample]], peer: str, unit: str = "") -> str:
    """Returns how ours compares with a peer: the ratio, and whether it is what it should be.

    For ours itself: whether it keeps to the limit of the row, if there is one.
    """
    if not samples.get(OURS) or not samples.get(peer):
        return ""
    target = TARGETS.get(row, Target())
    ours = median(samples[OURS], target.figure)
    if peer == OURS:
        if target.limit is None or ours is None:
            return ""
        return _judged(ours, target.limit, target.at_most, f" {unit}".rstrip())
    theirs = median(samples[peer], target.figure)
    if ours is None or not theirs:
        return ""
    ratio = ours / theirs
    if peer not in target.ratios:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({_judged(ratio, target.ratios[peer], target.at_most)})"


def shown(value: float | None) -> str:
    """Returns a figure with three digits that mean something."""
    if value is None:
        return ""
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{places}f}"


def table(results: Results, units: Mapping[str, str]) -> str:
    """Returns all results as a Markdown table. `units`: of each row."""
    lines = [
        "| what | system | median (min-max) | unit | p50 ms | p99 ms | server CPU, us/op | ours to it |",
        "|---|---|---:|---|---:|---:|---:|---|",
    ]
    for row, by_system in results.items():
        for system, samples in by_system.items():
            if not samples:
                continue
            values = [sample.value for sample in samples]
            conflicts = median(samples, "conflicts")
            unit = units[row]
            cells = [
                row,
                system,
                f"{shown(statistics.median(values))} ({shown(min(values))}-{shown(max(values))})",
                unit if conflicts is None else f"{unit}; {conflicts:.2f} conflicts each",
                shown(median(samples, "p50_ms")),
                shown(median(samples, "p99_ms")),
                shown(median(samples, "cpu_us")),
                verdict(row, by_system, system, unit),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
