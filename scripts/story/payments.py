"""One instance of the payment service: it answers on a port of its own, and tells the cluster where."""

from __future__ import annotations

import signal
import socketserver
import sys
from types import FrameType

import coordinator_client
from scripts.story.speech import say

TTL_S = 3.0
DISCONNECT_GRACE_S = 0.5


class Payment(socketserver.StreamRequestHandler):
    """Takes the name of an order, a line, and answers who paid it."""

    def handle(self) -> None:
        order = self.rfile.readline(100).strip()
        self.wfile.write(order + b" is paid by " + sys.argv[1].encode() + b"\n")


def leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def main(name: str, endpoints: str) -> None:
    signal.signal(signal.SIGTERM, leave)
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Payment) as server,
        coordinator_client.connect(endpoints) as client,
        client.register(
            "payments",
            "127.0.0.1",
            server.server_address[1],
            id=name,
            ttl=TTL_S,
            disconnect_grace=DISCONNECT_GRACE_S,
        ) as registration,
    ):
        say(f"registered at {registration.instance.endpoint}, through node {client.endpoint}")
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
