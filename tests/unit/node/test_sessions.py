"""A session never dies early and never lingers, whoever leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from coordinator.errors import RequestError
from coordinator.node.messages import Renewal
from coordinator.state.commands import (
    Put,
    Range,
    Selector,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Write,
)
from coordinator.state.model import Batch, Cause
from coordinator.state.results import Failure, RangeResult, SessionResult
from tests.bus import Bus

TTL_MS = 400
SLACK_S = 1.5
"""How late a busy machine may be."""


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with Bus() as bus:
        yield bus


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def now() -> float:
    return asyncio.get_running_loop().time()


def ttls(renewals: Sequence[Renewal]) -> list[int]:
    return [renewal.ttl_ms for renewal in renewals]


async def opened(bus: Bus, session_id: int, ttl_ms: int = TTL_MS, node: int = 1) -> int:
    outcome = await bus.nodes[node].propose(SessionOpen(session_id, ttl_ms), soon())
    assert isinstance(outcome.result, SessionResult)
    return session_id


async def gone(bus: Bus, session_id: int, within_s: float) -> float:
    """Waits until the session has ended; returns when."""
    async with asyncio.timeout(within_s):
        while bus.nodes[0].state.session(session_id) is not None:
            await asyncio.sleep(0.005)
    return now()


async def test_a_silent_session_ends_after_its_ttl_and_takes_its_keys(bus: Bus) -> None:
    start = now()
    await opened(bus, 7)
    await bus.nodes[2].propose(Write(Put(b"/e", b"", session=7)), soon())
    ended = await gone(bus, 7, 2.0)
    assert TTL_MS / 1000 <= ended - start < TTL_MS / 1000 + SLACK_S
    result = bus.nodes[1].state.range(Range(Selector(b"/e")))
    assert isinstance(result, RangeResult)
    assert not result.kvs


async def test_a_new_leader_gives_every_session_its_full_ttl_again(bus: Bus) -> None:
    await opened(bus, 7)
    await asyncio.sleep(TTL_MS / 2000)
    elected = now()
    bus.elect(2)
    ended = await gone(bus, 7, 2.0)
    assert ended - elected >= TTL_MS / 1000


async def test_a_deposed_leader_ends_nobody(bus: Bus) -> None:
    await opened(bus, 7)
    bus.held = True
    await asyncio.sleep(TTL_MS / 1000 + 0.1)  # the leader has proposed the end; it is not committed
    assert bus.nodes[0].state.session(7) is not None
    bus.elect(2)  # the new leader has that entry in its log, behind which it opens its term
    bus.held = False
    bus.commit()
    await bus.settle()
    assert bus.nodes[0].state.session(7) is None  # it came before the new term: rightly ended
    await opened(bus, 8)
    bus.held = True
    stale = bus.nodes[1]._expirer
    term = bus.term
    bus.elect(3)
    bus.held = False
    await bus.settle()
    await bus.nodes[1].propose(SessionExpire(term, (8,)), soon())
    assert bus.nodes[0].state.session(8) is not None
    assert stale.open_term == 0


async def test_no_keep_alive_is_confirmed_before_the_term_is_opened(bus: Bus) -> None:
    await opened(bus, 7, 10_000)
    bus.held = True
    bus.elect(2)
    await bus.settle()
    with pytest.raises(RequestError):
        await bus.nodes[2].keep_alive([7], soon(0.2))
    bus.held = False
    bus.commit()
    assert ttls(await bus.nodes[2].keep_alive([7], soon())) == [10_000]


async def test_a_keep_alive_waits_for_an_expiry_under_way(bus: Bus) -> None:
    await opened(bus, 7)
    bus.held = True
    await asyncio.sleep(TTL_MS / 1000 + 0.1)
    answer = asyncio.create_task(bus.nodes[1].keep_alive([7], soon()))
    await asyncio.sleep(0.05)
    assert not answer.done()
    bus.held = False
    bus.commit()
    assert ttls(await answer) == [0]


async def test_the_leader_itself_waits_for_an_expiry_under_way(bus: Bus) -> None:
    await opened(bus, 7)
    expirer = bus.nodes[0]._expirer
    bus.held = True
    async with asyncio.timeout(5):
        while not expirer._ending:
            await asyncio.sleep(0.005)
    answer = asyncio.create_task(expirer.keep_alive([7], [-1], 5.0))
    await bus.settle()
    assert not answer.done()
    bus.held = False
    bus.commit()
    assert await answer == (Renewal(0),)


async def test_an_expiry_that_began_meanwhile_is_not_denied(bus: Bus) -> None:
    await opened(bus, 7)
    expirer = bus.nodes[0]._expirer

    async def expire() -> None:
        bus.held = True
        while not expirer._ending:
            await asyncio.sleep(0.005)

    bus.before_confirm = expire
    assert await expirer.keep_alive([7], [-1], 5.0) is None


async def test_the_opening_of_an_earlier_term_starts_no_deadlines(bus: Bus) -> None:
    await opened(bus, 7)
    bus.held = True
    bus.elect(1)
    expirer = bus.nodes[0]._expirer
    expirer.term_opened(bus.term - 1)
    assert expirer.open_term == 0
    expirer.term_opened(bus.term)
    assert expirer.open_term == bus.term


async def test_a_keep_alive_counts_from_its_arrival_not_from_its_confirmation(bus: Bus) -> None:
    await opened(bus, 7)
    await asyncio.sleep(TTL_MS / 2000)

    async def slow() -> None:
        await asyncio.sleep(TTL_MS / 2000)

    bus.before_confirm = slow
    arrived = now()
    assert ttls(await bus.nodes[0].keep_alive([7], soon())) == [TTL_MS]
    bus.before_confirm = None
    ended = await gone(bus, 7, 2.0)
    assert TTL_MS / 1000 <= ended - arrived < TTL_MS / 1000 + SLACK_S


async def test_an_id_taken_again_has_a_deadline_of_its_own(bus: Bus) -> None:
    await opened(bus, 7)
    await bus.nodes[0].propose(SessionClose(7), soon())
    start = now()
    await opened(bus, 7)
    ended = await gone(bus, 7, 2.0)
    assert ended - start >= TTL_MS / 1000


async def test_a_leader_that_stood_still_first_hears_what_arrived_meanwhile(bus: Bus) -> None:
    await opened(bus, 7, 600)
    await asyncio.sleep(0.1)
    answer = asyncio.create_task(bus.nodes[1].keep_alive([7], soon()))
    time.sleep(0.8)  # nothing runs in this process, as when it is paused
    assert ttls(await answer) == [600]
    assert bus.nodes[0].state.session(7) is not None


async def test_a_session_that_the_leader_has_not_applied_yet_is_not_called_gone(bus: Bus) -> None:
    bus.behind = {1}
    await opened(bus, 7, 10_000)

    async def apply() -> None:
        bus.apply(bus.members[0])

    bus.before_barrier = apply
    assert ttls(await bus.nodes[0].keep_alive([7], soon())) == [10_000]


@pytest.mark.parametrize("when", ["confirming", "waiting"])
async def test_a_leader_that_lost_its_term_meanwhile_confirms_nothing(bus: Bus, when: str) -> None:
    await opened(bus, 7, 600 if when == "waiting" else 10_000)
    expirer = bus.nodes[0]._expirer
    if when == "waiting":
        bus.held = True
        await asyncio.sleep(0.8)  # its end is under way
        answer = asyncio.create_task(expirer.keep_alive([7], [0], 5.0))
        await bus.settle()
        bus.lose()
        bus.elect(2)
        bus.elect(1)
        bus.held = False
        assert await answer is None
    else:

        async def change() -> None:
            bus.before_confirm = None
            bus.elect(2)
            bus.elect(1)
            await bus.settle()

        bus.before_confirm = change
        assert await expirer.keep_alive([7], [0], 5.0) is None


async def graceful(bus: Bus, ttl_ms: int = 10_000, grace_ms: int = 200) -> int:
    """Opens session 7 with a disconnect grace; returns the number of its first stream, on the second member."""
    await bus.nodes[1].propose(SessionOpen(7, ttl_ms, grace_ms), soon())
    return await attached(bus, 1, 0)


async def attached(bus: Bus, node: int, number: int) -> int:
    (renewal,) = await bus.nodes[node].keep_alive([7], soon(), [number])
    return renewal.attachment


async def cause(bus: Bus) -> Cause:
    (batch,) = [b for b in batches(bus) if any(e.key == b"/e" and e.kv is None for e in b.events)]
    return batch.events[0].cause


def batches(bus: Bus) -> Sequence[Batch]:
    found = bus.nodes[0].state.batches(2, 100)
    assert not isinstance(found, Failure)
    return found


async def test_a_broken_stream_leaves_a_session_its_grace(bus: Bus) -> None:
    number = await graceful(bus)
    await bus.nodes[0].propose(Write(Put(b"/e", b"", session=7)), soon())
    assert number > 0
    lost = now()
    bus.nodes[1].connection_lost({7: number})
    ended = await gone(bus, 7, 5.0)
    assert 0.2 <= ended - lost < 0.2 + SLACK_S
    assert await cause(bus) is Cause.CONNECTION_LOST


@pytest.mark.parametrize("node", [0, 1, 2])
async def test_coming_back_over_another_stream_in_time_saves_it(bus: Bus, node: int) -> None:
    number = await graceful(bus)
    bus.nodes[1].connection_lost({7: number})
    await bus.settle()
    assert await attached(bus, node, 0) > number
    await asyncio.sleep(0.5)
    assert bus.nodes[0].state.session(7) is not None


async def test_a_late_report_of_an_old_stream_is_ignored(bus: Bus) -> None:
    number = await graceful(bus)
    newer = await attached(bus, 2, 0)
    assert newer > number
    bus.nodes[1].connection_lost({7: number})
    await asyncio.sleep(0.5)
    assert bus.nodes[0].state.session(7) is not None
    assert await attached(bus, 2, newer) == newer


async def test_after_a_change_of_leader_an_old_report_means_nothing(bus: Bus) -> None:
    number = await graceful(bus)
    bus.elect(2)
    await bus.settle()
    bus.nodes[1].connection_lost({7: number})
    await asyncio.sleep(0.5)
    assert bus.nodes[0].state.session(7) is not None
    assert await attached(bus, 1, number) > number


async def test_without_a_grace_or_a_stream_the_ttl_applies(bus: Bus) -> None:
    await opened(bus, 7, 10_000)
    number = await attached(bus, 1, 0)
    bus.nodes[1].connection_lost({7: number})
    await bus.nodes[1].propose(SessionOpen(8, 10_000, 100), soon())
    (renewal,) = await bus.nodes[1].keep_alive([8], soon())
    assert renewal.attachment == 0
    bus.nodes[1].connection_lost({8: 0, 9: 1})
    await asyncio.sleep(0.4)
    assert bus.nodes[0].state.session(7) is not None
    assert bus.nodes[0].state.session(8) is not None


async def test_a_grace_does_not_lengthen_a_life(bus: Bus) -> None:
    start = now()
    number = await graceful(bus, ttl_ms=600, grace_ms=600)
    await asyncio.sleep(0.3)
    deadline = bus.nodes[0]._expirer._deadlines[7]
    bus.nodes[1].connection_lost({7: number})
    await bus.settle()
    assert bus.nodes[0]._expirer._deadlines[7] == deadline
    ended = await gone(bus, 7, 5.0)
    assert ended - start < 0.6 + SLACK_S
