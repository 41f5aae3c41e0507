"""A gRPC server with etcd's services in this loop, over a member of a bus, and a client of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from coordinator.config import Limits
from coordinator.gateways.etcd.gateway import EtcdGateway
from coordinator.gateways.etcd.pb import kv_pb2, watch_pb2
from tests.bus import Bus
from tests.hosts import grpc_server

SMALL = Limits(
    request_size_bytes_max=10_000,
    key_size_bytes_max=100,
    txn_ops_max=5,
    txn_depth_max=2,
    etcd_reply_size_bytes_max=400_000,
    txn_reply_size_bytes_max=200_000,
    watches_per_stream_max=2,
    sessions_max=2,
)


class Etcd:
    """One member with its listener, as a client of etcd sees it."""

    def __init__(self, bus: Bus, limits: Limits) -> None:
        self.bus = bus
        self.node = bus.nodes[1]
        self.gateway = EtcdGateway(self.node)
        self.server = grpc_server(self.gateway.services(), limits)
        self.address = f"127.0.0.1:{self.server.bind('127.0.0.1:0')}"
        self.channel = grpc.aio.insecure_channel(
            self.address, options=(("grpc.max_receive_message_length", 64 << 20),)
        )

    async def call(self, method: str, request: Any, response: type[Any], **more: Any) -> Any:
        stub: Any = self.channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return await stub(request, timeout=10, **more)

    def stream(self, method: str, response: type[Any], **more: Any) -> Any:
        return self.channel.stream_stream(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )(timeout=30, **more)

    async def ask(self, method: str, request: Any, **more: Any) -> Any:
        """Calls a method whose response stands beside its request."""
        module = sys.modules[type(request).__module__]
        response = getattr(module, type(request).__name__.removesuffix("Request") + "Response")
        return await self.call(method, request, response, **more)

    async def kv(self, method: str, request: Any) -> Any:
        return await self.ask(f"etcdserverpb.KV/{method}", request)

    async def put(self, key: bytes, value: bytes = b"v", **more: Any) -> kv_pb2.PutResponse:
        response = await self.kv("Put", kv_pb2.PutRequest(key=key, value=value, **more))
        assert isinstance(response, kv_pb2.PutResponse)
        return response

    async def range(self, key: bytes, range_end: bytes = b"", **more: Any) -> kv_pb2.RangeResponse:
        request = kv_pb2.RangeRequest(key=key, range_end=range_end, **more)
        response = await self.kv("Range", request)
        assert isinstance(response, kv_pb2.RangeResponse)
        return response

    async def refused(self, coroutine: Any) -> tuple[str, str]:
        """Returns the code and the text with which a call fails."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await coroutine
        return caught.value.code().name, caught.value.details() or ""


class Watch:
    """A watch stream as a test drives it."""

    def __init__(self, etcd: Etcd, **more: Any) -> None:
        self.call: Any = etcd.stream("etcdserverpb.Watch/Watch", watch_pb2.WatchResponse, **more)

    async def create(self, key: bytes, **fields: Any) -> None:
        create = watch_pb2.WatchCreateRequest(key=key, **fields)
        await self.call.write(watch_pb2.WatchRequest(create_request=create))

    async def cancel(self, watch_id: int) -> None:
        cancel = watch_pb2.WatchCancelRequest(watch_id=watch_id)
        await self.call.write(watch_pb2.WatchRequest(cancel_request=cancel))

    async def ask_progress(self) -> None:
        progress = watch_pb2.WatchProgressRequest()
        await self.call.write(watch_pb2.WatchRequest(progress_request=progress))

    async def next(self) -> watch_pb2.WatchResponse:
        async with asyncio.timeout(5):
            message = await self.call.read()
        assert isinstance(message, watch_pb2.WatchResponse), await self.call.code()
        return message


@pytest.fixture
async def etcd() -> AsyncIterator[Etcd]:
    async for one in serving(Limits()):
        yield one


@pytest.fixture
async def small_etcd() -> AsyncIterator[Etcd]:
    """A member with limits that are quickly reached."""
    async for one in serving(SMALL):
        yield one


async def serving(limits: Limits) -> AsyncIterator[Etcd]:
    async with Bus("ab", limits) as bus:
        etcd = Etcd(bus, limits)
        await etcd.server.start()
        yield etcd
        await etcd.channel.close()
        await etcd.server.stop(0)
