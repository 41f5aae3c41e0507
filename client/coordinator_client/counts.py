"""The numbers of counters: what fits, and how they are written."""

from __future__ import annotations

import re

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument

NUMBER_PATTERN = re.compile(rb"0|-?[1-9][0-9]{0,18}")


def fits(number: int) -> bool:
    """Whether a counter can hold the number."""
    return -validation.INT64_MAX - 1 <= number <= validation.INT64_MAX


def check_step(n: int) -> None:
    """Raises InvalidArgument for what can't be added to a counter."""
    validation.whole(n, "n", at_least=-validation.INT64_MAX - 1)


def sum_of(value: int, n: int) -> int | None:
    """Returns the sum; None if no counter can hold it."""
    return value + n if fits(value + n) else None


def parse(key: str, value: bytes) -> int:
    """Returns the number that a key holds; raises InvalidArgument if it is none that a counter writes."""
    if not NUMBER_PATTERN.fullmatch(value) or not fits(int(value)):
        raise InvalidArgument(f"{key} holds {validation.shown(value)}, not the number of a counter")
    return int(value)
