"""Which endpoint a call goes to, when it is sent again, and what the program is told when it fails."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from coordinator.errors import Status
from coordinator_client import (
    Closed,
    CoordinatorError,
    DeadlineExceeded,
    Get,
    InvalidArgument,
    LimitExceeded,
    OutcomeUnknown,
    Put,
    ReplyTooLarge,
    SessionNotFound,
    Unavailable,
    aio,
    calls,
)
from coordinator_client import _io_async as io
from coordinator_client._async.connection import LEADER_PAUSE_S, Connection
from coordinator_client.pb import common_pb2, kv_pb2
from tests.unit.client.scripted import Answer, Context, Scripted, fail, scripted
from tests.unit.client.stage import Stage


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Scripted, Scripted]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(scripted()),
            await stack.enter_async_context(scripted()),
        )


def to(*servers: Scripted, timeout_s: float = 5.0) -> aio.Client:
    endpoints = [server.endpoint for server in servers]
    # As without numbers; test_numbered.py has the rest.
    return aio.connect(endpoints, timeout_s=timeout_s, shuffle=False, numbered_writes=False)


def failing(status: Status, reason: str = "", message: str = "", **details: str) -> Answer:
    async def answer(request: object, context: Context) -> None:
        await fail(context, status, reason, message, **details)

    return answer


async def found(request: kv_pb2.RangeRequest, context: Context) -> kv_pb2.RangeResponse:
    return kv_pb2.RangeResponse(kvs=[common_pb2.KeyValue(key=request.selector.key)], count=1)


async def written(request: kv_pb2.PutRequest, context: Context) -> kv_pb2.PutResponse:
    return kv_pb2.PutResponse(key=request.key)


async def silent(request: object, context: Context) -> None:
    await asyncio.sleep(30)


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    "trouble",
    [
        failing(Status.UNAVAILABLE),
        failing(Status.UNAVAILABLE, "NO_LEADER"),
        failing(Status.INTERNAL),
        failing(Status.UNKNOWN),
        failing(Status.DEADLINE_EXCEEDED, "REVISION_NOT_REACHED"),
    ],
)
async def test_a_read_moves_on_and_stays_there(
    pair: tuple[Scripted, Scripted], trouble: Answer
) -> None:
    first, second = pair
    first.on_call(calls.RANGE, trouble)
    second.on_call(calls.RANGE, found)
    async with to(first, second) as client:
        for _ in range(3):
            assert await client.get("/a") is not None
        assert client.endpoint == second.endpoint
    assert (len(first.calls), len(second.calls)) == (1, 3)


async def test_a_write_moves_on_only_if_it_was_surely_not_applied(
    pair: tuple[Scripted, Scripted],
) -> None:
    first, second = pair
    first.on_call(calls.PUT, failing(Status.UNAVAILABLE, "STOPPING", applied="no"))
    second.on_call(calls.PUT, written)
    async with to(first, second) as client:
        assert (await client.put("/a")).key == b"/a"
    assert (len(first.calls), len(second.calls)) == (1, 1)


@pytest.mark.parametrize(
    ("trouble", "moves"),
    [
        (failing(Status.UNAVAILABLE), True),
        (failing(Status.UNAVAILABLE, "NO_LEADER"), True),
        (failing(Status.INTERNAL), True),
        (failing(Status.UNKNOWN, "OUTCOME_UNKNOWN"), False),
    ],
)
async def test_a_write_that_may_have_been_applied_is_not_sent_again(
    pair: tuple[Scripted, Scripted], trouble: Answer, moves: bool
) -> None:
    first, second = pair
    first.on_call(calls.PUT, trouble)
    second.on_call(calls.PUT, written)
    async with to(first, second) as client:
        with pytest.raises(OutcomeUnknown):
            await client.put("/a")
        assert (client.endpoint == second.endpoint) == moves
    assert (len(first.calls), len(second.calls)) == (1, 0)


async def test_a_write_without_an_answer_has_an_unknown_outcome(
    pair: tuple[Scripted, Scripted],
) -> None:
    first, second = pair
    first.on_call(calls.PUT, silent)
    second.on_call(calls.PUT, written)
    async with to(first, second) as client:
        with pytest.raises(OutcomeUnknown):
            await client.put("/a", timeout_s=0.3)
    assert not second.calls


async def test_a_connection_that_breaks_under_a_write_leaves_its_outcome_unknown() -> None:
    taken = asyncio.Event()

    async def hold(request: object, context: Context) -> None:
        taken.set()
        await asyncio.sleep(30)

    async with AsyncExitStack() as serving:
        server = await serving.enter_async_context(scripted())
        server.on_call(calls.PUT, hold)
        async with to(server) as client:
            put = asyncio.create_task(client.put("/a"))
            await taken.wait()
            await serving.aclose()
            with pytest.raises(OutcomeUnknown):
                await put


async def test_a_read_gives_up_on_a_silent_node_in_time_to_ask_another(
    pair: tuple[Scripted, Scripted],
) -> None:
    first, second = pair
    first.on_call(calls.RANGE, silent)
    second.on_call(calls.RANGE, found)
    async with to(first, second, timeout_s=3.0) as client:
        assert await client.get("/a") is not None


async def test_nobody_listens_so_a_write_surely_never_left(pair: tuple[Scripted, Scripted]) -> None:
    nobody = f"127.0.0.1:{unused_port()}"
    pair[0].on_call(calls.PUT, written)
    endpoints = [nobody, pair[0].endpoint]
    async with aio.connect(endpoints, shuffle=False, numbered_writes=False) as client:
        assert (await client.put("/a")).key == b"/a"
        assert client.endpoint == pair[0].endpoint
    started = time.monotonic()
    async with aio.connect(nobody, timeout_s=0.5, numbered_writes=False) as client:
        with pytest.raises(Unavailable):
            await client.put("/a")
        with pytest.raises(Unavailable):
            await client.get("/a")
    assert 0.3 < time.monotonic() - started < 3


async def test_all_nodes_silent_is_a_deadline(pair: tuple[Scripted, Scripted]) -> None:
    for server in pair:
        server.on_call(calls.RANGE, silent)
    async with to(*pair, timeout_s=0.4) as client:
        with pytest.raises(DeadlineExceeded):
            await client.get("/a")


async def test_a_defect_is_not_asked_about_for_ever(pair: tuple[Scripted, Scripted]) -> None:
    for server in pair:
        server.on_call(calls.RANGE, failing(Status.INTERNAL, message="internal error"))
    async with to(*pair) as client:
        with pytest.raises(CoordinatorError, match="internal error"):
            await client.get("/a")
    assert len(pair[0].calls) + len(pair[1].calls) == 3


async def test_a_refusal_is_final_and_keeps_the_endpoint(pair: tuple[Scripted, Scripted]) -> None:
    first, second = pair
    refusal = failing(Status.NOT_FOUND, "SESSION_NOT_FOUND", "no session 7", session="7")
    first.on_call(calls.PUT, refusal)
    async with to(first, second) as client:
        with pytest.raises(SessionNotFound, match="no session 7") as caught:
            await client.put("/a", session=7)
        assert caught.value.details == {"session": "7"}
        assert client.endpoint == first.endpoint
    assert not second.calls


async def test_a_busy_node_is_asked_again(pair: tuple[Scripted, Scripted]) -> None:
    busy = failing(Status.RESOURCE_EXHAUSTED, "TOO_MANY_PROPOSALS", applied="no")
    answers = [busy, busy, written]

    async def answer(request: kv_pb2.PutRequest, context: Context) -> object:
        return await answers.pop(0)(request, context)

    pair[0].on_call(calls.PUT, answer)  # type: ignore[arg-type]  # a union of answers
    async with to(pair[0]) as client:
        assert (await client.put("/a")).key == b"/a"


async def test_a_reply_that_is_too_large_says_that_the_write_was_made(
    pair: tuple[Scripted, Scripted],
) -> None:
    pair[0].on_call(
        calls.DELETE_RANGE, failing(Status.RESOURCE_EXHAUSTED, "REPLY_TOO_LARGE", applied="yes")
    )
    async with to(*pair) as client:
        with pytest.raises(ReplyTooLarge):
            await client.delete("/a", prefix=True, prev=True)
    assert len(pair[0].calls) == 1


async def test_a_transaction_that_only_reads_is_as_safe_as_a_read(
    pair: tuple[Scripted, Scripted],
) -> None:
    async def answer(request: kv_pb2.TxnRequest, context: Context) -> kv_pb2.TxnResponse:
        responses = [kv_pb2.ResponseOp(range=kv_pb2.RangeResponse())] * len(request.success)
        return kv_pb2.TxnResponse(succeeded=True, responses=responses)

    first, second = pair
    first.on_call(calls.TXN, failing(Status.UNAVAILABLE))
    second.on_call(calls.TXN, answer)
    async with to(first, second) as client:
        assert (await client.txn().then(Get("/a")).commit()).succeeded
    async with to(first, second) as client:
        with pytest.raises(OutcomeUnknown):
            await client.txn().then(Get("/a"), Put("/b")).commit()


@pytest.mark.parametrize("size", [2 * 1024 * 1024, 4 * 1024 * 1024, 17 * 1024 * 1024])
async def test_a_value_beyond_any_limit_is_surely_not_written(
    stage: Stage, client: aio.Client, size: int
) -> None:
    with pytest.raises(LimitExceeded):
        await client.put("/large", b"x" * size)
    assert await client.get("/large") is None


async def test_after_close_nothing_goes(stage: Stage) -> None:
    client = await aio.connect(stage.addresses)
    await client.put("/a")
    await client.close()
    await client.close()
    with pytest.raises(Closed):
        await client.get("/a")
    with pytest.raises(Closed):
        async with client:
            pass


async def test_closing_ends_what_waits(pair: tuple[Scripted, Scripted]) -> None:
    taken = asyncio.Semaphore(0)

    async def hold(request: object, context: Context) -> None:
        taken.release()
        await asyncio.sleep(30)

    pair[0].on_call(calls.RANGE, hold)
    pair[0].on_call(calls.PUT, hold)
    client = to(pair[0])
    read, write = asyncio.create_task(client.get("/a")), asyncio.create_task(client.put("/a"))
    await taken.acquire()
    await taken.acquire()
    await client.close()
    with pytest.raises(Closed):
        await read
    with pytest.raises(OutcomeUnknown):
        await write


async def test_a_canceled_call_is_canceled(pair: tuple[Scripted, Scripted]) -> None:
    pair[0].on_call(calls.RANGE, silent)
    async with to(pair[0]) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.get("/a")


def test_endpoints_are_begun_with_at_random_unless_told_otherwise() -> None:
    endpoints = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"

    async def first(shuffle: bool) -> str:
        return aio.connect(endpoints, shuffle=shuffle).endpoint

    assert {asyncio.run(first(False)) for _ in range(5)} == {"127.0.0.1:1"}
    assert len({asyncio.run(first(True)) for _ in range(50)}) > 1


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), 1e9])
async def test_a_timeout_is_a_length_of_time(timeout_s: float) -> None:
    with pytest.raises(InvalidArgument):
        aio.connect("127.0.0.1:1", timeout_s=timeout_s)


def test_calls_go_to_the_leader_and_streams_stay() -> None:
    connection = Connection(["a:1", "b:2", "c:3"], 5.0, shuffle=False)
    assert connection.endpoint == connection.stream_endpoint == "a:1"
    connection.note_leader("c:3")
    assert connection.endpoint == "c:3" and connection.stream_endpoint == "a:1"
    connection.note_leader("elsewhere:4")
    assert connection.endpoint == "a:1", "not one that the program named"
    connection.note_leader("c:3")
    connection.leave("c:3")
    connection.note_leader("c:3")
    assert connection.endpoint == "a:1", "it did not serve just now"
    connection.note_leader("b:2")
    assert connection.endpoint == "b:2"
    connection.leave("a:1")
    assert connection.endpoint == "b:2" and connection.stream_endpoint == "b:2"


def test_after_a_while_calls_go_back_to_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    now = io.now_s()
    monkeypatch.setattr(io, "now_s", lambda: now)
    connection = Connection(["a:1", "b:2"], 5.0, shuffle=False)
    connection.leave("b:2")
    connection.note_leader("b:2")
    assert connection.endpoint == "a:1"
    now += LEADER_PAUSE_S
    assert connection.endpoint == "b:2"
