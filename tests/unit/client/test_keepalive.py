"""Sessions of a client that are kept alive together."""

from __future__ import annotations

import asyncio
import threading

import grpc.aio
import pytest

from coordinator_client import Session, aio, calls, connect
from coordinator_client._async import keepalive
from coordinator_client.pb import session_pb2
from tests.unit.client.scripted import Context, scripted
from tests.unit.client.stage import Stage, StageThread

WAIT_S = 10


async def test_sessions_share_a_stream_and_soon_a_message() -> None:
    asked: list[list[int]] = []
    streams = 0
    together = asyncio.Event()

    async def open_session(request: object, context: object) -> session_pb2.SessionOpenResponse:
        open_session.count += 1  # type: ignore[attr-defined]  # counts its calls
        return session_pb2.SessionOpenResponse(id=open_session.count, ttl_ms=300)  # type: ignore[attr-defined]  # same

    open_session.count = 0  # type: ignore[attr-defined]  # same

    async def close_session(request: object, context: object) -> session_pb2.SessionCloseResponse:
        return session_pb2.SessionCloseResponse()

    async def serve(context: Context) -> None:
        nonlocal streams
        streams += 1
        while (request := await context.read()) is not grpc.aio.EOF:
            asked.append(list(request.ids))
            reply = session_pb2.SessionKeepAliveResponse()
            for session_id in request.ids:
                reply.results.add(id=session_id, alive=True, ttl_ms=300)
            await context.write(reply)
            if sorted(request.ids) == [1, 2, 3, 4, 5]:
                together.set()

    async with scripted() as server, aio.connect(server.endpoint) as client:
        server.on_call(calls.SESSION_OPEN, open_session)
        server.on_call(calls.SESSION_CLOSE, close_session)
        server.on_stream(calls.SESSION_KEEP_ALIVE, serve)
        sessions = [await client.session(0.3).open() for _ in range(5)]
        await asyncio.wait_for(together.wait(), WAIT_S)
        assert streams == 1
        assert len({session.endpoint for session in sessions}) == 1
        await sessions[0].close()
        asked.clear()
        together.clear()
        while not asked:
            await asyncio.sleep(0.01)
        assert all(1 not in ids for ids in asked) and not sessions[1].lost.is_set()
        for session in sessions[1:]:
            await session.close()
        async with client.session(0.3):
            pass
        assert streams <= 2


async def test_a_full_stream_is_followed_by_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalive, "SESSIONS_MAX", 2)
    async with aio.connect(stage.addresses) as client:
        sessions = [await client.session(0.5).open() for _ in range(5)]
        assert len(client._connection._keep_alives) == 3
        await asyncio.sleep(1)
        assert all(session.remaining_s > 0 for session in sessions)
        await asyncio.gather(*(session.close() for session in sessions))
        await (await client.session(0.5).open()).close()
        assert len(client._connection._keep_alives) == 1


async def test_one_that_is_lost_takes_no_other_along(stage: Stage) -> None:
    async with aio.connect(stage.addresses) as client, aio.connect(stage.addresses) as other:
        sessions = [await client.session(0.6).open() for _ in range(4)]
        await other.close_session(sessions[1].id)
        assert await sessions[1].lost.wait(WAIT_S)
        assert "closed by someone else" in sessions[1].lost_reason
        await asyncio.sleep(1)
        assert [session.lost.is_set() for session in sessions] == [False, True, False, False]


async def test_all_move_to_another_node(stage: Stage) -> None:
    async with aio.connect(stage.addresses, shuffle=False) as client:
        sessions = [await client.session(2).open() for _ in range(3)]
        before = stage.endpoints[0]
        async with asyncio.timeout(WAIT_S):
            while sessions[0].endpoint != before:
                await asyncio.sleep(0.01)
            await stage.stop_front(0)
            while any(session.endpoint in (None, before) for session in sessions):
                await asyncio.sleep(0.01)
        await asyncio.sleep(2.5)
        assert not any(session.lost.is_set() for session in sessions)


def test_a_program_that_waits_when_it_hears_of_a_loss_loses_nothing_else() -> None:
    waiting = threading.Event()
    done = threading.Event()

    def on_lost(session: Session) -> None:
        waiting.set()
        done.wait(WAIT_S)

    with StageThread() as stage, connect(stage.addresses) as client, client.session(0.6) as kept:
        lost = client.session(0.6, on_lost=on_lost).open()
        client.close_session(lost.id)
        assert waiting.wait(WAIT_S)
        before = threading.active_count()
        assert not kept.lost.wait(1.5)
        more = [client.session(5).open() for _ in range(8)]
        assert threading.active_count() <= before + 4  # and not one for each
        for session in more:
            session.close()
        done.set()


async def test_closing_the_client_ends_what_it_does_in_the_background(stage: Stage) -> None:
    client = await aio.connect(stage.addresses)
    session = await client.session(30).open()
    await client.close()
    assert session.lost.is_set() and "closed" in session.lost_reason
    async with asyncio.timeout(WAIT_S):
        while any("keep-alive" in task.get_name() for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)
