"""A gRPC server in this loop, over a member of a bus, and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from coordinator.api.services import native_services
from coordinator.catalog.catalog import Catalog
from coordinator.config import Limits
from tests.bus import Bus
from tests.hosts import grpc_server


class Face:
    """One member with its listener."""

    def __init__(self, bus: Bus, number: int, limits: Limits) -> None:
        self.bus = bus
        self.node = bus.nodes[number]
        self.catalog = Catalog(self.node)
        self.server = grpc_server(native_services(self.node, self.catalog), limits)
        self.address = f"127.0.0.1:{self.server.bind('127.0.0.1:0')}"
        self.channel = grpc.aio.insecure_channel(
            self.address, options=(("grpc.max_receive_message_length", 64 << 20),)
        )

    def _serializers(self, response: type[Any]) -> dict[str, Any]:
        return {
            "request_serializer": lambda message: message.SerializeToString(),
            "response_deserializer": response.FromString,
        }

    async def call(self, method: str, request: Any, response: type[Any]) -> Any:
        stub = self.channel.unary_unary(f"/coordinator.v1.{method}", **self._serializers(response))
        return await stub(request, timeout=10)

    def watch(self, request: Any, response: type[Any]) -> Any:
        stub = self.channel.unary_stream(
            "/coordinator.v1.Registry/Watch", **self._serializers(response)
        )
        return stub(request, timeout=30)

    def stream(self, method: str, response: type[Any]) -> Any:
        return self.channel.stream_stream(
            f"/coordinator.v1.{method}", **self._serializers(response)
        )(timeout=30)


SMALL = Limits(
    request_size_bytes_max=10_000,
    key_size_bytes_max=100,
    txn_ops_max=5,
    txn_depth_max=2,
    range_reply_size_bytes_max=5_000,
    txn_reply_size_bytes_max=8_000,
    watches_per_stream_max=3,
    watches_max=5,
    streams_max=4,
    watch_message_size_bytes_max=2_000,
    sessions_max=2,
    session_metadata_size_bytes_max=20,
    keep_alive_ids_max=3,
    sequence_parents_max=2,
)

FaceMaker = Callable[..., Any]


@pytest.fixture
async def face() -> AsyncIterator[Face]:
    async for one in serving(Limits()):
        yield one


@pytest.fixture
async def small_face() -> AsyncIterator[Face]:
    """A member with limits that are quickly reached."""
    async for one in serving(SMALL):
        yield one


async def serving(
    limits: Limits, *, follows: bool = False, quorum: bool = True
) -> AsyncIterator[Face]:
    """`follows`: with a catalog that is kept current, by a watch of its own, from when there may be no `quorum`."""
    async with Bus("ab", limits) as bus:
        face = Face(bus, 1, limits)
        await face.server.start()
        await face.server.set_serving(True)
        bus.quorum = quorum
        following = asyncio.create_task(face.catalog.run()) if follows else None
        yield face
        if following is not None:
            following.cancel()
        await face.channel.close()
        await face.server.stop(0)


def error_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Returns the code, the reason and the details of a failed call."""
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            detail = error_details_pb2.ErrorInfo()
            assert status.details[0].Unpack(detail)
            assert detail.domain == "coordinator"
            assert status.code == error.code().value[0]
            return error.code(), detail.reason, dict(detail.metadata)
    return error.code(), "", {}
