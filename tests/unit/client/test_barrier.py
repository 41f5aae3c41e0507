from __future__ import annotations

import asyncio
import threading

import pytest

from coordinator_client import Client, Closed, DeadlineExceeded, InvalidArgument, SessionLost, aio
from coordinator_client.pb import kv_pb2
from tests.unit.client.losing import Overtaken
from tests.unit.client.stage import Stage

WAIT_S = 10


async def pending(*tasks: asyncio.Task[None]) -> bool:
    """Whether all of them still wait, a moment later."""
    done, _ = await asyncio.wait(tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
    return not done


# --- Barrier ----------------------------------------------------------------------------------


async def test_it_is_open_until_it_is_created(client: aio.Client) -> None:
    barrier = client.barrier("b")
    await barrier.wait(0)
    assert await barrier.create()
    assert not await barrier.create()
    assert (await client.get("/barriers/b")) is not None
    for timeout_s in (0, 0.05):
        with pytest.raises(DeadlineExceeded, match="/barriers/b"):
            await barrier.wait(timeout_s)
    assert await barrier.remove()
    assert not await barrier.remove()
    await barrier.wait(0)


async def test_all_who_wait_pass_when_it_is_removed(client: aio.Client) -> None:
    barrier = client.barrier("b")
    await barrier.create()
    waiting = [asyncio.create_task(client.barrier("b").wait(WAIT_S)) for _ in range(5)]
    assert await pending(*waiting)
    # Neither a barrier whose name begins alike nor a write to the key opens it.
    await client.barrier("b2").create()
    await client.barrier("b2").remove()
    await client.put(barrier.key, "x")
    assert await pending(*waiting)
    await barrier.remove()
    await barrier.create()
    await asyncio.gather(*waiting)


async def test_waiting_outlives_lost_nodes_and_compaction(stage: Stage, client: aio.Client) -> None:
    async with aio.connect(stage.endpoints[0]) as other:
        barrier = other.barrier("b")
        await barrier.create()
        waiting = [asyncio.create_task(client.barrier("b").wait(WAIT_S)) for _ in range(3)]
        assert await pending(*waiting)
        for node in (1, 2):
            await stage.stop_front(node)
        assert await pending(*waiting)
        await stage.stop_front(0)
        await stage.start_front(0)
        await barrier.remove()
        await other.compact((await other.put("/x")).revision)
        await asyncio.gather(*waiting)


async def test_a_barrier_can_go_with_a_session(client: aio.Client) -> None:
    async with client.session() as session:
        assert await client.barrier("b").create(session=session)
        waiting = asyncio.create_task(client.barrier("b").wait(WAIT_S))
        assert await pending(waiting)
    await waiting


async def test_a_wait_that_is_canceled_leaves_nothing(client: aio.Client) -> None:
    await client.barrier("b").create()
    waiting = asyncio.create_task(client.barrier("b").wait())
    assert await pending(waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await client.barrier("b").remove()


async def test_arguments_are_looked_at_first() -> None:
    async with aio.connect("127.0.0.1:1") as client:
        for name in ("a/b", "", "-"):
            with pytest.raises(InvalidArgument, match="barrier name"):
                client.barrier(name)
            with pytest.raises(InvalidArgument, match="barrier name"):
                client.double_barrier(name, 2)
        with pytest.raises(InvalidArgument, match="count"):
            client.double_barrier("b", 0)
        with pytest.raises(InvalidArgument, match="ttl"):
            client.double_barrier("b", 2, ttl=-1)
        with pytest.raises(InvalidArgument, match="timeout_s"):
            await client.double_barrier("b", 2).enter(-1)
        with pytest.raises(InvalidArgument, match="timeout_s"):
            await client.barrier("b").wait(-1)


# --- DoubleBarrier ----------------------------------------------------------------------------


async def test_they_enter_together_and_leave_together(client: aio.Client) -> None:
    ours = [client.double_barrier("d", 3) for _ in range(3)]
    entering = [asyncio.create_task(barrier.enter(WAIT_S)) for barrier in ours[:2]]
    assert await pending(*entering)
    await ours[2].enter(WAIT_S)
    await asyncio.gather(*entering)
    leaving = [asyncio.create_task(barrier.leave(WAIT_S)) for barrier in ours[:2]]
    assert await pending(*leaving)
    await ours[2].leave(WAIT_S)
    await asyncio.gather(*leaving)
    assert (await client.range("/double-barriers/", prefix=True)).count == 0
    with pytest.raises(Closed):
        await ours[0].leave()


async def test_rounds_follow_each_other_and_never_mix(client: aio.Client) -> None:
    inside: set[int] = set()
    rounds = dict.fromkeys(range(3), 0)

    async def run(number: int) -> None:
        for round_ in range(4):
            async with client.double_barrier("d", 3):
                # Whoever is inside is in the same round, whatever was quicker.
                assert all(rounds[other] == round_ for other in rounds)
                inside.add(number)
                await asyncio.sleep(0)
            inside.discard(number)
            rounds[number] += 1
            # Nobody begins the next one before all have come back.
            async with client.double_barrier("between", 3):
                assert set(rounds.values()) == {round_ + 1}

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(run(number) for number in rounds))
    assert not inside


async def test_one_that_dies_on_the_way_does_not_count(client: aio.Client) -> None:
    dead, late = client.double_barrier("d", 2), client.double_barrier("d", 2)
    dying = asyncio.create_task(dead.enter(WAIT_S))
    assert await pending(dying)
    (record,) = [
        r for r in await client.sessions() if r.metadata["purpose"] == "/double-barriers/d"
    ]
    await client.close_session(record.id)
    async with asyncio.timeout(2):
        with pytest.raises(SessionLost):
            await dying
    waiting = asyncio.create_task(late.enter(WAIT_S))
    assert await pending(waiting)
    await asyncio.gather(client.double_barrier("d", 2).enter(WAIT_S), waiting)


async def test_one_that_dies_inside_counts_as_having_left(client: aio.Client) -> None:
    ours = [client.double_barrier("d", 3) for _ in range(3)]
    await asyncio.gather(*(barrier.enter(WAIT_S) for barrier in ours))
    leaving = [asyncio.create_task(barrier.leave(WAIT_S)) for barrier in ours[:2]]
    assert await pending(*leaving)
    (record,) = [
        r for r in await client.sessions() if r.metadata["purpose"] == "/double-barriers/d"
    ]
    await client.close_session(record.id)
    await asyncio.gather(*leaving)


async def test_a_round_whose_participants_all_died_is_over(client: aio.Client) -> None:
    await asyncio.gather(*(client.double_barrier("d", 2).enter(WAIT_S) for _ in range(2)))
    for record in await client.sessions():
        if record.metadata["purpose"] == "/double-barriers/d":
            await client.close_session(record.id)
    assert await client.get("/double-barriers/d/open") is not None
    alone = client.double_barrier("d", 2)
    with pytest.raises(DeadlineExceeded):
        await alone.enter(0.1)
    await asyncio.gather(*(client.double_barrier("d", 2).enter(WAIT_S) for _ in range(2)))


async def test_who_gives_up_has_not_come(client: aio.Client) -> None:
    first = client.double_barrier("d", 2)
    with pytest.raises(DeadlineExceeded, match="not 2 have come"):
        await first.enter(0.1)
    canceled = asyncio.create_task(client.double_barrier("d", 2).enter())
    assert await pending(canceled)
    canceled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await canceled
    assert (await client.range("/double-barriers/d/", prefix=True)).count == 0
    second = asyncio.create_task(client.double_barrier("d", 2).enter(WAIT_S))
    assert await pending(second)
    await asyncio.gather(first.enter(WAIT_S), second)


async def test_who_comes_late_waits_for_the_round_to_end(client: aio.Client) -> None:
    first = client.double_barrier("d", 1)
    await first.enter(WAIT_S)
    with pytest.raises(Closed):
        await first.enter()
    late = client.double_barrier("d", 1)
    with pytest.raises(DeadlineExceeded):
        await late.enter(0.1)
    waiting = asyncio.create_task(late.enter(WAIT_S))
    assert await pending(waiting)
    await first.leave(WAIT_S)
    await waiting


async def test_leaving_can_be_waited_for_again(client: aio.Client) -> None:
    one, two = client.double_barrier("d", 2), client.double_barrier("d", 2)
    await asyncio.gather(one.enter(WAIT_S), two.enter(WAIT_S))
    with pytest.raises(DeadlineExceeded, match="inside"):
        await one.leave(0.05)
    leaving = asyncio.create_task(one.leave(WAIT_S))
    assert await pending(leaving)
    await two.leave(WAIT_S)
    await leaving


async def test_a_round_that_others_began_meanwhile_is_not_ones_own(client: aio.Client) -> None:
    one, two = client.double_barrier("d", 2), client.double_barrier("d", 2)
    await asyncio.gather(one.enter(WAIT_S), two.enter(WAIT_S))
    with pytest.raises(DeadlineExceeded, match="inside"):
        await one.leave(0.05)
    await two.leave(WAIT_S)
    await asyncio.gather(*(client.double_barrier("d", 2).enter(WAIT_S) for _ in range(2)))
    await one.leave(0)


async def test_a_round_that_begins_at_the_deadline_is_entered(
    stage: Stage, client: aio.Client
) -> None:
    """Who would give up is inside if the last one came first, so that the others need not wait for it in vain."""

    def gives_up(request: kv_pb2.TxnRequest) -> bool:
        return [op.WhichOneof("request") for op in request.success] == ["delete_range"]

    async with aio.connect(stage.addresses) as other:
        last = other.double_barrier("d", 2)
        first = client.double_barrier("d", 2)
        race = Overtaken(client, gives_up, lambda: last.enter(WAIT_S))
        await first.enter(0.1)
        assert race.happened
        leaving = asyncio.create_task(last.leave(WAIT_S))
        assert await pending(leaving)
        await first.leave(WAIT_S)
        await leaving


async def test_a_block_that_fails_leaves_at_once(client: aio.Client) -> None:
    other = client.double_barrier("d", 2)
    entering = asyncio.create_task(other.enter(WAIT_S))
    with pytest.raises(ZeroDivisionError):
        async with client.double_barrier("d", 2):
            raise ZeroDivisionError
    await entering
    await other.leave(WAIT_S)


def test_the_blocking_face_has_both(blocking: Client) -> None:
    barrier = blocking.barrier("b")
    barrier.create()
    passed: list[int] = []

    def run(number: int) -> None:
        blocking.barrier("b").wait(WAIT_S)
        with blocking.double_barrier("d", 3):
            passed.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    assert not passed
    barrier.remove()
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(passed) == [0, 1, 2]
