"""A cluster in this process: real nodes and a real gRPC front each, over a consensus that a test directs.

Nodes are lost and come back, leaders go, without the time that processes and elections take. `Stage` lives in the
caller's event loop; `StageThread` gives it a thread of its own, for the blocking client.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from coordinator.api.services import native_services
from coordinator.catalog.catalog import Catalog
from coordinator.config import Limits
from tests.bus import Bus
from tests.hosts import GrpcServer, grpc_server

T = TypeVar("T")


class Stage:
    """Three nodes; the first leads. Node i (from 0) listens at `endpoints[i]`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.bus = Bus(limits=limits)
        self._limits = limits or Limits()
        self._servers: dict[int, GrpcServer] = {}
        self.endpoints: list[str] = []

    @property
    def addresses(self) -> str:
        return ",".join(self.endpoints)

    async def __aenter__(self) -> Self:
        await self.bus.__aenter__()
        for index in range(len(self.bus.nodes)):
            server = self._make_server(index)
            port = server.bind("127.0.0.1:0")
            self.endpoints.append(f"127.0.0.1:{port}")
            await server.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for index in list(self._servers):
            await self.stop_front(index)
        await self.bus.__aexit__()

    def _make_server(self, index: int) -> GrpcServer:
        node = self.bus.nodes[index]
        # Registry's writes need no catalog that is kept current.
        server = grpc_server(native_services(node, Catalog(node)), self._limits)
        self._servers[index] = server
        return server

    async def stop_front(self, node: int | str) -> None:
        """Clients lose this node (by number or endpoint): its connections break and it refuses new ones."""
        index = node if isinstance(node, int) else self.endpoints.index(node)
        server = self._servers.pop(index, None)
        if server is not None:
            await server.stop(0)

    async def start_front(self, node: int | str) -> None:
        """The node serves clients again, at its old address."""
        index = node if isinstance(node, int) else self.endpoints.index(node)
        server = self._make_server(index)
        server.bind(self.endpoints[index])
        await server.start()

    async def elect(self, leader: int | None) -> None:
        """Makes a node (from 0) the leader of a new term; None: nobody leads."""
        self.bus.elect(None if leader is None else leader + 1)
        await self.bus.settle()


class StageThread:
    """A stage in a thread, driven from outside."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stage", daemon=True)
        self.stage: Stage

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine in the stage's thread and returns what it returns."""
        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(30)

    def __enter__(self) -> Self:
        self._thread.start()

        async def build() -> Stage:
            # Nodes belong to the loop in which they are made.
            return await Stage(self._limits).__aenter__()

        self.stage = self.run(build)
        return self

    def __exit__(self, *exc: object) -> None:
        self.run(self.stage.__aexit__)
        self.run(self._loop.shutdown_asyncgens)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def endpoints(self) -> list[str]:
        return self.stage.endpoints

    @property
    def addresses(self) -> str:
        return self.stage.addresses

    def stop_front(self, node: int | str) -> None:
        self.run(lambda: self.stage.stop_front(node))

    def start_front(self, node: int | str) -> None:
        self.run(lambda: self.stage.start_front(node))

    def elect(self, leader: int | None) -> None:
        self.run(lambda: self.stage.elect(leader))
