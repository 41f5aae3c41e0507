"""Sessions of registrations that came to nothing are closed, even if that takes more than one attempt."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.api import registry_sessions
from coordinator.api.registry_sessions import InstanceSessions
from coordinator.config import Limits, Timing
from coordinator.errors import RequestError
from coordinator_client.pb import registry_pb2 as pb
from tests.bus import Bus


class Asking:
    """A call without a deadline."""

    peer = "test"
    metadata: dict[str, str] = {}  # noqa: RUF012  # never changed
    deadline = None
    peer_certificate = None


REQUEST = pb.RegisterRequest(instance=pb.Instance(service="pay", id="a"), ttl_ms=3_600_000)


async def fail(sessions: InstanceSessions, error: BaseException) -> None:
    with pytest.raises(type(error)):
        async with sessions.opened(Asking(), REQUEST):
            raise error


async def closed(bus: Bus) -> None:
    async with asyncio.timeout(10):
        while bus.nodes[0].state.session_count:
            await asyncio.sleep(0.01)


async def test_it_stays_open_if_all_went_well() -> None:
    async with Bus("a") as bus:
        async with InstanceSessions(bus.nodes[0]).opened(Asking(), REQUEST) as session:
            assert bus.nodes[0].state.session(session) is not None
        await bus.settle()
        assert bus.nodes[0].state.session(session) is not None


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()])
async def test_it_is_closed_if_not(error: BaseException) -> None:
    async with Bus("a") as bus:
        await fail(InstanceSessions(bus.nodes[0]), error)
        await closed(bus)


async def test_it_is_closed_later_if_that_fails_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_sessions, "CLOSE_PAUSE_S", 0.02)
    async with Bus("a", timing=Timing(request_timeout_ms_default=50)) as bus:
        sessions = InstanceSessions(bus.nodes[0])
        with pytest.raises(ValueError, match="none"):
            async with sessions.opened(Asking(), REQUEST):
                bus.elect(None)
                raise ValueError("none")
        # Long enough for an attempt to have failed.
        await asyncio.sleep(0.1)
        assert bus.nodes[0].state.session_count == 1
        bus.elect(1)
        await closed(bus)


async def test_what_was_refused_needs_no_closing() -> None:
    async with Bus("a", Limits(sessions_max=1)) as bus:
        sessions = InstanceSessions(bus.nodes[0])
        async with sessions.opened(Asking(), REQUEST):
            pass
        before = len(bus.log)
        with pytest.raises(RequestError, match="number of sessions"):
            async with sessions.opened(Asking(), REQUEST):
                raise AssertionError
        await bus.settle()
        assert len(bus.log) == before
