"""Health checks of real nodes: targets go bad and recover, nodes die, and instances are removed."""

from __future__ import annotations

import contextlib
import socket
import threading
import zlib
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coordinator_client import (
    Cause,
    ChangeType,
    Check,
    Client,
    GrpcCheck,
    HttpCheck,
    TcpCheck,
    TtlCheck,
    connect,
)
from tests.cluster.harness import Cluster, wait_until

pytestmark = pytest.mark.full

WAIT_S = 20.0
PACE: dict[str, Any] = {"interval": 1.0, "failures_before_critical": 1}


@contextlib.contextmanager
def listening(port: int = 0) -> Iterator[int]:
    """A port at which connections can be made."""
    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    listener.accept()[0].close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class Web:
    """An HTTP server that says how it is."""

    def __init__(self) -> None:
        self.status = 200
        web = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(web.status if self.path == "/health" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.port = self.server.server_address[1]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


def wait_checks(client: Client, service: str, expected: dict[str, str]) -> None:
    """Waits until the checks of the one instance of a service are doing so."""
    seen: list[object] = [None]

    def as_expected() -> bool:
        found = client.instances(service)
        seen[0] = [dict(instance.checks) for instance in found]
        return [{name: c.status for name, c in i.checks.items()} for i in found] == [expected]

    wait_until(as_expected, WAIT_S, lambda: f"{seen[0]}, not {expected}")


def test_targets_of_all_kinds_go_bad_and_recover(shared_cluster: Cluster) -> None:
    web, servicer = Web(), health.HealthServicer()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    good = dict.fromkeys(("http", "tcp", "grpc"), "passing")
    with (
        connect(shared_cluster.endpoints) as client,
        web.serving(),
        contextlib.ExitStack() as stack,
    ):
        port = stack.enter_context(listening())
        checks: dict[str, Check] = {
            "http": HttpCheck("/health", **PACE),
            "tcp": TcpCheck(port=port, **PACE),
            "grpc": GrpcCheck(port=grpc_port, service="pay", **PACE),
        }
        servicer.set("pay", health_pb2.HealthCheckResponse.SERVING)
        with client.register("kinds", "127.0.0.1", web.port, checks=checks):
            wait_checks(client, "kinds", good)
            assert client.instances("kinds")[0].healthy
            web.status = 503
            stack.close()
            servicer.set("pay", health_pb2.HealthCheckResponse.NOT_SERVING)
            bad = dict.fromkeys(good, "critical")
            wait_checks(client, "kinds", bad)
            (found,) = client.instances("kinds")
            assert found.checks["http"].note == "status 503, not 200-299"
            assert found.checks["tcp"].note == f"127.0.0.1:{port}: Connection refused"
            assert found.checks["grpc"].note == "it says NOT_SERVING"
            assert (found.state.status, found.state.note) == (
                "critical",
                "grpc: it says NOT_SERVING",
            )
            web.status = 200
            servicer.set("pay", health_pb2.HealthCheckResponse.SERVING)
            with listening(port):
                wait_checks(client, "kinds", good)
    server.stop(None).wait()


def test_an_instance_whose_check_fails_is_removed_and_subscribers_see_why(
    shared_cluster: Cluster,
) -> None:
    checks = {"tcp": TcpCheck(deregister_critical_after=1.0, **PACE)}
    with connect(shared_cluster.endpoints) as client, client.discover("gone") as view:
        changes = view.changes()
        with client.register("gone", "127.0.0.1", 1, id="g-1", checks=checks) as mine:
            while (change := changes.next(WAIT_S)).type is not ChangeType.REMOVED:
                assert change.instance.id == "g-1"
            assert change.cause is Cause.CHECK_FAILED
            assert change.instance.state.status == "critical"
            assert client.range("/services/gone/", prefix=True).count == 0
            assert mine.registered, "its session is another matter"


def test_a_program_that_falls_silent_is_critical(shared_cluster: Cluster) -> None:
    checks = {"loop": TtlCheck(1.0)}
    with (
        connect(shared_cluster.endpoints) as client,
        client.register("silent", "127.0.0.1", 1, checks=checks) as mine,
    ):
        mine.report("loop")
        wait_checks(client, "silent", {"loop": "passing"})
        wait_checks(client, "silent", {"loop": "critical"})


def test_checks_go_on_elsewhere_when_their_node_is_killed(cluster: Cluster) -> None:
    with connect(cluster.endpoints) as client, contextlib.ExitStack() as stack:
        port = stack.enter_context(listening())
        checks = {"tcp": TcpCheck(**PACE)}
        with client.register("moved", "127.0.0.1", port, id="m-1", checks=checks, ttl=30):
            wait_checks(client, "moved", {"tcp": "passing"})
            slot = f"/system/checks/slots/{zlib.crc32(b'moved/m-1') % 64:03}"
            owner = client.get(slot)
            assert owner is not None
            holders = [node.name for node in cluster.nodes]
            cluster.kill(holders.index(owner.text) + 1)
            stack.close()
            wait_checks(client, "moved", {"tcp": "critical"})
            now = client.get(slot)
            assert now is not None and now.text != owner.text
            with listening(port):
                wait_checks(client, "moved", {"tcp": "passing"})
                cluster.restart(holders.index(owner.text) + 1)
                # It has its share again, and nobody else has it.
                wait_until(
                    lambda: (kv := client.get(slot)) is not None and kv.text == owner.text,
                    WAIT_S,
                    lambda: "the node that came back was not given its slot again",
                )


def test_targets_outside_of_the_networks_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORDINATOR_CHECKS_ALLOWED_NETWORKS", "10.0.0.0/8,::1/128")
    cluster = Cluster(tmp_path / "cluster")
    try:
        cluster.start(1)
        with connect(cluster.endpoints) as client, socket.create_server(("127.0.0.1", 0)) as aim:
            aim.settimeout(0)
            port = aim.getsockname()[1]
            checks = {
                "tcp": TcpCheck(**PACE),
                "http": HttpCheck(f"http://127.0.0.1:{port}/", **PACE),
            }
            with client.register("outside", "127.0.0.1", port, checks=checks):
                wait_checks(client, "outside", {"tcp": "critical", "http": "critical"})
                note = client.instances("outside")[0].checks["tcp"].note
                assert note == "127.0.0.1: outside of the networks that checks may connect to"
                with pytest.raises(BlockingIOError):
                    aim.accept()
    finally:
        cluster.close()
