"""Errors that handlers share."""

from __future__ import annotations

import asyncio
from typing import cast

from coordinator.errors import Status
from coordinator.rpc import Call, deadline_of, invalid, too_large


class Fixed:
    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline


async def test_a_call_without_deadline_gets_the_default() -> None:
    now = asyncio.get_running_loop().time()
    assert deadline_of(cast(Call, Fixed(None)), 5.0) >= now + 5.0
    assert now + 0.8 < deadline_of(cast(Call, Fixed(now + 1)), 5.0) < now + 1
    assert deadline_of(cast(Call, Fixed(now + 100)), 5.0) == now + 99.9


def test_errors_name_the_field_and_the_limit() -> None:
    error = invalid("key", "is empty")
    assert error.status is Status.INVALID_ARGUMENT
    assert error.details == {"field": "key"} and error.message == "key: is empty"
    error = too_large("size", 3, 2)
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert error.details == {"limit": "2", "applied": "no"}
