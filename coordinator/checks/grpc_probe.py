"""Checks over gRPC, by the protocol that its servers have for that (grpc.health.v1)."""

from __future__ import annotations

import asyncio
import os
import socket

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from coordinator.checks.definitions import GrpcTarget
from coordinator.checks.targets import EXHAUSTED, Address

METHOD = "/grpc.health.v1.Health/Check"
ANSWER_BYTES_MAX = 64 * 1024
ABSENT = {
    grpc.StatusCode.UNIMPLEMENTED: "the server has no health service",
    grpc.StatusCode.NOT_FOUND: "the server does not know the service",
}


def _options(authority: str, timeout_s: float) -> list[tuple[str, str | int]]:
    return [
        ("grpc.default_authority", authority),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        # A connection of its own for each run: what is checked is whether a new client would be served.
        ("grpc.use_local_subchannel_pool", 1),
        # How long it goes on connecting, with a descriptor, although nobody waits for it any more.
        ("grpc.min_reconnect_backoff_ms", max(100, round(timeout_s * 1000))),
        ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ]


async def probe_grpc(target: GrpcTarget, address: Address, timeout_s: float) -> str | None:
    """Asks once; returns what is wrong, None if nothing is. Raises OSError if there is no connection."""
    # The address that was looked at, and no name that could lead somewhere else by now.
    where = f"{'ipv6' if address.family == socket.AF_INET6 else 'ipv4'}:{address}"
    host = f"[{target.host}]" if ":" in target.host else target.host
    options = _options(f"{host}:{target.port}", timeout_s)
    if target.tls:
        channel = grpc.aio.secure_channel(where, grpc.ssl_channel_credentials(), options)
    else:
        channel = grpc.aio.insecure_channel(where, options)
    try:
        ask = channel.unary_unary(
            METHOD,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await ask(health_pb2.HealthCheckRequest(service=target.service))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            # Of what went wrong gRPC tells the text alone.
            for number in EXHAUSTED:
                if f"socket: {os.strerror(number)}" in (error.details() or ""):
                    raise OSError(number, os.strerror(number)) from error
            # What comes before the address says what was being tried.
            raise ConnectionError((error.details() or "").rpartition(f"{address}: ")[2]) from error
        return ABSENT.get(error.code(), f"{error.code().name}: {error.details()}")
    finally:
        closing = asyncio.ensure_future(channel.close(None))
        await asyncio.shield(closing)
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    names = health_pb2.HealthCheckResponse.ServingStatus
    # A server may say a number that has no name.
    known = answer.status in names.values()
    return f"it says {names.Name(answer.status) if known else answer.status}"
