"""Writes that are sent again under their number: what reaches the cluster, and what the program is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coordinator.errors import Status
from coordinator_client import (
    Delete,
    Get,
    Key,
    LimitExceeded,
    OutcomeUnknown,
    Put,
    SessionNotFound,
    Unavailable,
    aio,
)
from coordinator_client._async.numbered import METADATA
from coordinator_client.pb import kv_pb2
from tests.unit.client import ledger as say
from tests.unit.client.ledger import WAIT_S, Ledger, arrive, failing, held
from tests.unit.client.scripted import Answer, Context
from tests.unit.client.stage import Stage


@pytest.fixture
async def client(endpoints: list[str]) -> AsyncIterator[aio.Client]:
    async with aio.connect(endpoints, shuffle=False) as client:
        yield client


# --- numbers --------------------------------------------------------------------------------------


async def test_all_writes_share_one_session_and_acknowledge_those_before(
    ledger: Ledger, client: aio.Client
) -> None:
    await asyncio.gather(*(client.put(f"/{number}") for number in range(20)))
    await client.put("/last")
    (opened,) = ledger.opened
    assert dict(opened.metadata) == METADATA
    assert (opened.ttl_ms, opened.HasField("disconnect_grace_ms")) == (60_000, False)
    assert sorted(sequence for _, _, sequence, _ in ledger.puts) == list(range(1, 22))
    assert ledger.puts[-1] == ("/last", 1, 21, 21)
    assert all(below <= sequence for _, _, sequence, below in ledger.puts)


async def test_what_only_reads_opens_no_session(ledger: Ledger, endpoints: list[str]) -> None:
    async with aio.connect(endpoints) as client:
        assert client.endpoint in endpoints
    assert (ledger.opened, ledger.closed) == ([], [])


async def test_every_kind_of_write_carries_its_number(
    stage: Stage, client_of_stage: aio.Client
) -> None:
    client = client_of_stage
    seen: list[int] = []
    writes = client._writes
    whole = writes.call

    async def note(method: Any, request: Any, timeout_s: float | None = None) -> Any:
        reply = await whole(method, request, timeout_s)
        seen.append(request.request.sequence)
        return reply

    writes.call = note  # type: ignore[method-assign]  # looks on
    async with client.session(5) as session:
        await session.put("/a")
        revision = (await client.put("/b")).revision
        await client.delete("/b")
        await client.delete("/", prefix=True)
        await client.txn().then(Put("/c")).commit()
        await client.txn().when(Key("/c").missing()).otherwise(Delete("/c")).commit()
        await client.txn().then(Get("/c")).commit()
        await client.compact(revision)
        assert await client.close_session(session.id) == 0
    assert seen == list(range(1, 9))


@pytest.fixture
async def client_of_stage(stage: Stage) -> AsyncIterator[aio.Client]:
    async with aio.connect(stage.addresses) as client:
        yield client


# --- sent again -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble", [say.lost, say.no_leader, say.unknown, failing(Status.INTERNAL)]
)
async def test_a_write_is_sent_again_under_its_number_to_another_node(
    ledger: Ledger, client: aio.Client, endpoints: list[str], trouble: Answer
) -> None:
    ledger.answers.append(trouble)
    assert (await client.put("/a")).key == b"/a"
    assert ledger.puts == [("/a", 1, 1, 1), ("/a", 1, 1, 1)]
    assert client.endpoint == endpoints[1]


async def test_a_silent_node_is_left_in_time(ledger: Ledger, client: aio.Client) -> None:
    ledger.answers.append(say.silent)
    await client.put("/a", timeout_s=3)
    assert ledger.puts == [("/a", 1, 1, 1), ("/a", 1, 1, 1)]


async def test_what_is_sent_again_tells_what_was_finished_meanwhile(
    ledger: Ledger, client: aio.Client
) -> None:
    go = asyncio.Event()

    async def later(request: kv_pb2.PutRequest, context: Context) -> None:
        await go.wait()
        await say.lost(request, context)

    first_held = asyncio.Event()
    ledger.answers += [held(first_held), later]
    first = asyncio.create_task(client.put("/first"))
    await arrive(ledger, 2)
    second = asyncio.create_task(client.put("/second"))
    await arrive(ledger, 1)
    first_held.set()
    await first
    go.set()
    await second
    assert ledger.puts[1:] == [("/second", 1, 2, 1), ("/second", 1, 2, 2)]


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([say.no_leader] * 99, Unavailable),
        ([say.lost] * 99, OutcomeUnknown),
        ([say.lost] + [say.no_leader] * 99, OutcomeUnknown),
        ([say.silent] * 99, OutcomeUnknown),
    ],
)
async def test_the_deadline_ends_it_and_its_outcome_is_what_all_attempts_say(
    ledger: Ledger, client: aio.Client, answers: list[Answer], error: type[Exception]
) -> None:
    await client.put("/warm-up")
    ledger.answers += answers
    started = time.monotonic()
    with pytest.raises(error):
        await client.put("/a", timeout_s=0.6)
    assert time.monotonic() - started < 2
    ledger.answers.clear()
    await client.put("/b")
    # What was given up is acknowledged: should it still arrive, it is not applied.
    assert ledger.puts[-1] == ("/b", 1, 3, 3)


async def test_a_refusal_after_a_lost_answer(ledger: Ledger, client: aio.Client) -> None:
    verdict = failing(Status.NOT_FOUND, "SESSION_NOT_FOUND", session="9")
    ledger.answers += [say.lost, verdict]
    with pytest.raises(SessionNotFound):
        await client.put("/a", session=9)
    limit = failing(Status.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", applied="no")
    ledger.answers += [limit, say.lost, limit]
    with pytest.raises(LimitExceeded):
        await client.put("/a")
    with pytest.raises(OutcomeUnknown):
        await client.put("/a")


async def test_a_defect_is_not_asked_about_for_ever(ledger: Ledger, client: aio.Client) -> None:
    ledger.answers += [failing(Status.INTERNAL)] * 99
    with pytest.raises(OutcomeUnknown):
        await client.put("/a")
    assert len(ledger.puts) == 3


# --- the session ----------------------------------------------------------------------------------


async def test_when_the_session_ended_what_was_not_applied_goes_under_a_new_one(
    ledger: Ledger, client: aio.Client
) -> None:
    await client.put("/a")
    ledger.answers += [say.no_leader, say.forgotten]
    await client.put("/b")
    assert ledger.puts[1:] == [("/b", 1, 2, 2), ("/b", 1, 2, 2), ("/b", 2, 1, 1)]
    await client.put("/c")
    assert ledger.puts[-1] == ("/c", 2, 2, 2)


async def test_when_the_session_ended_what_may_have_been_applied_is_not_sent_again(
    ledger: Ledger, client: aio.Client
) -> None:
    ledger.answers += [say.lost, say.forgotten]
    with pytest.raises(OutcomeUnknown):
        await client.put("/a")
    assert len(ledger.puts) == 2
    ledger.answers.append(say.forgotten)
    await client.put("/b")
    assert ledger.puts[2:] == [("/b", 1, 2, 2), ("/b", 2, 1, 1)]


async def test_a_session_that_always_ends_is_not_opened_for_ever(
    ledger: Ledger, client: aio.Client
) -> None:
    ledger.answers += [say.forgotten] * 99
    with pytest.raises(Unavailable, match="session"):
        await client.put("/a", timeout_s=0.5)
    assert 2 < len(ledger.opened) < 20


async def test_a_session_that_was_lost_is_replaced_by_the_next_write(
    ledger: Ledger, endpoints: list[str]
) -> None:
    async with aio.connect(endpoints, request_ttl_s=0.6) as client:
        await client.put("/a")
        ledger.alive = False
        async with asyncio.timeout(WAIT_S):
            line = client._writes._line  # type: ignore[attr-defined]  # what only tests look at
            await line.session.lost.wait()
        ledger.alive = True
        await client.put("/b")
        assert [opened.ttl_ms for opened in ledger.opened] == [600, 600]
    assert [put[:3] for put in ledger.puts] == [("/a", 1, 1), ("/b", 2, 1)]
    # The lost one is left alone: what was sent under it may still be asked for.
    assert ledger.closed == [2]


async def test_a_pause_of_the_program_beyond_the_ttl_is_noticed_before_sending(
    ledger: Ledger, endpoints: list[str]
) -> None:
    async with aio.connect(endpoints, request_ttl_s=0.5) as client:
        await client.put("/a")
        await asyncio.wait_for(ledger.kept.acquire(), WAIT_S)
        time.sleep(0.7)  # The whole loop stands still, as under SIGSTOP.
        await client.put("/b")
    assert [put[:3] for put in ledger.puts] == [("/a", 1, 1), ("/b", 2, 1)]


async def test_a_session_that_can_not_be_opened_leaves_the_write_unsent(
    ledger: Ledger, client: aio.Client
) -> None:
    full = failing(Status.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", applied="no")
    ledger.open_answers += [full, *[say.no_leader] * 9, say.silent]
    with pytest.raises(LimitExceeded):
        await client.put("/a")
    with pytest.raises(Unavailable):
        await client.put("/a", timeout_s=0.2)
    ledger.open_answers = type(ledger.open_answers)([say.silent])
    with pytest.raises(Unavailable):
        await client.put("/a", timeout_s=0.2)
    assert not ledger.puts
    await client.put("/a")
    assert ledger.puts == [("/a", 1, 1, 1)]


async def test_one_that_gives_up_opening_leaves_it_to_the_next(
    ledger: Ledger, client: aio.Client
) -> None:
    ledger.open_answers += [say.silent, say.silent]
    first = asyncio.create_task(client.put("/first"))
    await arrive(ledger, 1)
    hasty = asyncio.create_task(client.put("/hasty", timeout_s=0.2))
    third = asyncio.create_task(client.put("/third"))
    with pytest.raises(Unavailable):
        await hasty
    first.cancel()
    await arrive(ledger, 1)  # The third opens now, and a node is silent again.
    await third
    assert [put[0] for put in ledger.puts] == ["/third"]
