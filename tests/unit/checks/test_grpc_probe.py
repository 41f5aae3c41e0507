"""Checks over gRPC ask the health service of a real server."""

from __future__ import annotations

import errno
import gc
import os
import resource

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


async def test_a_word_that_nobody_knows() -> None:
    async def check(request: bytes, context: object) -> bytes:
        return b"\x08\x63"  # status: 99

    server = grpc.aio.server()
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(check)
    health_service = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": method}
    )
    server.add_generic_rpc_handlers((health_service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await ask(port) == "it says 99"
    finally:
        await server.stop(None)


async def test_a_lack_of_descriptors_is_no_word_of_the_target() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # What earlier tests left behind would make room when it is collected.
    gc.collect()
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match=r".+") as raised:
            await ask(port)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await server.stop(None)
    assert raised.value.errno == errno.EMFILE


async def test_a_server_without_a_health_service() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await ask(port) == "the server has no health service"
    finally:
        await server.stop(None)
