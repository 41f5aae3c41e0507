"""A node that stands still while others have elected another leader is left at once."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import grpc.aio
import pytest

from coordinator_client import OutcomeUnknown, aio, calls, connect, pipelining
from coordinator_client.pb import kv_pb2
from coordinator_client.pb import pipeline_pb2 as pb
from tests.unit.client.scripted import Context, scripted
from tests.unit.client.test_pipe_async import serve

WAIT_S = 10


class Node:
    """Answers calls with its own name as the value, unless it stands still."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.leader = ""
        self.goes = asyncio.Event()
        self.goes.set()
        self.kinds: list[str] = []

    async def run(self, context: Context) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await self.goes.wait()
            response = pb.PipelineResponse(leader=self.leader)
            for call in request.calls:
                kind = call.WhichOneof("request")
                self.kinds.append(kind)
                response.results.add(id=call.id, **{kind: self.answer(kind)})
            await context.write(response)

    async def alone(self, request: object, context: Context) -> Any:
        await self.goes.wait()
        return self.answer("range")

    def answer(self, kind: str) -> Any:
        if kind == "put":
            return kv_pb2.PutResponse(key=b"/a")
        reply = kv_pb2.RangeResponse(count=1)
        reply.kvs.add(key=b"/a", value=self.name.encode())
        return reply


async def value(client: aio.Client) -> str:
    kv = await client.get("/a")
    assert kv is not None
    return kv.text


async def test_what_waits_is_made_again_at_the_new_leader() -> None:
    old, new = Node("old"), Node("new")
    async with scripted() as first, scripted() as second:
        serve(first, old.run)
        serve(second, new.run)
        old.leader = new.leader = first.endpoint
        endpoints = [first.endpoint, second.endpoint]
        async with aio.connect(endpoints, shuffle=False, numbered_writes=False) as client:
            assert await value(client) == "old"
            old.goes.clear()
            reading = [asyncio.create_task(value(client)) for _ in range(3)]
            writing = asyncio.create_task(client.put("/a", "x", timeout_s=1.5))
            await asyncio.sleep(2 * pipelining.SILENCE_S)
            assert not any(task.done() for task in reading)
            assert set(new.kinds) == {"range"}, "it was asked who leads"
            began_s = time.monotonic()
            new.leader = second.endpoint
            async with asyncio.timeout(WAIT_S):
                assert await asyncio.gather(*reading) == ["new"] * 3
            assert time.monotonic() - began_s < 1
            assert await value(client) == "new"
            # What may not be made twice waits for its answer.
            with pytest.raises(OutcomeUnknown):
                await writing
            assert "put" not in new.kinds
            old.goes.set()


async def test_a_leader_that_is_slow_is_waited_for() -> None:
    leader, other = Node("leader"), Node("other")
    async with scripted() as first, scripted() as second:
        serve(first, leader.run)
        serve(second, other.run)
        leader.leader = other.leader = first.endpoint
        async with aio.connect([first.endpoint, second.endpoint], shuffle=False) as client:
            assert await value(client) == "leader"
            leader.goes.clear()
            reading = asyncio.create_task(value(client))
            await asyncio.sleep(3 * pipelining.SILENCE_S)
            leader.goes.set()
            assert await asyncio.wait_for(reading, WAIT_S) == "leader"


async def test_threads_leave_it_too() -> None:
    old, new = Node("old"), Node("new")
    async with scripted() as first, scripted() as second:
        serve(first, old.run)
        serve(second, new.run)
        first.on_call(calls.RANGE, old.alone)
        second.on_call(calls.RANGE, new.alone)
        old.leader = new.leader = first.endpoint
        found: list[str] = []

        def read() -> None:
            kv = client.get("/a")
            assert kv is not None
            found.append(kv.text)

        with connect([first.endpoint, second.endpoint], shuffle=False) as client:
            client._connection.note_leader(first.endpoint)
            old.goes.clear()
            new.leader = second.endpoint
            threads = [threading.Thread(target=read) for _ in range(4)]
            began_s = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join, WAIT_S)
            # The first of them was alone, and asks nobody else before a share of its time is over.
            assert found == ["new"] * 4 and time.monotonic() - began_s < 4
            old.goes.set()
