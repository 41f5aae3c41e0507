from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from coordinator_client import (
    Claim,
    Client,
    Closed,
    DeadlineExceeded,
    InvalidArgument,
    OutcomeUnknown,
    SessionLost,
    aio,
)
from coordinator_client._async import queues
from tests.unit.client.losing import Loss, Overtaken
from tests.unit.client.stage import Stage

WAIT_S = 10


@pytest.fixture
async def clients(stage: Stage) -> AsyncIterator[list[aio.Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(aio.connect(stage.addresses)) for _ in range(4)]


async def texts(queue: aio.Queue | aio.PriorityQueue) -> list[str]:
    """Takes all that is there."""
    found: list[str] = []
    while True:
        try:
            found.append((await queue.take(0)).text)
        except DeadlineExceeded:
            return found


# --- the order --------------------------------------------------------------------------------


async def test_first_in_first_out(client: aio.Client) -> None:
    queue = client.queue("q")
    assert (await queue.peek(), await queue.size()) == (None, 0)
    with pytest.raises(DeadlineExceeded, match="/queues/q/"):
        await queue.take(0)
    put = [await queue.put(text) for text in "abc"]
    assert [item.id for item in put] == ["0000000000", "0000000001", "0000000002"]
    assert await queue.peek() == put[0]
    assert await queue.size() == 3
    assert await queue.take() == put[0]
    assert await texts(queue) == ["b", "c"]
    assert (await client.range("/queues/", prefix=True)).count == 0
    assert (await queue.put(b"\xff")).id == "0000000003"
    assert (await queue.take(0)).value == b"\xff"


async def test_priorities_come_first_then_the_order_of_puts(client: aio.Client) -> None:
    queue = client.priority_queue("q")
    for text, priority in [("c", 100), ("a", 9), ("e", 999_999), ("d", 100), ("b", 10)]:
        item = await queue.put(text, priority)
        assert item.priority == priority
    first = await queue.peek()
    assert first is not None and (first.text, first.priority) == ("a", 9)
    assert await queue.size() == 5
    assert await texts(queue) == ["a", "b", "c", "d", "e"]
    with pytest.raises(InvalidArgument, match="priority"):
        await queue.put("x", 1_000_000)
    # A queue without priorities is another one, even of the same name.
    await client.queue("q").put("y")
    assert await queue.size() == 0


async def test_arguments_are_looked_at_first() -> None:
    async with aio.connect("127.0.0.1:1") as client:
        for name in ("a/b", "", "ä"):
            with pytest.raises(InvalidArgument, match="queue name"):
                client.queue(name)
            with pytest.raises(InvalidArgument, match="queue name"):
                client.priority_queue(name)
        with pytest.raises(InvalidArgument, match="value"):
            await client.queue("q").put(7)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(InvalidArgument, match="timeout_s"):
            await client.queue("q").take(-1)
        with pytest.raises(InvalidArgument, match="not a session"):
            await client.queue("q").claim(7)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(Closed):
            await client.queue("q").claim(client.session())


# --- taking -----------------------------------------------------------------------------------


async def test_who_waits_gets_what_is_put(client: aio.Client) -> None:
    taking = [asyncio.create_task(client.queue("q").take(WAIT_S)) for _ in range(3)]
    await asyncio.sleep(0.05)
    for text in "abc":
        await client.queue("q").put(text)
    assert sorted([(await task).text for task in taking]) == ["a", "b", "c"]


async def test_each_item_goes_to_one_of_many_takers(clients: list[aio.Client]) -> None:
    """Takers that outnumber the items at times, and fall behind at others."""
    taken: list[str] = []

    async def take(client: aio.Client) -> None:
        queue = client.queue("q")
        while (item := await queue.take(WAIT_S)).text != "end":
            taken.append(item.text)

    takers = [asyncio.create_task(take(client)) for client in clients for _ in range(3)]
    for number in range(60):
        await clients[number % 4].queue("q").put(str(number))
    for _ in takers:
        await clients[0].queue("q").put("end")
    await asyncio.gather(*takers)
    assert sorted(taken, key=int) == [str(number) for number in range(60)]
    assert await clients[0].queue("q").size() == 0


async def test_waiting_outlives_lost_nodes_and_compaction(stage: Stage, client: aio.Client) -> None:
    async with aio.connect(stage.endpoints[0]) as other:
        taking = asyncio.create_task(client.queue("q").take(WAIT_S))
        await asyncio.sleep(0.05)
        for node in (1, 2, 0):
            await stage.stop_front(node)
        await asyncio.sleep(0.05)
        await stage.start_front(0)
        await other.queue("q").put("a")
        await other.compact((await other.put("/x")).revision)
        assert (await taking).text == "a"


async def test_a_lost_answer_loses_no_item(client: aio.Client) -> None:
    queue, loss = client.queue("q"), Loss(client)
    for text in "abc":
        await queue.put(text)
    loss.left = 2
    assert await texts(queue) == ["a", "b", "c"]
    assert loss.lost == 2


async def test_more_items_than_are_looked_at_in_one_go(
    client: aio.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "PAGE_SIZE", 2)
    queue = client.queue("q")
    async with client.session() as session:
        for number in range(7):
            await queue.put(str(number))
        claims = [await queue.claim(session, 0) for _ in range(5)]
        assert [claim.item.text for claim in claims] == ["0", "1", "2", "3", "4"]
        assert await queue.size() == 2
        first = await queue.peek()
        assert first is not None and first.text == "5"
        assert await texts(queue) == ["5", "6"]
        taking = asyncio.create_task(client.queue("q").take(WAIT_S))
        await asyncio.sleep(0.05)
        await claims[1].release()
        assert (await taking).text == "1"


async def test_what_is_given_back_behind_ones_back_is_seen(
    clients: list[aio.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item at the front becomes free while a taker looks at those further behind."""
    monkeypatch.setattr(queues, "PAGE_SIZE", 2)
    worker, taker = clients[:2]
    async with worker.session() as session:
        for number in range(3):
            await worker.queue("q").put(str(number))
        claims = [await worker.queue("q").claim(session, 0) for _ in range(3)]
        looks = Overtaken(taker, lambda _: looks.count == 2, claims[0].release)
        assert (await taker.queue("q").take(WAIT_S)).text == "0"
        assert looks.happened


# --- claims -----------------------------------------------------------------------------------


async def test_a_claimed_item_stays_until_it_is_done(client: aio.Client) -> None:
    queue = client.queue("q")
    await queue.put("a")
    async with client.session() as session:
        async with await queue.claim(session) as claim:
            assert (claim.item.text, claim.session) == ("a", session)
            assert await queue.size() == 0 and await queue.peek() is None
            for other in (client.queue("q").take(0), client.queue("q").claim(session, 0)):
                with pytest.raises(DeadlineExceeded):
                    await other
        assert (await client.range("/queues/", prefix=True)).count == 0
        for over in (claim.done, claim.release):
            with pytest.raises(Closed):
                await over()


async def test_a_block_that_fails_gives_the_item_back(client: aio.Client) -> None:
    queue = client.queue("q")
    await queue.put("a")
    await queue.put("b")
    async with client.session() as session:
        with pytest.raises(ZeroDivisionError):
            async with await queue.claim(session) as claim:
                raise ZeroDivisionError
        again = await queue.claim(session, 0)
        assert again.item == claim.item
        assert again.fence > claim.fence
        await again.release()
    assert await texts(queue) == ["a", "b"]


async def test_what_a_lost_session_had_claimed_goes_to_the_next(client: aio.Client) -> None:
    queue = client.queue("q")
    await queue.put("a")
    async with client.session() as session, client.session() as other:
        claim = await queue.claim(session)
        claiming = asyncio.create_task(client.queue("q").claim(other, WAIT_S))
        await asyncio.sleep(0.05)
        assert not claiming.done()
        await client.close_session(session.id)
        second = await claiming
        assert second.item == claim.item
        with pytest.raises(SessionLost, match="claim"):
            await claim.done()
        # The old one can't end what the new one has begun.
        await claim.release()
        assert await queue.size() == 0
        await second.done()
        await queue.put("b")
        with pytest.raises(SessionLost, match="does not know"):
            await queue.claim(session, 0)
        assert session.lost.is_set()
    assert await texts(queue) == ["b"]


async def test_a_lost_answer_makes_neither_two_claims_nor_none(client: aio.Client) -> None:
    queue, loss = client.queue("q"), Loss(client)
    await queue.put("a")
    async with client.session() as session:
        loss.left = 1
        claim = await queue.claim(session, 0)
        loss.left = 1
        await claim.done()
    assert loss.lost == 2
    assert await queue.size() == 0


async def test_unknown_outcomes_of_claims_lose_nothing(stage: Stage) -> None:
    async with aio.connect(stage.addresses, numbered_writes=False) as client:
        queue, loss = client.queue("q"), Loss(client)
        await queue.put("a")
        async with client.session() as session:
            loss.left = 1
            with pytest.raises(OutcomeUnknown):
                await queue.claim(session, 0)
            assert await queue.size() == 0
            # The claim that nobody knows of is given up by the next one.
            claim = await queue.claim(session, 0)
            loss.left = 1
            with pytest.raises(OutcomeUnknown):
                await claim.done()
            await claim.done()
        assert (await client.range("/queues/", prefix=True)).count == 0


async def test_many_workers_do_each_item_once(clients: list[aio.Client]) -> None:
    done: list[str] = []
    for number in range(30):
        await clients[0].queue("q").put(str(number))

    async def work(client: aio.Client) -> None:
        queue = client.queue("q")
        async with client.session() as session:
            while len(done) < 30:
                try:
                    async with await queue.claim(session, 0.05) as claim:
                        done.append(claim.item.text)
                except DeadlineExceeded:
                    continue

    await asyncio.gather(*(work(client) for client in clients for _ in range(2)))
    assert sorted(done, key=int) == [str(number) for number in range(30)]


def test_the_blocking_face_takes_and_claims(blocking: Client) -> None:
    taken: list[str] = []

    def take() -> None:
        taken.append(blocking.queue("q").take(WAIT_S).text)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for text in "abcd":
        blocking.queue("q").put(text)
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(taken) == ["a", "b", "c", "d"]
    queue = blocking.priority_queue("p")
    queue.put("late", 5)
    queue.put("soon", 1)
    with blocking.session() as session, queue.claim(session) as claim:
        assert isinstance(claim, Claim)
        assert claim.item.text == "soon"
        assert queue.size() == 1
    assert queue.take(0).text == "late"
