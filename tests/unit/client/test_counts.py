from __future__ import annotations

import pytest

from coordinator_client import InvalidArgument, counts

LARGEST, SMALLEST = 2**63 - 1, -(2**63)


@pytest.mark.parametrize("number", [0, 1, -1, 10, LARGEST, SMALLEST])
def test_what_is_written_is_read(number: int) -> None:
    assert counts.parse("/counters/x", str(number).encode()) == number


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-",
        b"-0",
        b"01",
        b"+1",
        b" 1",
        b"1_0",
        b"1\n",
        b"x",
        b"9223372036854775808",
        b"9" * 99,
    ],
)
def test_what_no_counter_writes_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidArgument, match="/counters/x holds"):
        counts.parse("/counters/x", value)


def test_sums_stay_within_bounds() -> None:
    assert counts.sum_of(LARGEST - 1, 1) == LARGEST
    assert counts.sum_of(LARGEST, 1) is None
    assert counts.sum_of(SMALLEST, -1) is None


@pytest.mark.parametrize("n", [LARGEST + 1, SMALLEST - 1, 1.5, "1", True])
def test_steps_are_whole_numbers(n: int) -> None:
    with pytest.raises(InvalidArgument):
        counts.check_step(n)
