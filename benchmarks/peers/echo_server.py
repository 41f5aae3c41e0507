"""A server that answers each call with its request, to show what a host costs by itself: `echo_server.py front|grpcio`.

It prints the port on which it listens on loopback, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import uvloop
from google.protobuf.wrappers_pb2 import BytesValue

from coordinator.config import Limits
from coordinator.rpc import Call, Service, Unary
from coordinator.wire.front.server import FrontServer
from coordinator.wire.grpc_aio import GrpcAioServer

HOSTS = {"front": FrontServer, "grpcio": GrpcAioServer}
SERVICE = "coordinator.bench.Echo"


async def echo(call: Call, request: BytesValue) -> BytesValue:
    return request


async def serve(host: str) -> None:
    methods = (Unary("Call", BytesValue, BytesValue, echo),)
    server = HOSTS[host]([Service(SERVICE, methods, described=False)], Limits())
    print(server.bind("127.0.0.1:0"), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(1.0)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
