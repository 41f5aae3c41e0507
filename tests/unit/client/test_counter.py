from __future__ import annotations

import asyncio

import pytest

from coordinator_client import Client, InvalidArgument, OutcomeUnknown, Unavailable, aio
from tests.unit.client.losing import Loss, Overtaken
from tests.unit.client.stage import Stage


async def test_it_counts(client: aio.Client) -> None:
    counter = client.counter("visits")
    assert await counter.get() == 0
    assert [await counter.add(), await counter.add(5), await counter.add(-8)] == [1, 6, -2]
    assert await client.counter("visits").get() == -2
    kv = await client.get("/counters/visits")
    assert kv is not None and kv.text == "-2"
    await client.delete("/counters/visits")
    assert await counter.add(3) == 3


async def test_many_count_exactly_and_each_sum_comes_once(stage: Stage) -> None:
    clients = [await aio.connect(stage.addresses) for _ in range(4)]
    sums: list[int] = []

    async def count(client: aio.Client) -> None:
        counter = client.counter("c")
        for _ in range(10):
            sums.append(await counter.add())

    await asyncio.gather(*(count(client) for client in clients for _ in range(2)))
    assert sorted(sums) == list(range(1, 81))
    assert await clients[0].counter("c").get() == 80
    for client in clients:
        await client.close()


async def test_a_number_out_of_range_changes_nothing(client: aio.Client) -> None:
    counter = client.counter("c")
    await counter.add(2**63 - 2)
    stale = client.counter("c")
    with pytest.raises(InvalidArgument, match="64 bits"):
        await stale.add(2)
    assert await stale.add(1) == 2**63 - 1
    with pytest.raises(InvalidArgument, match="64 bits"):
        await counter.add(1)
    # What it saw last would not do, but what is there now does.
    await stale.add(-10)
    assert await counter.add(1) == 2**63 - 10
    with pytest.raises(InvalidArgument, match="whole number"):
        await counter.add(0.5)  # type: ignore[arg-type]  # wrong on purpose


async def test_what_is_no_number_is_left_alone(client: aio.Client) -> None:
    await client.put("/counters/c", "many")
    for call in (client.counter("c").get, client.counter("c").add):
        with pytest.raises(InvalidArgument, match="'many'"):
            await call()
    kv = await client.get("/counters/c")
    assert kv is not None and kv.text == "many"


@pytest.mark.parametrize("name", ["", "a/b", ".", "-x", "x" * 129, "ä", None])
async def test_names_are_looked_at_first(name: str) -> None:
    async with aio.connect("127.0.0.1:1") as client:
        with pytest.raises(InvalidArgument, match="counter name"):
            client.counter(name)


async def test_without_a_leader_nothing_is_added(stage: Stage) -> None:
    await stage.elect(None)
    async with aio.connect(stage.addresses) as client:
        with pytest.raises(Unavailable):
            await client.counter("c").add(timeout_s=0.3)
        await stage.elect(1)
        assert await client.counter("c").add() == 1


async def test_what_is_added_again_after_a_lost_answer_counts_once(client: aio.Client) -> None:
    counter, loss = client.counter("c"), Loss(client)
    for number in range(1, 4):
        loss.left = 2
        assert await counter.add() == number
    assert loss.lost == 6
    assert await counter.get() == 3


async def test_who_counts_alone_needs_one_transaction_each_time(client: aio.Client) -> None:
    counter, count = client.counter("c"), Overtaken(client, lambda _: False, asyncio.Event().wait)
    assert [await counter.add() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert count.count == 5


async def test_who_was_overtaken_adds_to_what_is_there(stage: Stage, client: aio.Client) -> None:
    async with aio.connect(stage.addresses) as other:
        await client.counter("c").add(1)
        Overtaken(client, lambda _: True, lambda: other.counter("c").add(10))
        assert await client.counter("c").add(100) == 111


async def test_without_numbers_a_lost_answer_is_told(stage: Stage) -> None:
    async with aio.connect(stage.addresses, numbered_writes=False) as client:
        counter, loss = client.counter("c"), Loss(client)
        loss.left = 1
        with pytest.raises(OutcomeUnknown):
            await counter.add()
        assert await counter.get() == 1


def test_the_blocking_face_counts(blocking: Client) -> None:
    counter = blocking.counter("c")
    assert [counter.add(), counter.add(2)] == [1, 3]
    assert counter.get() == 3
    assert repr(counter) == "<Counter c>"
