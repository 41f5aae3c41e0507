"""Writes that depend on what others write, from a member that does not know the latest."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.api.registry_writes import RegistryWrites, change_of_state
from coordinator.errors import RequestError
from coordinator.state.commands import Put, RequestId, SessionOpen, Txn, Write
from coordinator.state.results import RangeResult
from tests.bus import Bus
from tests.unit.catalog.test_catalog import definition

DEFINITION, STATE = b"/services/pay/instances/a", b"/services/pay/state/a"
WRITE = change_of_state(DEFINITION, STATE, "draining", "")


def deadline() -> float:
    return asyncio.get_running_loop().time() + 5


async def owned_by(bus: Bus, session: int) -> None:
    """Opens a session, and gives the instance to it."""
    put = definition("a")
    await bus.nodes[0].propose(SessionOpen(session, 10_000), deadline())
    txn = Txn((), (Put(put.key, put.value, session),))
    await bus.nodes[0].propose(Write(txn), deadline())


async def test_a_member_that_is_behind_writes_under_the_session_of_now() -> None:
    async with Bus() as bus:
        await owned_by(bus, 1)
        bus.behind.add(2)
        await owned_by(bus, 2)
        writing = asyncio.create_task(
            RegistryWrites(bus.nodes[1]).run_dependent(WRITE, None, deadline())
        )
        await bus.settle()
        bus.behind.clear()
        bus.apply(bus.members[1])
        written = await writing
        assert written is not None and written.result.succeeded
        state = bus.nodes[0].state
        assert state.session_keys(2) == (DEFINITION, STATE) and state.session_keys(1) == ()


async def test_a_numbered_write_that_met_something_else_says_so_however_often_it_is_sent() -> None:
    async with Bus() as bus:
        await owned_by(bus, 1)
        bus.behind.add(2)
        await owned_by(bus, 2)
        writes, number = RegistryWrites(bus.nodes[1]), RequestId(1, 1)

        # The member looks, and then the instance changes, before the write has its place in the log.
        async def overtaken() -> None:
            bus.before_barrier = None

        bus.before_barrier = overtaken
        writing = asyncio.create_task(writes.run_dependent(WRITE, number, deadline()))
        await bus.settle()
        bus.behind.clear()
        bus.apply(bus.members[1])
        for attempt in (writing, writes.run_dependent(WRITE, number, deadline())):
            with pytest.raises(RequestError) as caught:
                await attempt
            assert (caught.value.reason, caught.value.details) == (
                "INSTANCE_CHANGED",
                {"applied": "no"},
            )
        assert await writes.run_dependent(WRITE, RequestId(1, 2), deadline()) is not None


async def test_there_must_be_an_instance() -> None:
    async with Bus() as bus:
        writes = RegistryWrites(bus.nodes[1])
        assert await writes.run_dependent(WRITE, None, deadline()) is None
        assert bus.nodes[1].state.key_count == 0
        written = await writes.run(WRITE.make((None, None)), None, deadline())
        assert not written.result.succeeded and written.found == (None, None)
        assert all(isinstance(look, RangeResult) for look in written.result.responses)
