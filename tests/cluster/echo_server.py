"""A gRPC server that registers: `python echo_server.py ID ENDPOINTS [LOG]`. Drains, and ends, when its input ends.

It appends each request to the file LOG when it begins with it, so that it can be told which one it had when killed.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

import coordinator_client

SERVICE = "echo"
SAY = f"/{SERVICE}/Say"
WORK_S = 0.01
DRAIN_S = 1.0


def main() -> None:
    id, endpoints, *logs = sys.argv[1:]
    log = os.open(logs[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if logs else None

    def say(request: bytes, context: Any) -> bytes:
        if log is not None:
            os.write(log, request + b"\n")
        # So that there are calls in flight whenever something happens.
        time.sleep(WORK_S)
        return id.encode()

    server = grpc.server(ThreadPoolExecutor(16))
    methods: dict[str, Any] = {"Say": grpc.unary_unary_rpc_method_handler(say)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        coordinator_client.connect(endpoints) as client,
        client.register(SERVICE, "127.0.0.1", port, id=id, ttl=5, drain=DRAIN_S),
    ):
        print("registered", flush=True)
        sys.stdin.read()
    server.stop(DRAIN_S).wait()


if __name__ == "__main__":
    main()
