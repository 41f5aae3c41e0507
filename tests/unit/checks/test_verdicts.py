from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.checks.verdicts import Verdict


@settings(max_examples=40)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([None, "passing", "critical"]),
    st.lists(st.booleans(), max_size=40),
)
def test_a_state_changes_after_enough_runs_in_a_row(
    failures: int, successes: int, before: str | None, runs: list[bool]
) -> None:
    verdict = Verdict(failures, successes, before)
    expected = before
    for count, run in enumerate(runs, 1):
        if count >= failures and not any(runs[count - failures : count]):
            expected = "critical"
        if count >= successes and all(runs[count - successes : count]):
            expected = "passing"
        assert verdict.observe(run) == verdict.status == expected
