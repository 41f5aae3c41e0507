"""A service for tests of hosts: it echoes, waits, fails, and tells what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from coordinator.config import Limits
from coordinator.errors import RequestError, Status
from coordinator.pieces import Pieced
from coordinator.rpc import Bidi, Call, DrainingStream, Service, Stream, Unary
from coordinator_client.pb import kv_pb2 as pb
from tests.hosts import SERVERS, GrpcServer

NAME = "test.Service"
SHARED = (
    pb.PutResponse(key=b"a" * 10_000).SerializeToString(),
    pb.PutResponse(key=b"b" * 10).SerializeToString(),
)
TalkStream = Stream[pb.PutRequest, pb.PutResponse]


class Echoing:
    """The service, and what it saw."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.ended = 0
        self.sent = 0
        self.go_on = asyncio.Event()

    def service(self) -> Service:
        request, response = pb.PutRequest, pb.PutResponse
        return Service(
            NAME,
            (
                Unary("Echo", request, response, self.echo),
                Unary("Slow", request, response, self.slow),
                Unary("Big", request, response, self.big),
                Unary("Tell", request, response, self.tell),
                Unary("Odd", request, response, self.odd),
                Bidi("Talk", request, response, self.talk),
                Bidi("Collect", request, response, self.collect),
                Bidi("Linger", request, response, self.linger),
                Bidi("Feed", request, response, self.feed),
                Bidi("Share", request, response, self.share),
                Bidi("Drain", request, response, self.drain, drains=True),
            ),
        )

    async def echo(self, call: Call, request: pb.PutRequest) -> pb.PutResponse:
        """Answers with what it gets; refuses or fails if told so."""
        refuse_or_fail(request.key)
        return pb.PutResponse(key=request.key)

    async def _wait(self) -> None:
        self.begun += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended += 1

    async def slow(self, call: Call, request: pb.PutRequest) -> pb.PutResponse:
        """Waits for a word of the test."""
        await self._wait()
        return pb.PutResponse(key=request.key)

    async def big(self, call: Call, request: pb.PutRequest) -> pb.PutResponse:
        """Answers with so many bytes."""
        return pb.PutResponse(key=b"x" * int(request.key))

    async def tell(self, call: Call, request: pb.PutRequest) -> pb.PutResponse:
        """Answers with what it was told beside the message."""
        loop = asyncio.get_running_loop()
        left = None if call.deadline is None else round(call.deadline - loop.time())
        kept = {k: v for k, v in call.metadata.items() if k != "user-agent"}
        told = (call.peer.split(":")[0], sorted(kept.items()), left, call.peer_certificate)
        return pb.PutResponse(key=repr(told).encode())

    async def odd(self, call: Call, request: pb.PutRequest) -> Any:
        """Cancels itself, or answers with what is no message."""
        if request.key == b"cancel":
            raise asyncio.CancelledError
        return None

    async def talk(self, stream: TalkStream) -> None:
        """Echoes each message."""
        while (request := await stream.receive()) is not None:
            refuse_or_fail(request.key)
            await stream.send(pb.PutResponse(key=request.key))

    async def collect(self, stream: TalkStream) -> None:
        """Answers at the end with how much it got, and how often."""
        sizes = []
        while (request := await stream.receive()) is not None:
            sizes.append(len(request.key))
        await stream.send(pb.PutResponse(key=b"%d %d" % (len(sizes), sum(sizes))))

    async def linger(self, stream: TalkStream) -> None:
        """Sends one message, and waits for a word of the test."""
        await stream.send(pb.PutResponse(key=b"here"))
        await self._wait()

    async def feed(self, stream: TalkStream) -> None:
        """Sends messages as the first one says: how many, and of how many bytes."""
        request = await stream.receive()
        assert request is not None
        count, size = map(int, request.key.split())
        response = pb.PutResponse(key=b"x" * size)
        try:
            for _ in range(count):
                await stream.send(response)
                self.sent += 1
        finally:
            self.ended += 1

    async def share(self, stream: TalkStream) -> None:
        """Sends a message of which each stream gets the same parts, when the test says so."""
        await self._wait()
        await stream.send(Pieced(pb.PutResponse(), SHARED))  # type: ignore[arg-type]  # bytes of such a message

    async def drain(self, stream: DrainingStream[pb.PutRequest, pb.PutResponse]) -> None:
        """Says goodbye when the server stops."""
        await stream.send(pb.PutResponse(key=b"here"))
        await stream.stopping()
        await stream.send(pb.PutResponse(key=b"bye"))


def refuse_or_fail(key: bytes) -> None:
    if key == b"refuse":
        raise RequestError(Status.NOT_FOUND, "NO_SUCH", "there is none: 100 % ä\n", {"a": "b"})
    if key == b"fail":
        raise ZeroDivisionError("a bug")


def put(key: bytes) -> bytes:
    """Returns a serialized request."""
    return pb.PutRequest(key=key).SerializeToString()


@asynccontextmanager
async def serving(
    host: str = "front", limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[GrpcServer, Echoing, int]]:
    """Yields a server, its service and its port."""
    echoing = Echoing()
    make: Any = SERVERS[host]
    server = make([echoing.service()], limits or Limits(), **options)
    port = server.bind("127.0.0.1:0")
    await server.start()
    await server.set_serving(True)
    try:
        yield server, echoing, port
    finally:
        await server.stop(0)


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    """Waits for something that can only be asked about."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
