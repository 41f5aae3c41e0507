"""Real servers of a small service, and views that show what a test says."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from coordinator_client import Instance, InstanceState
from coordinator_client.balancing import Load
from coordinator_client.grpc_channels.subchannels import Pick, Subchannel

SERVICE = "echo"
WAIT_S = 10.0
FLIPS = 200
"""How often instances come and go in a long test."""
SAY = f"/{SERVICE}/Say"
Open = Callable[..., Any]
"""Opens a channel that is closed after the test."""


def instance(id: str, port: int, status: str = "passing", **fields: Any) -> Instance:
    return Instance(SERVICE, id, "127.0.0.1", port, state=InstanceState(status), **fields)


def as_status(before: Instance, status: str) -> Instance:
    return replace(before, state=InstanceState(status))


class Changes:
    """One reader of a view."""

    def __init__(self) -> None:
        self.news: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[bool]:
        while self.news.get():
            yield True

    def close(self) -> None:
        self.news.put(False)


class View:
    """A view for the blocking face."""

    service = SERVICE

    def __init__(self, *instances: Instance) -> None:
        self._instances = instances
        self._readers: list[Changes] = []

    def instances(self) -> tuple[Instance, ...]:
        return self._instances

    def show(self, *instances: Instance) -> None:
        self._instances = instances
        for reader in self._readers:
            reader.news.put(True)

    def changes(self) -> Changes:
        self._readers.append(Changes())
        return self._readers[-1]


class AioChanges:
    """One reader of a view."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[bool] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[bool]:
        while await self.news.get():
            yield True

    async def close(self) -> None:
        self.news.put_nowait(False)


class AioView:
    """A view for the asyncio face."""

    service = SERVICE

    def __init__(self, *instances: Instance) -> None:
        self._instances = instances
        self._readers: list[AioChanges] = []

    def instances(self) -> tuple[Instance, ...]:
        return self._instances

    def show(self, *instances: Instance) -> None:
        self._instances = instances
        for reader in self._readers:
            reader.news.put_nowait(True)

    def changes(self) -> AioChanges:
        self._readers.append(AioChanges())
        return self._readers[-1]


class First:
    """A policy: always the first one."""

    def choose(self, among: Sequence[Instance], load: Load, key: bytes) -> Instance:
        return among[0]


class LateNews:
    """Keeps from a channel how its connections stand, until it asks whether one is lost."""

    def __init__(self, channel: Any) -> None:
        self.asked = 0
        self._held: list[tuple[Subchannel, grpc.ChannelConnectivity]] | None = None
        self._note_state = channel._table.note_state
        self._is_lost = channel.is_lost
        channel._table.note_state = self._hear
        channel.is_lost = self._ask

    def hold(self) -> None:
        self._held = []

    def _hear(self, subchannel: Subchannel, state: grpc.ChannelConnectivity) -> None:
        if self._held is None:
            self._note_state(subchannel, state)
        else:
            self._held.append((subchannel, state))

    def _ask(self, pick: Pick, deadline_s: float | None) -> Any:
        self.asked += 1
        held, self._held = self._held or [], None
        for subchannel, state in held:
            self._note_state(subchannel, state)
        return self._is_lost(pick, deadline_s)


def failure_in(request: bytes) -> grpc.StatusCode | None:
    """The status that a request such as `fail INTERNAL` asks for."""
    word, _, code = request.decode().partition(" ")
    return grpc.StatusCode[code] if word == "fail" else None


