"""Which of the two hosts of gRPC tests run on: `COORDINATOR_GRPC_HOST`, as for nodes; `front` by default."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from coordinator.config import Limits
from coordinator.rpc import Service
from coordinator.wire.front.calls import StreamCall
from coordinator.wire.front.server import FrontServer
from coordinator.wire.grpc_aio import GrpcAioServer, _AioCall

VARIABLE = "COORDINATOR_GRPC_HOST"
HOST = os.environ.get(VARIABLE, "front")
GrpcServer = FrontServer | GrpcAioServer
SERVERS: dict[str, type[FrontServer] | type[GrpcAioServer]] = {
    "front": FrontServer,
    "grpcio": GrpcAioServer,
}


STREAM: Any = {"front": StreamCall, "grpcio": _AioCall}[HOST]
"""The streams of that host, as methods see them."""


def grpc_server(services: Sequence[Service], limits: Limits) -> GrpcServer:
    """Returns a server of the kind that is to be tested."""
    return SERVERS[HOST](services, limits)
