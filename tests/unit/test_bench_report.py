"""How the benchmark sums up its samples."""

from __future__ import annotations

from benchmarks.peers.plan import units
from benchmarks.peers.report import TARGETS, Sample, median, table, verdict

PUT = "put, 64 callers"


def samples(*rates: float, p50_ms: float = 1.0) -> list[Sample]:
    return [Sample(rate, p50_ms, 2.0, 10.0) for rate in rates]


def test_every_target_is_measured() -> None:
    assert TARGETS.keys() <= units(quick=False, many_keys=1_000_000).keys()


def test_a_rate_is_to_be_large_and_a_latency_small() -> None:
    rates = {"coordinator": samples(1_000, 5_500, 9_000), "etcd": samples(1_000)}
    assert median(rates["coordinator"], "value") == 5_500
    assert verdict(PUT, rates, "etcd") == "5.50 (meets >= 5)"
    rates["etcd"] = samples(2_000)
    assert verdict(PUT, rates, "etcd") == "2.75 (misses >= 5)"
    alone = {"coordinator": samples(9, p50_ms=2.0), "etcd": samples(9, p50_ms=1.0)}
    assert verdict("put, 1 caller", alone, "etcd") == "2.00 (misses <= 1)"
    alone["etcd"] = samples(9, p50_ms=4.0)
    assert verdict("put, 1 caller", alone, "etcd") == "0.50 (meets <= 1)"


def test_a_limit_is_for_ours_alone() -> None:
    gap = "gap of writes, leader killed"
    gaps = {"coordinator": samples(0.1, 0.2, 0.9), "etcd": samples(2.0)}
    assert verdict(gap, gaps, "coordinator", "s") == "meets <= 0.3 s"
    assert verdict(gap, gaps, "etcd", "s") == "0.10"
    assert verdict(gap, {"coordinator": samples(0.4)}, "coordinator", "s") == "misses <= 0.3 s"


def test_what_has_no_target_or_no_peer_has_no_verdict() -> None:
    both = {"coordinator": samples(10), "etcd": samples(5)}
    assert verdict("put, 16 callers", both, "etcd") == "2.00"
    assert verdict(PUT, both, "zookeeper") == ""
    assert verdict(PUT, {"coordinator": samples(1), "etcd": samples(0)}, "etcd") == ""


def test_the_table_has_a_row_for_each_system() -> None:
    results = {PUT: {"coordinator": samples(1, 3, 2), "etcd": samples(4)}}
    rows = table(results, {PUT: "ops/s"}).splitlines()
    assert len(rows) == 4
    assert rows[2].startswith(
        "| put, 64 callers | coordinator | 2.00 (1.00-3.00) | ops/s | 1.00 | 2.00 | 10.0 |"
    )
    assert rows[3].endswith("| 0.50 (misses >= 5) |")
