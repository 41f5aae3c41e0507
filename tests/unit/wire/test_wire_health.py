"""The health service: states, those who watch them, and the end."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.hosts import SERVERS
from tests.unit.wire.echoing import serving

STATES = health_pb2.HealthCheckResponse
WATCH = "/grpc.health.v1.Health/Watch"


def watch(channel: grpc.aio.Channel, name: str) -> Any:
    stub = channel.unary_stream(
        WATCH,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=STATES.FromString,
    )
    return stub(health_pb2.HealthCheckRequest(service=name))


@pytest.mark.parametrize("host", SERVERS)
async def test_watchers_are_told_of_each_change(host: str) -> None:
    async with (
        serving(host) as (server, _, port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        known, unknown = watch(channel, "test.Service"), watch(channel, "nobody")
        assert (await known.read()).status == STATES.SERVING
        assert (await unknown.read()).status == STATES.SERVICE_UNKNOWN
        for serves in (False, True):
            await server.set_serving(serves)
            await server.set_serving(serves)
            expected = STATES.SERVING if serves else STATES.NOT_SERVING
            assert (await known.read()).status == expected
        whole = watch(channel, "")
        await server.set_serving(False)
        assert (await whole.read()).status == STATES.SERVING
        known.cancel()
        unknown.cancel()
        whole.cancel()


async def test_the_end_is_told() -> None:
    async with (
        serving() as (server, _, port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        watching = watch(channel, "test.Service")
        assert (await watching.read()).status == STATES.SERVING
        await server.stop(1)
        await server.set_serving(True)
        told = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            while True:
                told.append((await watching.read()).status)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert set(told) <= {STATES.NOT_SERVING}
