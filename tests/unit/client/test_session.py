from __future__ import annotations

import asyncio
import time

import pytest

from coordinator_client import (
    Closed,
    InvalidArgument,
    SessionExists,
    SessionLost,
    SessionNotFound,
    Unavailable,
    aio,
    calls,
)
from coordinator_client.pb import session_pb2
from tests.unit.client.scripted import Context, scripted
from tests.unit.client.stage import Stage

WAIT_S = 10


async def test_it_owns_keys_from_enter_to_exit(client: aio.Client) -> None:
    async with client.session(5, metadata={"who": "me"}) as session:
        assert session.id and not session.lost.is_set()
        assert (session.ttl_s, session.metadata) == (5.0, {"who": "me"})
        assert 4 < session.remaining_s <= 5
        put = await session.put("/e/a", "1", prev=True)
        assert put.prev is None
        await client.put("/e/b", "2", session=session)
        numbered = await session.put("/e/n-", sequence=True)
        assert numbered.key.startswith(b"/e/n-0")
        kv = await client.get("/e/a")
        assert kv is not None and kv.session == session.id
        assert (await client.get_session(session.id)).key_count == 3
    assert await client.range("/e/", prefix=True, count_only=True)
    assert (await client.range("/e/", prefix=True)).count == 0
    assert (session.remaining_s, session.lost.is_set()) == (0.0, False)
    with pytest.raises(SessionNotFound):
        await client.get_session(session.id)
    with pytest.raises(Closed):
        await session.put("/e/a")


async def test_it_outlives_its_ttl_many_times(client: aio.Client) -> None:
    async with client.session(0.5) as session:
        await session.put("/e")
        lowest = session.remaining_s
        for _ in range(30):
            await asyncio.sleep(0.05)
            lowest = min(lowest, session.remaining_s)
        assert lowest > 0
        assert await client.get("/e") is not None


async def test_it_moves_to_another_node(stage: Stage, client: aio.Client) -> None:
    async with client.session(1) as session:
        await session.put("/e")
        used = set()
        for _ in range(2):
            await until(lambda: session.endpoint is not None)
            assert session.endpoint is not None
            used.add(session.endpoint)
            await stage.stop_front(session.endpoint)
            await asyncio.sleep(0.6)
        await until(lambda: session.endpoint not in (None, *used))
        await asyncio.sleep(0.6)
        assert not session.lost.is_set()
        assert len(used) == 2
    assert await client.get("/e") is None


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_survives_an_election(stage: Stage, client: aio.Client) -> None:
    async with client.session(2) as session:
        await stage.elect(None)
        await asyncio.sleep(0.8)
        await stage.elect(1)
        await asyncio.sleep(1.0)
        assert not session.lost.is_set()
        assert session.remaining_s > 0.8


async def test_an_end_by_someone_else_is_told_once(client: aio.Client) -> None:
    told: list[aio.Session] = []
    async with client.session(1, on_lost=told.append) as session:
        await client.close_session(session.id)
        assert await session.lost.wait(WAIT_S)
        assert told == [session]
        assert session.remaining_s == 0
        with pytest.raises(SessionLost) as caught:
            await session.put("/e")
        assert caught.value.session_id == session.id
        assert str(caught.value) == session.lost_reason
    assert told == [session]


async def test_a_put_finds_out_too(client: aio.Client) -> None:
    told: list[aio.Session] = []
    async with client.session(60, on_lost=told.append) as session:
        await client.close_session(session.id)
        with pytest.raises(SessionLost):
            await session.put("/e")
        assert session.lost.is_set()
        assert told == [session]


async def test_without_a_node_it_is_lost_when_its_ttl_is_over_and_not_later(
    stage: Stage, client: aio.Client
) -> None:
    async with client.session(0.6) as session:
        await asyncio.sleep(0.1)
        for node in range(3):
            await stage.stop_front(node)
        started, remaining_s = time.monotonic(), session.remaining_s
        assert await session.lost.wait(WAIT_S)
        assert time.monotonic() - started < remaining_s + 0.3
        assert "TTL" in session.lost_reason