class Echo:
    """A server with one method of each kind, that answers with its name; also counts the calls of each."""

    def __init__(
        self, name: str, port: int = 0, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self.name = name.encode()
        self.calls = 0
        self.holding = threading.Semaphore(0)
        """Released by each call that is held."""
        self.go_on = threading.Event()
        self.metadata: dict[str, Any] = {}
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        "Say": grpc.unary_unary_rpc_method_handler(self._say),
                        "Count": grpc.unary_stream_rpc_method_handler(self._count),
                        "Join": grpc.stream_unary_rpc_method_handler(self._join),
                        "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
                    },
                )
            ]
        )
        address = f"127.0.0.1:{port}"
        self.port = (
            self._server.add_insecure_port(address)
            if credentials is None
            else self._server.add_secure_port(address, credentials)
        )
        self._server.start()

    def stop(self) -> None:
        self.go_on.set()
        self._server.stop(0).wait()

    def _begin(self, context: Any) -> None:
        self.calls += 1
        self.metadata = {item.key: item.value for item in context.invocation_metadata()}

    def _say(self, request: bytes, context: Any) -> bytes:
        self._begin(context)
        if request == b"hold":
            self.holding.release()
            assert self.go_on.wait(WAIT_S)
        code = failure_in(request)
        if code is not None:
            context.abort(code, "as you wished")
        if request == b"refused":
            # As if it had not been sent: even the port is this one.
            context.abort(
                grpc.StatusCode.UNAVAILABLE,
                f"failed to connect to all addresses; last error: ipv4:127.0.0.1:{self.port}: no",
            )
        return self.name

    def _count(self, request: bytes, context: Any) -> Iterator[bytes]:
        self._begin(context)
        for number in range(int(request)):
            yield self.name + str(number).encode()

    def _join(self, requests: Iterator[bytes], context: Any) -> bytes:
        self._begin(context)
        return self.name + b"".join(requests)

    def _chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self._begin(context)
        for request in requests:
            yield self.name + request


class AioEcho:
    """The same on grpc.aio."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.calls = 0
        self.holding = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.metadata: dict[str, Any] = {}
        self.port = 0

    async def start(self) -> AioEcho:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        "Say": grpc.unary_unary_rpc_method_handler(self._say),
                        "Count": grpc.unary_stream_rpc_method_handler(self._count),
                        "Join": grpc.stream_unary_rpc_method_handler(self._join),
                        "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
                    },
                )
            ]
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def stop(self) -> None:
        self.go_on.set()
        await self._server.stop(0)

    def _begin(self, context: Any) -> None:
        self.calls += 1
        self.metadata = dict(context.invocation_metadata())

    async def _say(self, request: bytes, context: Any) -> bytes:
        self._begin(context)
        if request == b"hold":
            self.holding.release()
            await asyncio.wait_for(self.go_on.wait(), WAIT_S)
        code = failure_in(request)
        if code is not None:
            await context.abort(code, "as you wished")
        return self.name

    async def _count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self._begin(context)
        for number in range(int(request)):
            yield self.name + str(number).encode()

    async def _join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        self._begin(context)
        return self.name + b"".join([request async for request in requests])

    async def _chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self._begin(context)
        async for request in requests:
            yield self.name + request


def wait_until(
    condition: Callable[[], bool], timeout_s: float, otherwise: Callable[[], str]
) -> None:
    """Waits for something that can only be asked about; fails with `otherwise()` after the timeout."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, otherwise()
        time.sleep(0.01)


def wait_ready(channel: grpc.Channel, count: int) -> None:
    """Waits until calls reach so many servers."""
    say: Any = channel.unary_unary(SAY)
    wait_until(
        lambda: len({say(b"", wait_for_ready=True, timeout=WAIT_S) for _ in range(6)}) == count,
        WAIT_S,
        lambda: f"not {count} servers",
    )


def failure_of(call: Callable[[], object]) -> Any:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await condition():
            await asyncio.sleep(0.01)


async def aio_wait_ready(channel: Any, count: int) -> None:
    """Waits until calls reach so many servers."""
    say = channel.unary_unary(SAY)

    async def reached() -> bool:
        return len({await say(b"", wait_for_ready=True) for _ in range(6)}) == count

    await until(reached)


async def aio_failure_of(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def responses(call: Any) -> bytes:
    return b"".join([response async for response in call])
