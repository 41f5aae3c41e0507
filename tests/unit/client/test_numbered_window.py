"""Numbered writes that wait for each other, that end with their client, and that meet real nodes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

import coordinator_client
from coordinator_client import Closed, LimitExceeded, OutcomeUnknown, Unavailable, aio
from tests.unit.client import ledger as say
from tests.unit.client.ledger import WAIT_S, Ledger, arrive, held
from tests.unit.client.scripted import scripted
from tests.unit.client.stage import Stage, StageThread


@pytest.fixture
async def client(endpoints: list[str]) -> AsyncIterator[aio.Client]:
    async with aio.connect(endpoints, shuffle=False) as client:
        yield client


# --- the window -----------------------------------------------------------------------------------


async def test_beyond_the_window_writes_wait_in_their_order(
    ledger: Ledger, endpoints: list[str]
) -> None:
    async with aio.connect(endpoints, request_window=2) as client:
        first, second = asyncio.Event(), asyncio.Event()
        ledger.answers += [held(first), held(second)]
        puts = [asyncio.create_task(client.put("/0"))]
        await arrive(ledger, 2)
        for number in range(1, 6):
            puts.append(asyncio.create_task(client.put(f"/{number}")))
            await asyncio.sleep(0)
        await arrive(ledger, 1)
        with pytest.raises(Unavailable, match="2 writes"):
            await client.put("/late", timeout_s=0.1)
        # The second makes no room: what the cluster keeps is counted from the lowest number on.
        second.set()
        await puts[1]
        with pytest.raises(Unavailable, match="2 writes"):
            await client.put("/late", timeout_s=0.1)
        assert len(ledger.puts) == 2
        puts[2].cancel()
        first.set()
        await asyncio.gather(*puts, return_exceptions=True)
        assert [put[0] for put in ledger.puts] == ["/0", "/1", "/3", "/4", "/5"]
        await client.put("/6")
        assert ledger.puts[-1][2:] == (6, 6)


async def test_what_the_cluster_has_no_room_for_is_numbered_again(
    ledger: Ledger, client: aio.Client
) -> None:
    first = asyncio.Event()
    ledger.answers += [held(first), say.crowded, say.crowded]
    slow = asyncio.create_task(client.put("/slow"))
    await arrive(ledger, 2)
    large = asyncio.create_task(client.put("/large"))
    await arrive(ledger, 2)
    first.set()
    await slow
    await large
    # Under its first number it would have stood in the way of acknowledging what came after.
    numbers = [put[2:] for put in ledger.puts if put[0] == "/large"]
    assert numbers[0] == (2, 1) and numbers[-1] == (4, 4)


async def test_what_may_have_been_applied_keeps_its_number_even_without_room(
    ledger: Ledger, client: aio.Client
) -> None:
    ledger.answers += [say.lost, say.crowded, say.crowded]
    await client.put("/a")
    assert ledger.puts == [("/a", 1, 1, 1)] * 4


async def test_no_room_until_the_deadline_is_a_refusal(ledger: Ledger, client: aio.Client) -> None:
    ledger.answers += [say.crowded] * 99
    with pytest.raises(LimitExceeded):
        await client.put("/a", timeout_s=0.3)


async def test_a_canceled_write_holds_up_nothing_and_its_number_is_not_used_again(
    ledger: Ledger, client: aio.Client
) -> None:
    ledger.answers.append(say.silent)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.put("/canceled")
    await client.put("/next")
    assert ledger.puts == [("/canceled", 1, 1, 1), ("/next", 1, 2, 2)]


# --- the end --------------------------------------------------------------------------------------


async def test_the_session_ends_with_the_client(ledger: Ledger, endpoints: list[str]) -> None:
    client = aio.connect(endpoints)
    await client.put("/a")
    await client.close()
    await client.close()
    assert ledger.closed == [1]
    with pytest.raises(Closed):
        await client.put("/b")


async def test_closing_ends_what_waits(ledger: Ledger, endpoints: list[str]) -> None:
    client = aio.connect(endpoints, request_window=1)
    ledger.answers.append(say.silent)
    under_way = asyncio.create_task(client.put("/a"))
    await arrive(ledger, 2)
    waiting = asyncio.create_task(client.put("/b"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(OutcomeUnknown):
        await under_way
    with pytest.raises(Closed):
        await waiting


async def test_closing_while_the_session_is_being_opened(
    ledger: Ledger, endpoints: list[str]
) -> None:
    client = aio.connect(endpoints)
    ledger.open_answers.append(say.silent)
    puts = [asyncio.create_task(client.put(f"/{number}")) for number in range(2)]
    await arrive(ledger, 1)
    await client.close()
    for put in puts:
        with pytest.raises(Closed):
            await put


async def test_closing_without_a_node_takes_no_longer_than_a_second() -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(scripted())
        Ledger().serve(server)
        client = aio.connect(server.endpoint)
        await client.put("/a")
        await stack.aclose()
        started = time.monotonic()
        await client.close()
        assert time.monotonic() - started < 2.5


# --- against real nodes ---------------------------------------------------------------------------


async def test_applied_unseen_it_is_not_applied_again(stage: Stage) -> None:
    """Its node is lost between the proposal and the answer; the next one knows what it came to."""
    async with aio.connect(stage.endpoints, shuffle=False) as client:
        await client.put("/k", "0")
        stage.bus.held = True
        entries = len(stage.bus.log)
        writing = asyncio.create_task(client.put("/k", "1", prev=True))
        async with asyncio.timeout(WAIT_S):
            while len(stage.bus.log) == entries:
                await asyncio.sleep(0.001)
        await stage.stop_front(0)
        stage.bus.held = False
        stage.bus.commit()
        result = await writing
        kv = await client.get("/k")
    assert kv is not None and (kv.text, kv.version) == ("1", 2)
    assert result.revision == kv.mod_revision
    assert result.prev is not None and result.prev.text == "0"


async def test_large_results_are_waited_for(stage: Stage) -> None:
    """Each result is a mebibyte; the cluster keeps about four of a session."""
    async with aio.connect(stage.addresses, timeout_s=20) as client:
        value = b"x" * (1 << 20)
        await asyncio.gather(*(client.put(f"/{number}", value) for number in range(4)))
        results = await asyncio.gather(
            *(client.put(f"/{number % 4}", value, prev=True) for number in range(16))
        )
        versions = sorted(result.prev.version for result in results if result.prev is not None)
    assert versions == sorted([1, 2, 3, 4] * 4)


def test_many_threads_share_a_window_while_nodes_go_and_come(stage_thread: StageThread) -> None:
    endpoints = stage_thread.endpoints
    problems: list[Exception] = []
    with coordinator_client.connect(endpoints, timeout_s=20, request_window=3) as client:

        def work(number: int) -> None:
            try:
                for _ in range(25):
                    client.put(f"/m/{number}")
            except Exception as problem:
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            lost = client.endpoint
            time.sleep(0.05)
            stage_thread.stop_front(lost)
            time.sleep(0.05)
            stage_thread.start_front(lost)
        for thread in threads:
            thread.join(30)
        assert problems == []
        found = client.range("/m/", prefix=True).kvs
    assert [kv.version for kv in found] == [25] * 8


async def test_writes_that_follow_each_other_at_once_overtake_nobody(stage: Stage) -> None:
    """Each of the first takes the next number in the turn of the loop in which its last one is finished."""
    async with aio.connect(stage.addresses, request_window=8) as client:
        done: list[int] = []

        async def write(caller: int) -> None:
            for _ in range(20):
                await client.put(f"/{caller}")
                done.append(caller)

        await asyncio.gather(*(write(caller) for caller in range(12)))
        assert {done.count(caller) for caller in range(12)} == {20}
        # While all of them write, none is behind by more than some rounds.
        for caller in range(12):
            assert done.index(caller) < 36
