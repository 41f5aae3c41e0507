"""Spreads the gRPC calls of a service over its instances, while one of them goes.

    python examples/balanced_grpc.py

It prints

    answered: reports-1, reports-2
    reports-1 drains and goes
    answered: reports-2
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

import coordinator_client
from coordinator_client import Client, Registration

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")


@contextmanager
def serving(client: Client, id: str) -> Iterator[Registration]:
    """Runs a server with one method, and registers it. A program of yours has a servicer from its .proto here."""

    def who(request: bytes, context: Any) -> bytes:
        return id.encode()

    methods: dict[str, Any] = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Reports", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with client.register("reports", "127.0.0.1", port, id=id, drain=0.5) as registration:
            yield registration
    finally:
        server.stop(1).wait()


def main() -> None:
    with (
        coordinator_client.connect(ENDPOINTS) as client,
        client.discover("reports") as view,
        coordinator_client.grpc_channel(view) as channel,
        serving(client, "reports-2"),
    ):
        # With a stub: who = ReportsStub(channel).Who
        who: Any = channel.unary_unary("/Reports/Who")
        with serving(client, "reports-1"):
            view.wait_for(2, timeout_s=5)
            answers: set[bytes] = set()
            while len(answers) < 2:  # an instance takes part as soon as it is connected
                answers.add(who(b"", timeout=5))
            print("answered:", ", ".join(sorted(answer.decode() for answer in answers)))
            print("reports-1 drains and goes")
        answers = {who(b"", timeout=5) for _ in range(10)}
        print("answered:", ", ".join(sorted(answer.decode() for answer in answers)))


if __name__ == "__main__":
    main()
