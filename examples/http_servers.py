"""Calls HTTP servers through a balancer while one of them is killed and another one drains.

    python examples/http_servers.py

It prints

    called api-1, api-2, api-3
    api-1 was killed, others answered its calls
    called api-2, api-3
    api-2 drained and went, no call of it failed
    called api-3
"""

import http.client
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import coordinator_client
from coordinator_client import Balancer, ServiceView

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")
SERVICE = "api"
CALLERS = 2
ATTEMPTS = 10


def serve(id: str) -> None:
    """One server: a program of its own. It drains, and ends, when its input ends."""

    class Who(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(id)))
            self.end_headers()
            self.wfile.write(id.encode())

        def log_message(self, *args: object) -> None:
            pass

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Who) as server,
        coordinator_client.connect(ENDPOINTS) as client,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        # For a second after it said that it drains, it answers those who did not hear of that yet.
        with client.register(SERVICE, "127.0.0.1", port, id=id, drain=1, disconnect_grace=0.2):
            sys.stdin.read()
        server.shutdown()


def get(endpoint: str) -> str:
    connection = http.client.HTTPConnection(endpoint, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Callers:
    """Threads that call all the time. A GET may be sent twice, so one that fails is sent to whoever is next."""

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer
        self.answered: set[str] = set()
        self.failed: set[str] = set()
        self.news = threading.Condition()
        self.stopping = False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping = True
        for thread in self.threads:
            thread.join()

    def run(self) -> None:
        while not self.stopping:
            self.call()

    def call(self) -> None:
        for _ in range(ATTEMPTS):
            try:
                with self.balancer.pick() as call:
                    answer = get(call.endpoint)
            except (OSError, http.client.HTTPException):
                self.failed.add(call.instance.id)
                continue
            with self.news:
                self.answered.add(answer)
                self.news.notify()
            return
        raise RuntimeError("nobody answered")

    def show(self, *ids: str) -> None:
        """Waits until all of these answer, and nobody else does."""
        with self.news:
            self.answered.clear()
            while self.answered != set(ids):
                if not self.answered <= set(ids):
                    self.answered.clear()
                if not self.news.wait(10):
                    raise RuntimeError("no call is answered any more")
        print("called", ", ".join(ids))


def wait_for(view: ServiceView, *ids: str) -> None:
    """Waits until a view shows these."""
    changes = view.changes()
    while {instance.id for instance in view.instances()} != set(ids):
        changes.next(timeout_s=10)


def main() -> None:
    servers: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for id in ("api-1", "api-2", "api-3"):
            command = [sys.executable, __file__, id]
            servers[id] = subprocess.Popen(command, stdin=subprocess.PIPE)
        with (
            coordinator_client.connect(ENDPOINTS) as client,
            client.discover(SERVICE, healthy=True) as view,
        ):
            wait_for(view, *servers)
            with Callers(view.balancer()) as callers:
                callers.show("api-1", "api-2", "api-3")

                servers["api-1"].kill()
                wait_for(view, "api-2", "api-3")
                assert callers.failed <= {"api-1"}
                print("api-1 was killed, others answered its calls")
                callers.show("api-2", "api-3")

                servers["api-2"].communicate()
                assert callers.failed <= {"api-1"}
                print("api-2 drained and went, no call of it failed")
                callers.show("api-3")
    finally:
        for server in servers.values():
            server.kill()
            server.communicate()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        main()
