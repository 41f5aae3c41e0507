"""Checks over gRPC ask the health service of a real server."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coordinator.checks.definitions import GrpcTarget
from coordinator.checks.grpc_probe import probe_grpc
from coordinator.checks.targets import look_up


async def ask(port: int, service: str = "", tls: bool = False) -> str | None:
    (address,) = look_up("127.0.0.1", port)
    return await probe_grpc(GrpcTarget("127.0.0.1", port, service, tls), address, 5.0)


async def test_what_the_health_service_says() -> None:
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await servicer.set("pay", health_pb2.HealthCheckResponse.SERVING)
        assert await ask(port) is None and await ask(port, "pay") is None
        assert await ask(port, "other") == "the server does not know the service"
        await servicer.set("pay", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert await ask(port, "pay") == "it says NOT_SERVING"
        with pytest.raises(OSError, match=r".+"):
            await ask(port, tls=True)
    finally:
        await server.stop(None)
    with pytest.raises(OSError, match=r"^Failed to connect to remote host: Connection refused$"):
        await ask(port)


async def test_a_server_without_a_health_service() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await ask(port) == "the server has no health service"
    finally:
        await server.stop(None)
