"""What a node proposes for its own sake, one at a time."""

from __future__ import annotations

import asyncio

from coordinator.errors import RequestError, Status
from coordinator.node.errands import Errand
from coordinator.state.commands import Command, Compact
from coordinator.state.results import Done, Outcome


async def test_one_at_a_time_whatever_becomes_of_it() -> None:
    offered: list[asyncio.Future[Outcome]] = []

    def offer(command: Command) -> asyncio.Future[Outcome]:
        offered.append(asyncio.get_running_loop().create_future())
        return offered[-1]

    errand = Errand(offer, "test")
    for count in range(1, 4):
        errand.run(Compact(1))
        errand.run(Compact(1))
        assert errand.busy and len(offered) == count
        if count == 1:
            offered[-1].set_result(Outcome(1, 1, 1, Done()))
        elif count == 2:
            offered[-1].set_exception(RequestError(Status.UNAVAILABLE, "NO_LEADER", "no"))
        else:
            offered[-1].cancel()
        await asyncio.sleep(0)
        assert not errand.busy


async def test_what_can_not_be_offered_now_can_be_later() -> None:
    def offer(command: Command) -> asyncio.Future[Outcome]:
        raise RequestError(Status.RESOURCE_EXHAUSTED, "TOO_MANY_PROPOSALS", "too many")

    errand = Errand(offer, "test")
    errand.run(Compact(1))
    assert not errand.busy