async def test_a_broken_callback_breaks_nothing(
    client: aio.Client, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(session: aio.Session) -> None:
        raise ZeroDivisionError

    async with client.session(0.5, on_lost=fail) as session:
        await client.close_session(session.id)
        assert await session.lost.wait(WAIT_S)
    assert "on_lost" in caplog.text


async def test_closing_without_a_node_leaves_it_to_the_ttl(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with aio.connect(stage.addresses, timeout_s=0.3) as client:
        session = await client.session(1).open()
        for node in range(3):
            await stage.stop_front(node)
        await session.close()
    assert not session.lost.is_set()
    assert "left to its TTL" in caplog.text


async def test_closing_the_client_loses_the_session(stage: Stage) -> None:
    client = await aio.connect(stage.addresses)
    session = await client.session(0.5).open()
    await client.close()
    assert await session.lost.wait(WAIT_S)
    await session.close()


async def test_closing_tells_whether_it_lived_until_then(client: aio.Client) -> None:
    session = await client.session(30).open()
    assert await session.close() is True
    assert await session.close() is False
    assert await client.session(30).close() is False
    session = await client.session(30).open()
    await client.close_session(session.id)
    assert await session.close() is False
    assert not session.lost.is_set()


async def test_a_disconnect_grace_is_asked_for(client: aio.Client) -> None:
    async with client.session(30, disconnect_grace=0.2) as session:
        assert (await client.get_session(session.id)).disconnect_grace_s == 0.2


async def test_opening(client: aio.Client) -> None:
    async with client.session(5, id=42) as session:
        assert session.id == 42
        with pytest.raises(SessionExists):
            await client.session(5, id=42).open()
        with pytest.raises(Closed):
            await session.open()
    with pytest.raises(InvalidArgument):
        await client.session(0.001).open()
    never = client.session(5)
    with pytest.raises(Closed):
        await never.put("/e")
    await never.close()


async def test_without_a_node_it_can_not_be_opened() -> None:
    async with aio.connect("127.0.0.1:1", timeout_s=0.2) as client:
        with pytest.raises(Unavailable):
            await client.session(5).open()


async def test_a_node_that_does_not_answer_is_left_in_time() -> None:
    """The first node takes keep-alives and says nothing; the session must live on through the second."""
    kept = asyncio.Event()

    async def opened(
        request: session_pb2.SessionOpenRequest, context: Context
    ) -> session_pb2.SessionOpenResponse:
        return session_pb2.SessionOpenResponse(id=7, ttl_ms=request.ttl_ms)

    async def closed(request: object, context: Context) -> session_pb2.SessionCloseResponse:
        return session_pb2.SessionCloseResponse()

    async def swallow(context: Context) -> None:
        while await context.read():
            pass

    async def keep(context: Context) -> None:
        while request := await context.read():
            result = session_pb2.SessionKeepAliveResponse.Result(id=7, alive=True, ttl_ms=1000)
            assert list(request.ids) == [7]
            await context.write(session_pb2.SessionKeepAliveResponse(results=[result]))
            kept.set()

    async with scripted() as mute, scripted() as good:
        for server, serve in ((mute, swallow), (good, keep)):
            server.on_call(calls.SESSION_OPEN, opened)
            server.on_call(calls.SESSION_CLOSE, closed)
            server.on_stream(calls.SESSION_KEEP_ALIVE, serve)
        endpoints = [mute.endpoint, good.endpoint]
        async with aio.connect(endpoints, shuffle=False) as client, client.session(1) as session:
            await asyncio.wait_for(kept.wait(), 0.9)
            await until(lambda: session.remaining_s > 0.8)
            assert session.endpoint == good.endpoint
            assert not session.lost.is_set()
