"""When a check is due, and what of its outcome is worth writing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coordinator.catalog.health import CheckResult
from coordinator.catalog.index import Index
from coordinator.catalog.instances import Instance, InstanceState
from coordinator.checks.watched import RECHECK_S, Watched, to_write
from coordinator.config import Limits
from coordinator.state.model import KeyValue

PASSING, CRITICAL = InstanceState("passing"), InstanceState("critical", "no")


def instance(check: dict[str, Any], session: int = 7, revision: int = 5) -> Instance:
    index = Index()
    value = json.dumps({"address": "a", "port": 1, "checks": {"c": check}}).encode()
    index.put(KeyValue(b"/services/s/instances/i", value, 4, revision, 1, session), revision)
    found = index.instance("s", "i")
    assert found is not None
    return found


def watch(check: dict[str, Any], known: CheckResult | None = None) -> Watched:
    return Watched(instance(check), "c", known, Limits())


def test_what_is_known_is_begun_with() -> None:
    two = {"kind": "tcp", "failures_before_critical": 2}
    assert watch(two).verdict.status is None
    assert watch(two, CheckResult(PASSING, 7, 6)).verdict.status == "passing"
    assert watch(two, CheckResult(PASSING, 8, 6)).verdict.status is None, "of another session"
    found = watch({"kind": "tcp", "interval_ms": 1})
    assert found.check is None and "interval_ms" in found.wrong
    assert found.verdict.observe(False) == "critical"


def test_first_runs_are_spread_and_early_if_nothing_is_known() -> None:
    found = watch({"kind": "tcp", "interval_ms": 10_000})
    due = []
    for _ in range(200):
        found.plan_first(100.0, 102.0, known=False)
        assert found.due is not None and 100 <= found.due <= 102
        found.plan_first(100.0, 102.0, known=True)
        due.append(found.due)
        found.plan_next(100.0, 101.0)
        assert 109.5 <= found.due <= 110.5
    assert 100 <= min(due) < 102 and 108 < max(due) <= 110
    found.plan_next(100.0, 200.0)
    assert found.due == 200.0, "a run that took long is not made up for"
    wrong = watch({"kind": "tcp", "port": 0})
    wrong.plan_next(100.0, 100.0)
    assert wrong.due is not None and abs(wrong.due - 100 - RECHECK_S) < 1
    silent = watch({"kind": "ttl", "ttl_ms": 1000})
    silent.plan_first(100.0, 100.0, known=False)
    assert silent.due is None and silent.next_due() is None


def test_the_removal_is_due_after_it_was_critical_for_long_enough() -> None:
    found = watch({"kind": "tcp", "deregister_critical_after_ms": 5000})
    assert found.removal_due() is None
    found.note_status("critical", 100.0)
    found.note_status("critical", 103.0)
    assert found.removal_due() == 105.0
    found.due = 104.0
    assert found.next_due() == 104.0
    found.busy = True
    assert found.next_due() == 105.0
    found.removable_from = 106.0
    assert found.removal_due() == 106.0
    found.note_status("passing", 107.0)
    assert found.removal_due() is None and found.next_due() is None
    assert watch({"kind": "tcp"}).removal_due() is None


def test_another_definition_address_or_session_is_another_check() -> None:
    check = {"kind": "tcp"}
    found = watch(check)
    assert found.same(instance(check, revision=9))
    assert not found.same(instance(check, session=8))
    assert not found.same(instance({"kind": "tcp", "port": 2}))


@pytest.mark.parametrize(
    ("known", "status", "note", "written"),
    [
        (None, "passing", "", True),
        (CheckResult(PASSING, 7, 6), "passing", "", False),
        (CheckResult(PASSING, 7, 6), "critical", "no", True),
        (CheckResult(CRITICAL, 7, 6), "critical", "for another reason", False),
        (CheckResult(CRITICAL, 7, 4), "critical", "for another reason", True),
        (CheckResult(CRITICAL, 7, 4), "critical", "no", False),
        (CheckResult(PASSING, 8, 6), "passing", "", True),
        (CheckResult(InstanceState("warning"), 7, 6), "passing", "", True),
    ],
)
def test_only_changes_are_written(
    known: CheckResult | None, status: str, note: str, written: bool
) -> None:
    check = {"kind": "tcp"}
    found = to_write(watch(check), instance(check), known, status, note)
    assert found == (InstanceState(status, note) if written else None)


def test_what_a_service_reports_is_left_alone() -> None:
    wrong = {"kind": "ttl", "ttl_ms": 1}
    found = watch(wrong)
    assert to_write(found, instance(wrong), CheckResult(PASSING, 99, 1), "critical", "x") is None
    assert to_write(found, instance(wrong), None, "critical", "x") == InstanceState("critical", "x")
