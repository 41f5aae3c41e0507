"""What the runs of one check come to, one after the other."""

from __future__ import annotations


class Verdict:
    """Counts failures and successes in a row; a state changes when there are enough of them."""

    __slots__ = ("_failures", "_failures_wanted", "_successes", "_successes_wanted", "status")

    def __init__(
        self, failures_before_critical: int, successes_before_passing: int, status: str | None
    ) -> None:
        self._failures_wanted = failures_before_critical
        self._successes_wanted = successes_before_passing
        self._failures = self._successes = 0
        self.status = status
        """`passing` or `critical`; None as long as there were not enough runs to say."""

    def observe(self, passed: bool) -> str | None:
        """Takes the outcome of a run; returns the state after it."""
        if passed:
            self._failures = 0
            self._successes += 1
            if self._successes >= self._successes_wanted:
                self.status = "passing"
        else:
            self._successes = 0
            self._failures += 1
            if self._failures >= self._failures_wanted:
                self.status = "critical"
        return self.status
