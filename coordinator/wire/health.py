"""The service `grpc.health.v1.Health`, for any host (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc_health.v1 import health_pb2 as pb

from coordinator.errors import RequestError, Status
from coordinator.rpc import Bidi, Call, DrainingStream, Service, Unary, stopping

NAME = "grpc.health.v1.Health"
WHOLE = ""
"""Stands for the server as a whole."""


class Health:
    """What the health service's clients are told of each service."""

    def __init__(self) -> None:
        self._states: dict[str, int] = {WHOLE: pb.HealthCheckResponse.SERVING}
        self._changed = asyncio.Event()
        """Replaced whenever anything changes."""
        self._shut = False

    def service(self) -> Service:
        """Returns the methods for a host."""
        return Service(
            NAME,
            (
                Unary("Check", pb.HealthCheckRequest, pb.HealthCheckResponse, self.check),
                Bidi(
                    "Watch", pb.HealthCheckRequest, pb.HealthCheckResponse, self.watch, drains=True
                ),
            ),
        )

    def set(self, name: str, state: int) -> None:
        """Sets what is told of a service; without effect once this was shut."""
        if not self._shut and self._states.get(name) != state:
            self._states[name] = state
            self._tell()

    def shut(self) -> None:
        """Tells from now on that nothing is served."""
        self._shut = True
        self._states = dict.fromkeys(self._states, pb.HealthCheckResponse.NOT_SERVING)
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def check(self, call: Call, request: Any) -> Any:
        """Answers with the state of one service."""
        state = self._states.get(request.service)
        if state is None:
            raise RequestError(Status.NOT_FOUND, "", "")
        return pb.HealthCheckResponse(status=state)

    async def watch(self, stream: DrainingStream[Any, Any]) -> None:
        """Tells the state of one service, and then each other one."""
        request = await stream.receive()
        if request is None:
            raise RequestError(Status.UNIMPLEMENTED, "", "a call of this method has one message")
        stops = asyncio.ensure_future(stream.stopping())
        try:
            told = None
            while not stops.done():
                changed = self._changed
                state = self._states.get(
                    request.service, int(pb.HealthCheckResponse.SERVICE_UNKNOWN)
                )
                if state != told:
                    told = state
                    await stream.send(pb.HealthCheckResponse(status=state))
                await self._next(changed, stops)
        finally:
            stops.cancel()
        raise stopping()

    async def _next(self, changed: asyncio.Event, stops: asyncio.Future[None]) -> None:
        """Waits for a change, or for the end."""
        change = asyncio.ensure_future(changed.wait())
        try:
            await asyncio.wait((change, stops), return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
