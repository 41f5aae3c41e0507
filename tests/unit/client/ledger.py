"""A scripted node that opens sessions and remembers under which numbers writes came."""

from __future__ import annotations

import asyncio
from collections import deque

from google.protobuf.message import Message

from coordinator.errors import Status
from coordinator_client import calls
from coordinator_client.pb import common_pb2, kv_pb2, session_pb2
from tests.unit.client.scripted import Answer, Context, Scripted, fail

WAIT_S = 10


def failing(status: Status, reason: str = "", **details: str) -> Answer:
    async def answer(request: object, context: Context) -> None:
        await fail(context, status, reason, reason, **details)

    return answer


lost = failing(Status.UNAVAILABLE)
no_leader = failing(Status.UNAVAILABLE, "NO_LEADER", applied="no")
unknown = failing(Status.UNKNOWN, "OUTCOME_UNKNOWN")
forgotten = failing(Status.UNKNOWN, "OUTCOME_UNKNOWN", session="1")
crowded = failing(Status.RESOURCE_EXHAUSTED, "REQUEST_WINDOW", applied="no")


async def silent(request: object, context: Context) -> None:
    await asyncio.sleep(30)


async def written(request: kv_pb2.PutRequest, context: Context) -> kv_pb2.PutResponse:
    return kv_pb2.PutResponse(key=request.key)


def held(until: asyncio.Event) -> Answer:
    async def answer(request: kv_pb2.PutRequest, context: Context) -> kv_pb2.PutResponse:
        await until.wait()
        return kv_pb2.PutResponse(key=request.key)

    return answer


class Ledger:
    """What reached any of the nodes that share it, and how puts are answered: by `answers`, then by success."""

    def __init__(self) -> None:
        self.opened: list[session_pb2.SessionOpenRequest] = []
        self.closed: list[int] = []
        self.puts: list[tuple[str, int, int, int]] = []
        """Key, session, sequence and acknowledged_below of every attempt."""
        self.answers: deque[Answer] = deque()
        self.open_answers: deque[Answer] = deque()
        self.alive = True
        self.arrived = asyncio.Semaphore(0)
        self.kept = asyncio.Semaphore(0)

    def serve(self, script: Scripted) -> None:
        script.on_call(calls.SESSION_OPEN, self._open)
        script.on_call(calls.SESSION_CLOSE, self._close)
        script.on_call(calls.PUT, self._put)
        script.on_stream(calls.SESSION_KEEP_ALIVE, self._keep)

    async def _open(
        self, request: session_pb2.SessionOpenRequest, context: Context
    ) -> Message | None:
        self.arrived.release()
        if self.open_answers:
            return await self.open_answers.popleft()(request, context)
        self.opened.append(request)
        return session_pb2.SessionOpenResponse(id=len(self.opened), ttl_ms=request.ttl_ms)

    async def _close(
        self, request: session_pb2.SessionCloseRequest, context: Context
    ) -> session_pb2.SessionCloseResponse:
        self.closed.append(request.id)
        return session_pb2.SessionCloseResponse()

    async def _put(self, request: kv_pb2.PutRequest, context: Context) -> Message | None:
        mark: common_pb2.RequestId = request.request
        self.puts.append(
            (request.key.decode(), mark.session, mark.sequence, mark.acknowledged_below)
        )
        self.arrived.release()
        answer = self.answers.popleft() if self.answers else written
        return await answer(request, context)

    async def _keep(self, context: Context) -> None:
        while request := await context.read():
            results = [
                session_pb2.SessionKeepAliveResponse.Result(
                    id=id, alive=self.alive, ttl_ms=self.opened[id - 1].ttl_ms
                )
                for id in request.ids
            ]
            await context.write(session_pb2.SessionKeepAliveResponse(results=results))
            self.kept.release()


async def arrive(ledger: Ledger, count: int) -> None:
    """Waits until so many more calls have reached a node."""
    async with asyncio.timeout(WAIT_S):
        for _ in range(count):
            await ledger.arrived.acquire()
