"""Medians of rounds, ratios and verdicts, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OURS = "coordinator"


@dataclass(frozen=True)
class Sample:
    """One round of one workload on one system."""

    rate_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Of all servers together, for each operation."""


@dataclass(frozen=True)
class Target:
    """At least `ratio` times the rate, or with `latency` at most that share of the median latency, of each peer."""

    ratios: Mapping[str, float]
    latency: bool = False


TARGETS = {
    "put, 1 caller": Target({"etcd": 1.0, "zookeeper": 1.0}, latency=True),
    "put, 64 callers": Target({"etcd": 5.0, "zookeeper": 4.0}),
    "put, 256 callers": Target({"etcd": 5.0, "zookeeper": 3.0}),
    "linearizable get, 64 callers": Target({"etcd": 3.0}),
    "compare-and-set, 64 callers, a key each": Target({"etcd": 3.0, "zookeeper": 1.5}),
    "compare-and-set, 64 callers, one key": Target({"etcd": 1.0, "zookeeper": 1.0}),
}

Results = Mapping[str, Mapping[str, Sequence[Sample]]]
"""Samples by workload and system."""


def median(samples: Sequence[Sample], name: str) -> float:
    """Returns the median of one figure."""
    return float(statistics.median(getattr(sample, name) for sample in samples))


def verdict(workload: str, samples: Mapping[str, Sequence[Sample]], peer: str) -> str:
    """Returns how ours compares with a peer: the ratio, and whether it is what it should be."""
    if OURS not in samples or peer not in samples:
        return ""
    target = TARGETS.get(workload)
    figure = "p50_ms" if target is not None and target.latency else "rate_per_s"
    theirs = median(samples[peer], figure)
    ratio = median(samples[OURS], figure) / theirs if theirs else 0.0
    if target is None or peer not in target.ratios:
        return f"{ratio:.2f}"
    wanted = target.ratios[peer]
    met = ratio <= wanted if target.latency else ratio >= wanted
    sign = "<=" if target.latency else ">="
    return f"{ratio:.2f} ({'meets' if met else 'misses'} {sign} {wanted:g})"


def table(results: Results) -> str:
    """Returns all results as a Markdown table."""
    lines = [
        "| workload | system | ops/s, median (min-max) | p50 ms | p99 ms | server CPU, us/op | ours to it |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for workload, by_system in results.items():
        for system, samples in by_system.items():
            rates = [sample.rate_per_s for sample in samples]
            spread = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
            cells = [
                workload,
                system,
                spread,
                f"{median(samples, 'p50_ms'):.2f}",
                f"{median(samples, 'p99_ms'):.2f}",
                f"{median(samples, 'cpu_us'):.0f}",
                "" if system == OURS else verdict(workload, by_system, system),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
